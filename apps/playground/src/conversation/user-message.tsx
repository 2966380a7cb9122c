import type { ReactElement } from 'react'
import { type Message } from '@turnpike/protocol'
import { useClient } from '@turnpike/client/react'

export interface UserMessageProps {
  readonly message: Message
  /** A run of the thread goes on, which this message waits for. */
  readonly isBusy: boolean
}

/** What somebody wrote. One that is not in the thread yet says so, and can be taken back. */
export function UserMessage({ message, isBusy }: UserMessageProps): ReactElement {
  const { runs } = useClient()
  const { parts, status, runId } = message
  const isWaiting = status === 'open'
  const takeBack = (): void => {
    // Where it has just begun, the stop button is the way.
    if (runId !== undefined) runs.cancel(runId).catch(() => {})
  }
  return (
    <article className="message-user" data-testid="message-user" data-waiting={isWaiting || undefined}>
      <h2 className="unseen">You wrote</h2>
      <div className="bubble">
        {parts.map((part, index) => {
          if (part.type === 'text') return <p key={index}>{part.text}</p>
          if (part.type === 'file') return <p key={index}>A file: {part.mediaType}</p>
          return null
        })}
      </div>
      {isWaiting && (
        <p className="message-note" data-testid="waiting">
          {isBusy ? 'Queued: its turn comes after this answer.' : 'On its way …'}
          {isBusy && (
            <button className="link" type="button" onClick={takeBack}>
              Take it back
            </button>
          )}
        </p>
      )}
    </article>
  )
}
