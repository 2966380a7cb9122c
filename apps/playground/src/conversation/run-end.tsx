import type { ReactElement } from 'react'
import { type Message } from '@turnpike/protocol'
import { counted, duration } from '../app/quantities.ts'
import type { RunFacts } from '../facts/run-facts.ts'

export interface RunEndProps {
  readonly status: Message['status']
  readonly agent: string | undefined
  /** Why it failed. */
  readonly error: Message['error']
  /** Nothing came of it. */
  readonly isEmpty: boolean
  /** Absent where the run was not seen here, as after a reload. */
  readonly facts: RunFacts | undefined
}

/** How a run ended, and what it took. */
export function RunEnd({ status, agent, error, isEmpty, facts }: RunEndProps): ReactElement | null {
  if (status === 'cancelled' && isEmpty) {
    return (
      <footer className="run-end" data-testid="run-end" data-status={status}>
        Stopped before it said anything
      </footer>
    )
  }
  return (
    <footer className="run-end" data-testid="run-end" data-status={status}>
      {status === 'failed' && (
        <p className="run-error" data-testid="run-error">
          <code>{error?.code ?? 'failed'}</code> {error?.message ?? 'This answer broke off.'}
        </p>
      )}
      {status === 'cancelled' && <span>Stopped</span>}
      <span>{facts ? figuresOf(facts) : agent}</span>
    </footer>
  )
}

function figuresOf({ agent, steps, outputTokens, startedAt, endedAt, finishReason }: RunFacts): string {
  const isUnusual = finishReason !== undefined && finishReason !== 'stop' && finishReason !== 'cancelled'
  const figures = [
    agent,
    isUnusual ? finishReason : '',
    steps > 1 ? counted(steps, 'step') : '',
    outputTokens > 0 ? counted(outputTokens, 'token') : '',
    startedAt !== undefined && endedAt !== undefined ? duration(endedAt - startedAt) : '',
  ]
  return figures.filter((figure) => figure !== '').join(' · ')
}
