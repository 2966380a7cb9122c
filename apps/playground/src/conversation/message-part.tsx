import { type ReactElement, memo } from 'react'
import { type MessagePart } from '@turnpike/protocol'
import { Markdown } from '../markdown/markdown.tsx'
import { ArtifactChip } from './artifact-chip.tsx'
import { Reasoning } from './reasoning.tsx'
import { ToolCard } from './tool-card.tsx'

export interface MessagePartProps {
  readonly part: MessagePart
  /** It is what the agent writes at the moment. */
  readonly isGrowing: boolean
}

/** One part of an answer. */
export const MessagePartView = memo(function MessagePartView(props: MessagePartProps): ReactElement | null {
  const { part, isGrowing } = props
  switch (part.type) {
    case 'text':
      return (
        <div className="answer" data-growing={isGrowing || undefined}>
          <Markdown text={part.text} />
        </div>
      )
    case 'reasoning':
      return <Reasoning text={part.text} isGrowing={isGrowing} />
    case 'tool':
      return <ToolCard call={part} />
    case 'artifact':
      return <ArtifactChip artifact={part} />
    case 'file':
      return <p className="message-note">A file: {part.mediaType}</p>
    default:
      return part satisfies never
  }
})
