import type { ReactElement, ReactNode } from 'react'
import type { Components } from 'react-markdown'
import { CodeBlock } from './code-block.tsx'

interface WithChildren {
  readonly children?: ReactNode
}

/** How the elements of a text are shown. Its headings rank below those of the page. */
export const markdownComponents: Components = {
  a: ({ href, children }) => <SafeLink href={href}>{children}</SafeLink>,
  img: ({ src, alt }) => <UnloadedImage src={typeof src === 'string' ? src : ''} alt={alt ?? ''} />,
  pre: ({ children }) => <CodeBlock>{children}</CodeBlock>,
  table: ({ children }) => (
    <div className="table-scroll" tabIndex={0}>
      <table>{children}</table>
    </div>
  ),
  input: ({ checked }) => (
    <input type="checkbox" checked={checked === true} disabled aria-label={checked ? 'Done' : 'Open'} />
  ),
  h1: ({ children }: WithChildren) => <h3 className="heading-1">{children}</h3>,
  h2: ({ children }: WithChildren) => <h4 className="heading-2">{children}</h4>,
  h3: ({ children }: WithChildren) => <h5 className="heading-3">{children}</h5>,
  h4: ({ children }: WithChildren) => <h6 className="heading-3">{children}</h6>,
  h5: ({ children }: WithChildren) => <h6 className="heading-3">{children}</h6>,
  h6: ({ children }: WithChildren) => <h6 className="heading-3">{children}</h6>,
}

function SafeLink({ href, children }: WithChildren & { readonly href: string | undefined }): ReactElement {
  if (!href) return <span>{children}</span>
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  )
}

/** Loading it would tell a stranger that this text is being read. */
function UnloadedImage({ src, alt }: { readonly src: string; readonly alt: string }): ReactElement {
  const name = alt === '' ? 'image' : alt
  return (
    <span className="unloaded-image">
      <SafeLink href={src}>{name}</SafeLink> (image, not loaded)
    </span>
  )
}
