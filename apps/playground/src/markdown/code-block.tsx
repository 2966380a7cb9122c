import { type ReactElement, type ReactNode, isValidElement, useRef } from 'react'
import { CopyButton } from '../app/copy-button.tsx'

/** A block of code, with its language and a button that copies it. */
export function CodeBlock({ children }: { readonly children?: ReactNode }): ReactElement {
  const pre = useRef<HTMLPreElement>(null)
  const language = languageOf(children)
  return (
    <div className="code-block">
      <div className="code-head">
        <span>{language}</span>
        <CopyButton label="Copy the code" textOf={() => pre.current?.textContent ?? ''} />
      </div>
      <pre ref={pre} tabIndex={0}>
        {children}
      </pre>
    </div>
  )
}

function languageOf(children: ReactNode): string {
  if (!isValidElement<{ className?: string }>(children)) return 'text'
  return /language-(\S+)/.exec(children.props.className ?? '')?.[1] ?? 'text'
}
