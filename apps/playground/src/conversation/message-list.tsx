import { type ReactElement, memo } from 'react'
import { type BackgroundUpdate, type MemoryFact } from '@turnpike/client/react'
import { type Message } from '@turnpike/protocol'
import type { Runs } from '../facts/run-facts.ts'
import { AssistantMessage } from './assistant-message.tsx'
import { UserMessage } from './user-message.tsx'
import { useByRun } from './use-by-run.ts'

export interface MessageListProps {
  readonly messages: readonly Message[]
  readonly runs: Runs
  readonly background: readonly BackgroundUpdate[]
  readonly memories: readonly MemoryFact[]
  readonly isBusy: boolean
}

const NOTHING: readonly never[] = []

/** The messages of a thread. One that did not change is not rendered again. */
export const MessageList = memo(function MessageList(props: MessageListProps): ReactElement {
  const { messages, runs, isBusy } = props
  const background = useByRun(props.background)
  const memories = useByRun(props.memories)
  return (
    <div className="messages" data-testid="messages">
      {messages.map((message) => {
        const { id, role, runId = '' } = message
        // What was sent keeps its place when the server's own message takes over from it.
        if (role === 'user') return <UserMessage key={`${runId}-${role}`} message={message} isBusy={isBusy} />
        return (
          <AssistantMessage
            key={id}
            message={message}
            facts={runs.get(runId)}
            background={background.get(runId) ?? NOTHING}
            memories={memories.get(runId) ?? NOTHING}
          />
        )
      })}
    </div>
  )
})
