import type { ReactElement } from 'react'
import { ConnectionPill } from './connection-pill.tsx'
import { CutSwitch } from './cut-switch.tsx'
import { Icon } from './icon.tsx'

export interface TopBarProps {
  /** Absent where the threads are in view. */
  readonly onMenu: (() => void) | undefined
  /** Absent where there is no conversation to inspect. */
  readonly inspecting: { readonly isOpen: boolean; readonly toggle: () => void } | undefined
}

/** What concerns the whole page: its connection, and what is beside it. */
export function TopBar({ onMenu, inspecting }: TopBarProps): ReactElement {
  return (
    <header className="top">
      <h1 className="unseen">Turnpike</h1>
      {onMenu && (
        <button
          className="icon-button"
          type="button"
          aria-label="Threads and pages"
          data-testid="menu"
          onClick={onMenu}
        >
          <Icon name="menu" />
        </button>
      )}
      <ConnectionPill />
      <div className="top-space" />
      <CutSwitch />
      {inspecting && (
        <button
          className="icon-button"
          type="button"
          data-testid="toggle-events"
          aria-label="Events"
          title="Events"
          aria-pressed={inspecting.isOpen}
          onClick={inspecting.toggle}
        >
          <Icon name="events" />
        </button>
      )}
    </header>
  )
}
