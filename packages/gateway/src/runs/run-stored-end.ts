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
import type { Runs } from './runs.ts'

/** A run whose last event has been in the log. */
export interface EndedRun {
  readonly run: { readonly thread: ThreadRef; readonly id: string }
  readonly endSeq: number
}

/**
 * What a run has come to, made out of what the store has of it: for who asks when the log has let go of it. That is the
 * last event, behind the result of a tool that was called in place of an answer.
 *
 * @throws GatewayError `internal` where the store does not have it
 */
export async function storedEnd(
  { run: { thread, id }, endSeq }: EndedRun,
  { store, runs }: { readonly store: Store; readonly runs: Pick<Runs, 'settled'> },
): Promise<ThreadEvent[]> {
  await runs.settled(thread.owner, id)
  const [run, answer] = await Promise.all([
    store.runs.find(thread.owner, id),
    store.runs.answer(thread.owner, id),
  ])
  if (!run) throw new GatewayError('internal', 'The run is not there any more.')
  const { createdAt: ts } = answer ?? run.input
  const envelope = { id: mintEventId(ts, endSeq), seq: endSeq, threadId: thread.id, runId: id, ts }
  const payloads = [...(run.toolCall ? resultsIn(answer) : []), lastOf(run, answer)]
  return payloads.map((payload) => ({ ...envelope, ...payload }))
}

function lastOf(run: RunRecord, answer: Message | undefined): EventPayload {
  const { agent, state, usage = NOTHING, steps = 0 } = run
  if (state === 'failed') return { type: 'error', agent, error: answer?.error ?? UNKNOWN }
  const { finishReason = state === 'cancelled' ? state : 'stop' } = run
  return { type: 'finish', agent, finishReason, text: answer ? textOf(answer) : '', steps, usage }
}

function resultsIn(answer: Message | undefined): EventPayload[] {
  return (answer?.parts ?? []).flatMap((part): EventPayload[] => {
    if (part.type !== 'tool' || part.state !== 'done') return []
    const { toolCallId, tool, result } = part
    return [{ type: 'tool-call-result', toolCallId, tool, result }]
  })
}

const NOTHING = { inputTokens: 0, outputTokens: 0 }
const UNKNOWN = { code: 'agent-failed', message: 'The agent failed.' }
