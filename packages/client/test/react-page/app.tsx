import { type ReactElement, type ReactNode, memo } from 'react'
import { type Message, textOf } from '@turnpike/protocol'
import {
  type LiveThread,
  useAgents,
  useApprovals,
  useConnection,
  useThreadStream,
  useThreads,
} from '@turnpike/client/react'

/** What the components of the page leave for a test to read. */
export interface Probe {
  /** The latest of each chat, by its name. */
  readonly threads: Record<string, LiveThread>
  /** Renders of each chat. */
  readonly renders: Record<string, number>
  /** Renders of each message. */
  readonly messages: Record<string, number>
  /** Each render of a chat: the thread it was for, and the texts it had. */
  readonly shown: { readonly threadId: string | undefined; readonly texts: readonly string[] }[]
}

export const probe: Probe = { threads: {}, renders: {}, messages: {}, shown: [] }

const Line = memo(function Line({ message }: { message: Message }): ReactElement {
  probe.messages[message.id] = (probe.messages[message.id] ?? 0) + 1
  return (
    <li data-role={message.role} data-status={message.status}>
      {textOf(message)}
    </li>
  )
})

export interface ChatProps {
  readonly name: string
  readonly threadId?: string | undefined
  readonly keepEvents?: number
  readonly logged?: boolean
}

/** One thread, as a page shows it. */
export function Chat({ name, threadId, keepEvents = 500, logged = false }: ChatProps): ReactElement {
  const thread = useThreadStream({ threadId, keepEvents })
  probe.threads[name] = thread
  probe.renders[name] = (probe.renders[name] ?? 0) + 1
  if (logged) probe.shown.push({ threadId, texts: thread.messages.map(textOf) })
  return (
    <section id={name} data-status={thread.status}>
      <ol>
        {thread.messages.map((message) => (
          <Line key={`${message.role}-${message.runId}`} message={message} />
        ))}
      </ol>
    </section>
  )
}

/** Everything that is not of one thread. */
export function Aside(): ReactElement {
  const { status } = useConnection()
  const { agents, isLoading } = useAgents()
  const { threads, reload } = useThreads({ limit: 10 })
  const { pending, approve } = useApprovals()
  return (
    <aside data-connection={status}>
      <p id="agents">{isLoading ? 'loading' : agents.map(({ name }) => name).join(' ')}</p>
      <p id="threads">{threads.map(({ title }) => title).join(' ')}</p>
      <button id="reload" onClick={() => void reload()}>
        reload
      </button>
      {pending.map(({ approvalId, tool, args, threadId }) => (
        <button
          key={approvalId}
          className="approve"
          data-args={JSON.stringify(args)}
          onClick={() => void approve(approvalId, true)}
        >
          {`${tool} in ${threadId}`}
        </button>
      ))}
    </aside>
  )
}

/** A page of the usual kind: a thread, and what is around it. */
export function Page({ threadId, children }: { threadId?: string; children?: ReactNode }): ReactElement {
  return (
    <main>
      <Chat name="chat" threadId={threadId} />
      <Aside />
      {children}
    </main>
  )
}
