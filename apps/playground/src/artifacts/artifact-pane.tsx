import type { ReactElement } from 'react'
import { SidePane } from '../app/side-pane.tsx'
import type { SeenArtifact } from '../facts/artifacts.ts'
import { ArtifactContent } from './artifact-content.tsx'
import { useArtifact } from './use-artifact.ts'

export interface ArtifactPaneProps {
  readonly threadId: string
  readonly artifactId: string
  /** As its events told it; absent where none were seen here, as after a reload. */
  readonly seen: SeenArtifact | undefined
  readonly onClose: () => void
}

/** An artifact beside the conversation: its latest version, as it changes. */
export function ArtifactPane({ threadId, artifactId, seen, onClose }: ArtifactPaneProps): ReactElement {
  const { artifact, error } = useArtifact(threadId, artifactId, seen)
  const title = artifact?.title ?? 'Artifact'
  return (
    <SidePane title={title} note={artifact && `version ${artifact.version}`} onClose={onClose}>
      <div className="artifact" data-testid="artifact-content" tabIndex={0}>
        {artifact?.content === undefined ? (
          <p className="empty">{error ? error.message : 'Loading …'}</p>
        ) : (
          <ArtifactContent kind={artifact.kind} content={artifact.content} />
        )}
      </div>
    </SidePane>
  )
}
