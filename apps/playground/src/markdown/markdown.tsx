import { type ReactElement, memo, useState } from 'react'
import ReactMarkdown from 'react-markdown'
import remarkGfm from 'remark-gfm'
import { BlockSplitter } from './block-splitter.ts'
import { markdownComponents } from './markdown-components.tsx'
import { safeUrl } from './safe-url.ts'

const PLUGINS = [remarkGfm]

/** Shows Markdown that may still be growing: only the blocks that change are rendered again. */
export const Markdown = memo(function Markdown({ text }: { readonly text: string }): ReactElement {
  const [splitter] = useState(() => new BlockSplitter())
  return (
    <div className="markdown">
      {splitter.split(text).map((block, index) => (
        // Blocks only ever come in behind the others.
        <Block key={index} text={block} />
      ))}
    </div>
  )
})

const Block = memo(function Block({ text }: { readonly text: string }): ReactElement {
  return (
    <ReactMarkdown remarkPlugins={PLUGINS} components={markdownComponents} urlTransform={safeUrl}>
      {text}
    </ReactMarkdown>
  )
})
