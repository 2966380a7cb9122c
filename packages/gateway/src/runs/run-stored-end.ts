import {
  type EventPayload,
  type Message,
  type ThreadEvent,
  GatewayError,
  mintEventId,
  textOf,
} from '@turnpike/protocol'
import type { RunRecord, Store } from '../stores/store.ts'
import type { ThreadRef } from '../stores/thread-ref.ts'
import { failureOf } from './run-terminal.ts'
import type { Runs } from './runs.ts'

/** A run that has come to its end. */
export interface EndedRun {
  readonly thread: ThreadRef
  readonly runId: string
  /** Where its last event is in the log; undefined where that could not be logged. */
  readonly endSeq: number | undefined
}

/**
 * What a run has come to, made out of what the store has of it: for who asks when the log has let go of it. That is the
 * last event, behind the result of a tool that was called in place of an answer.
 *
 * @throws GatewayError `internal` where the store does not have it
 */
export async function storedEnd(
  { thread, runId, endSeq }: EndedRun,
  { store, runs }: { readonly store: Store; readonly runs: Pick<Runs, 'settled'> },
): Promise<ThreadEvent[]> {
  await runs.settled(thread.owner, runId)
  const [run, answer] = await Promise.all([
    store.runs.find(thread.owner, runId),
    store.runs.answer(thread.owner, runId),
  ])
  if (!run) throw notThere()
  const { createdAt: ts } = answer ?? run.input
  const seq = endSeq ?? 0
  const envelope = { id: mintEventId(ts, seq), seq, threadId: thread.id, runId, ts }
  const payloads = endSeq === undefined ? [failureOf(run.agent, notThere())] : endOf(run, answer)
  return payloads.map((payload) => ({ ...envelope, ...payload }))
}

function endOf(run: RunRecord, answer: Message | undefined): readonly EventPayload[] {
  const { agent, state, usage = NOTHING, steps = 0 } = run
  switch (state) {
    case 'failed':
      return [answer?.error ? { type: 'error', agent, error: answer.error } : failureOf(agent, notThere())]
    case 'done':
    case 'cancelled': {
      const { finishReason = state === 'cancelled' ? state : 'stop' } = run
      const text = answer ? textOf(answer) : ''
      const results = run.toolCall ? resultsIn(answer) : []
      return [...results, { type: 'finish', agent, finishReason, text, steps, usage }]
    }
    case 'queued':
    case 'running':
    case 'parked':
      // What it ended with could not be written yet.
      throw notThere()
    default:
      return state satisfies never
  }
}

function resultsIn(answer: Message | undefined): readonly EventPayload[] {
  return (answer?.parts ?? []).flatMap((part): EventPayload[] => {
    if (part.type !== 'tool' || part.state !== 'done') return []
    const { toolCallId, tool, result } = part
    return [{ type: 'tool-call-result', toolCallId, tool, result }]
  })
}

function notThere(): GatewayError {
  return new GatewayError('internal', 'The answer is not there.')
}

const NOTHING = { inputTokens: 0, outputTokens: 0 }
