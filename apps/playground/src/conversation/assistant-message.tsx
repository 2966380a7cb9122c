import { type ReactElement, memo } from 'react'
import { type BackgroundUpdate, type MemoryFact } from '@turnpike/client/react'
import { type Message } from '@turnpike/protocol'
import type { RunFacts } from '../facts/run-facts.ts'
import { BackgroundOperation } from './background-operation.tsx'
import { MemoryChips } from './memory-chips.tsx'
import { MessagePartView } from './message-part.tsx'
import { RunEnd } from './run-end.tsx'

export interface AssistantMessageProps {
  readonly message: Message
  readonly facts: RunFacts | undefined
  readonly background: readonly BackgroundUpdate[]
  readonly memories: readonly MemoryFact[]
}

/** An answer, as far as it has got. */
export const AssistantMessage = memo(function AssistantMessage(props: AssistantMessageProps): ReactElement {
  const { message, facts, background, memories } = props
  const { parts, status, agent, error } = message
  const isOpen = status === 'open'
  const last = parts.length - 1
  const part = parts[last]
  const isDecided = part?.type !== 'tool' || part.state !== 'approval'
  return (
    <article className="message-assistant" data-testid="message-assistant" data-status={status}>
      <h2 className="unseen">{agent ?? 'The agent'} answered</h2>
      <div className="parts" data-waiting={(isOpen && part?.type !== 'text' && isDecided) || undefined}>
        {parts.map((each, index) => (
          // A part keeps its place for good.
          <MessagePartView key={index} part={each} isGrowing={isOpen && index === last} />
        ))}
      </div>
      <MemoryChips memories={memories} />
      {background.map((operation) => (
        <BackgroundOperation key={operation.id} operation={operation} />
      ))}
      {!isOpen && <RunEnd {...{ status, agent, error, facts }} isEmpty={parts.length === 0} />}
    </article>
  )
})
