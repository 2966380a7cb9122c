import { type ReactElement, Suspense, lazy, useCallback, useEffect, useState } from 'react'
import { Conversation } from '../conversation/conversation.tsx'
import { ConnectionsPage } from '../pages/connections-page.tsx'
import { SettingsPage } from '../pages/settings-page.tsx'
import { settings } from '../settings/settings.ts'
import { ThreadPanel } from '../threads/thread-panel.tsx'
import { Modal } from './modal.tsx'
import { type Route, useRoute } from './route.ts'
import { TopBar } from './top-bar.tsx'
import { NARROW, useMedia } from './use-media.ts'
import { useStore } from './use-store.ts'

// Its charts are for few, and everybody would wait for them.
const WiresPage = lazy(() => import('../pages/wires-page.tsx'))

export interface FrameProps {
  readonly isInspecting: boolean
  readonly onInspect: (isInspecting: boolean) => void
}

/** The threads on the left, the chosen page beside them. */
export function Frame({ isInspecting, onInspect }: FrameProps): ReactElement {
  const route = useRoute()
  const isNarrow = useMedia(NARROW)
  const [isMenuOpen, setMenuOpen] = useState(false)
  const [activity, setActivity] = useState(0)
  const isConversation = route.page === 'conversation'
  const closeMenu = useCallback(() => setMenuOpen(false), [])
  const onActivity = useCallback(() => setActivity((count) => count + 1), [])
  useEffect(() => {
    if (!isNarrow) setMenuOpen(false)
  }, [isNarrow])

  const panel = <ThreadPanel route={route} activity={activity} onChoose={closeMenu} />
  return (
    <div className="frame">
      {!isNarrow && <aside aria-label="Threads and pages">{panel}</aside>}
      {isNarrow && isMenuOpen && (
        <Modal label="Threads and pages" side="left" onClose={closeMenu}>
          {panel}
        </Modal>
      )}
      <TopBar
        onMenu={isNarrow ? () => setMenuOpen(true) : undefined}
        inspecting={
          isConversation ? { isOpen: isInspecting, toggle: () => onInspect(!isInspecting) } : undefined
        }
      />
      <PageOf route={route} isInspecting={isInspecting} onInspect={onInspect} onActivity={onActivity} />
    </div>
  )
}

interface PageProps extends FrameProps {
  readonly route: Route
  readonly onActivity: () => void
}

function PageOf({ route, ...rest }: PageProps): ReactElement {
  const chosen = useStore(settings)
  switch (route.page) {
    case 'conversation':
      return <Conversation threadId={route.threadId} settings={chosen} {...rest} />
    case 'connections':
      return <ConnectionsPage />
    case 'wires':
      return (
        <Suspense fallback={<main className="page" aria-busy="true" aria-label="Wires" />}>
          <WiresPage />
        </Suspense>
      )
    case 'settings':
      return <SettingsPage />
    default:
      return route satisfies never
  }
}
