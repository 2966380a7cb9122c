import type { ReactElement, ReactNode } from 'react'
import { Icon } from './icon.tsx'
import { Modal } from './modal.tsx'
import { useMedia } from './use-media.ts'

/** Below this there is no room beside a conversation. */
const NO_ROOM = '(width < 72rem)'

export interface SidePaneProps {
  readonly title: string
  readonly note?: string | undefined
  readonly onClose: () => void
  readonly children: ReactNode
}

/** Something beside the conversation; over it, where there is no room. */
export function SidePane({ title, note, onClose, children }: SidePaneProps): ReactElement {
  const isOver = useMedia(NO_ROOM)
  const inside = (
    <>
      <header className="pane-head">
        <h2>{title}</h2>
        {note !== undefined && <span className="pane-note">{note}</span>}
        <button className="icon-button" type="button" aria-label={`Close: ${title}`} onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      {children}
    </>
  )
  if (!isOver) {
    return (
      <aside className="pane" aria-label={title}>
        {inside}
      </aside>
    )
  }
  return (
    <Modal label={title} side="right" onClose={onClose}>
      {inside}
    </Modal>
  )
}
