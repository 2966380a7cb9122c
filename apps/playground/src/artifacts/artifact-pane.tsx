import type { ReactElement } from 'react'
import { SidePane } from '../app/side-pane.tsx'
import type { SeenArtifact } from '../facts/artifacts.ts'
import { ArtifactContent } from './artifact-content.tsx'

export interface ArtifactPaneProps {
  /** Absent where none of its events were seen here, as after a reload. */
  readonly artifact: SeenArtifact | undefined
  readonly onClose: () => void
}

/** An artifact beside the conversation: its latest version, as it changes. */
export function ArtifactPane({ artifact, onClose }: ArtifactPaneProps): ReactElement {
  const title = artifact?.title ?? 'Artifact'
  return (
    <SidePane title={title} note={artifact && `version ${artifact.version}`} onClose={onClose}>
      <div className="artifact" data-testid="artifact-content" tabIndex={0}>
        {artifact?.content === undefined ? (
          <p className="empty">
            Its content came in an event that this page has not seen: before it was opened, or longer ago than
            the log remembers. The next version that is written in full appears here.
          </p>
        ) : (
          <ArtifactContent kind={artifact.kind} content={artifact.content} />
        )}
      </div>
    </SidePane>
  )
}
