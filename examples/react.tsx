import type { ReactElement } from 'react'
import { textOf } from '@turnpike/client'
import { TurnpikeProvider, useApprovals, useThreadStream } from '@turnpike/client/react'

/** A chat that outlives reloads and lost networks, and is the same in every tab. */
export function App(): ReactElement {
  return (
    <TurnpikeProvider>
      <Chat threadId="example" />
    </TurnpikeProvider>
  )
}

function Chat({ threadId }: { threadId: string }): ReactElement {
  const { messages, status, error, send, cancel } = useThreadStream({ threadId, agent: 'showcase' })
  const { pending, approve } = useApprovals()

  function say(form: FormData): void {
    const message = form.get('message')
    // What is refused is shown as `error`.
    if (typeof message === 'string') void send(message).catch(() => {})
  }

  return (
    <form action={say}>
      {messages.map((message) => (
        <p key={message.id} className={message.role} children={textOf(message)} />
      ))}
      {pending.map(({ approvalId, tool }) => (
        <button key={approvalId} type="button" onClick={() => void approve(approvalId, true)}>
          Approve {tool}
        </button>
      ))}
      {error && <p role="alert">{error.message}</p>}
      <input name="message" placeholder="Message" required />
      <button>Send</button>
      {status === 'running' && <button type="button" onClick={() => void cancel()} children="Stop" />}
    </form>
  )
}
