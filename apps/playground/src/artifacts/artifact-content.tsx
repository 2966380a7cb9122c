import type { ReactElement } from 'react'
import { Json } from '../app/json.tsx'
import { Markdown } from '../markdown/markdown.tsx'

export interface ArtifactContentProps {
  readonly kind: string
  readonly content: unknown
}

/** What an artifact holds: as text where it is text, as JSON otherwise. */
export function ArtifactContent({ kind, content }: ArtifactContentProps): ReactElement {
  if (typeof content === 'string') {
    return kind === 'code' ? <pre tabIndex={0}>{content}</pre> : <Markdown text={content} />
  }
  const paragraphs = paragraphsOf(content)
  return paragraphs ? <Markdown text={paragraphs.join('\n\n')} /> : <Json title={kind} value={content} />
}

function paragraphsOf(content: unknown): readonly string[] | undefined {
  if (typeof content !== 'object' || content === null || !('paragraphs' in content)) return undefined
  const { paragraphs } = content
  const isText = (each: unknown): each is string => typeof each === 'string'
  return Array.isArray(paragraphs) && paragraphs.every(isText) ? paragraphs : undefined
}
