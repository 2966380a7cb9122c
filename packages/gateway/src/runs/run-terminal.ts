import type { RunOutcome } from '@turnpike/agents'
import { type EventPayload, type Usage, GatewayError } from '@turnpike/protocol'
import type { RunRecorder } from './run-recorder.ts'

type FinishReason = 'cancelled' | 'interrupted' | NonNullable<RunOutcome['finishReason']>

/** The last event of a run that was not in vain. */
export function finishOf(
  agent: string,
  { answer, steps, usage: counted }: Pick<RunRecorder, 'answer' | 'steps' | 'usage'>,
  { finishReason, usage = counted }: { finishReason: FinishReason; usage?: RunOutcome['usage'] },
): EventPayload & { type: 'finish' } {
  return { type: 'finish', agent, finishReason, text: answer, steps, usage }
}

/** The last event of a run that failed: clients get a code and a message that is safe to show. */
export function failureOf(agent: string, error: unknown): EventPayload & { type: 'error' } {
  const shown =
    error instanceof GatewayError
      ? error
      : new GatewayError('agent-failed', 'The agent failed.', { cause: error })
  const { code, message } = shown
  return { type: 'error', agent, error: { code, message } }
}

/** Whether a model has reported anything. */
export function isSomething({ inputTokens, outputTokens }: Usage): boolean {
  return inputTokens + outputTokens > 0
}
