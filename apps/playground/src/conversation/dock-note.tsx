import type { ReactElement } from 'react'
import { type LiveThread } from '@turnpike/client/react'
import { Icon } from '../app/icon.tsx'
import { network } from '../network/network.ts'
import { useCountdown } from '../network/use-countdown.ts'
import { useStore } from '../app/use-store.ts'
import { counted, duration } from '../app/quantities.ts'
import { useResumeTime } from './use-resume-time.ts'
import type { StickToBottom } from './use-stick-to-bottom.ts'

export interface DockNoteProps {
  readonly thread: LiveThread
  readonly stick: StickToBottom
}

/** What a reader has to know right now, over the composer. It lies over the text and moves nothing. */
export function DockNote({ thread, stick }: DockNoteProps): ReactElement {
  return (
    <div className="dock-notes">
      {!stick.isAtBottom && (
        <button className="pill jump" type="button" data-testid="jump" onClick={stick.toBottom}>
          <Icon name="down" />
          {stick.hasNews ? 'New text below' : 'To the end'}
        </button>
      )}
      <ConnectionNote thread={thread} />
      <ErrorNote thread={thread} />
    </div>
  )
}

function ConnectionNote({ thread }: { readonly thread: LiveThread }): ReactElement | null {
  const { connection, resumed, status } = thread
  const isCut = useStore(network.isCut)
  const seconds = useCountdown(connection)
  const tookMs = useResumeTime(resumed)
  const isRunning = status === 'running'
  if (isCut) {
    return (
      <p className="pill" data-kind="away" data-testid="away-note">
        {isRunning ? 'Cut off. The run goes on without you.' : 'Cut off.'}
        {seconds !== undefined && <span className="figure"> Next try in {seconds} s.</span>}
      </p>
    )
  }
  if (connection.status === 'reconnecting') {
    return (
      <p className="pill" data-kind="away" data-testid="away-note">
        {connection.offline ? 'No network. ' : `Reconnecting, attempt ${connection.attempt}. `}
        {seconds !== undefined && <span className="figure">Next try in {seconds} s.</span>}
      </p>
    )
  }
  if (!resumed || tookMs === undefined) return null
  return (
    <p className="pill" data-kind="resumed" data-testid="resume-note">
      <Icon name="check" />
      {resumed.fromHistory
        ? 'Back: the history is up to date'
        : `Resumed: ${counted(resumed.replayed, 'event')}`}
      {resumed.replayed > 0 && ` in ${duration(tookMs)}`}
    </p>
  )
}

/** A failed run is told in its message. */
function ErrorNote({ thread }: { readonly thread: LiveThread }): ReactElement | null {
  const { error, messages, connection } = thread
  const refusal = connection.status === 'closed' ? connection.error : undefined
  const shown = refusal ?? error
  const isTold = !refusal && messages.at(-1)?.status === 'failed' && error?.code !== 'unknown-thread'
  if (!shown || isTold) return null
  return (
    <p className="pill" data-kind="error" role="alert" data-testid="error-note">
      <code>{shown.code}</code> {shown.message}
      {(shown.code === 'unauthorized' || shown.code === 'token-expired') && (
        <a href="#/settings">Set a token</a>
      )}
    </p>
  )
}
