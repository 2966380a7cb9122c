import { type ReactElement } from 'react'
import { type MessagePart } from '@turnpike/protocol'
import { Icon } from '../app/icon.tsx'
import { useConversationActions } from './conversation-actions.ts'

export interface ArtifactChipProps {
  readonly artifact: Extract<MessagePart, { type: 'artifact' }>
}

/** Something the agent made; it opens beside the conversation. */
export function ArtifactChip({ artifact }: ArtifactChipProps): ReactElement {
  const { openArtifact } = useConversationActions()
  const { id, title, kind, version } = artifact
  return (
    <button className="chip" type="button" data-testid="artifact" onClick={() => openArtifact(id)}>
      <Icon name="document" />
      <span className="chip-title">{title}</span>
      <span className="chip-note">
        {kind}, version {version}
      </span>
    </button>
  )
}
