import type { LanguageModelV4, LanguageModelV4CallOptions, LanguageModelV4StreamPart } from '@ai-sdk/provider'
import { GatewayError } from '@turnpike/protocol'
import { modelError } from './model-error.ts'
import type { OpenCalls } from './open-calls.ts'
import { openStream } from './retry.ts'
import type { RunOutcome, AgentYield } from './runnable.ts'
import { type AssistantPart, StepContent } from './step-content.ts'
import { StepCalls } from './step-calls.ts'
import type { ToolCall } from './tool-call.ts'
import { type RunUsage, usageOf } from './usage.ts'

export interface ModelStepOptions {
  readonly model: LanguageModelV4
  readonly call: LanguageModelV4CallOptions
  readonly signal: AbortSignal
  readonly openCalls: OpenCalls
  /** Whether the answer's text is kept back, because it counts only once it is complete. */
  readonly holdText: boolean
}

/** What one call of the model came to. */
export interface ModelStep {
  readonly parts: AssistantPart[]
  readonly text: string
  /** The calls that are ours to make. */
  readonly calls: readonly ToolCall[]
  readonly finishReason: NonNullable<RunOutcome['finishReason']>
  readonly usage: RunUsage
}

const DRAIN_MS = 1_000

type FinishPart = Extract<LanguageModelV4StreamPart, { type: 'finish' }>

/**
 * One call of the model: its stream as events.
 *
 * A delta costs the read of the stream and the string: no timer, no listener and no race of its own. An abort cancels the
 * reader, which ends a read that hangs.
 *
 * @throws GatewayError `model-failed` and its kin, also where the stream ends without its `finish`; the signal's reason
 */
export async function* modelStep(options: ModelStepOptions): AsyncGenerator<AgentYield, ModelStep> {
  const { signal, openCalls, holdText } = options
  const reader = (await open(options)).getReader()
  const cancel = (): void => void reader.cancel(signal.reason).catch(() => {})
  signal.addEventListener('abort', cancel, { once: true })
  if (signal.aborted) cancel()
  const content = new StepContent()
  const calls = new StepCalls(openCalls, content)
  let isRead = false
  try {
    for (;;) {
      const { done, value: part } = await reader.read()
      if (done) throw new GatewayError('model-failed', "The model's answer ended before it was complete.")
      if (part.type === 'text-delta') {
        content.append('text', part)
        if (!holdText && part.delta !== '') yield part.delta
      } else if (part.type === 'reasoning-delta') {
        content.append('reasoning', part)
        if (part.delta !== '') yield { type: 'text-delta', delta: part.delta, channel: 'reasoning' }
      } else if (part.type === 'finish') {
        for (const event of calls.close()) yield event
        const step = finished(part, content, calls)
        void drain(reader)
        isRead = true
        return step
      } else if (part.type === 'error') {
        throw modelError(part.error)
      } else if (!content.take(part)) {
        for (const event of calls.take(part)) yield event
      }
    }
  } catch (error) {
    signal.throwIfAborted()
    throw modelError(error)
  } finally {
    signal.removeEventListener('abort', cancel)
    if (!isRead) cancel()
  }
}

/** Reads what is behind the finish, which is nothing we need: a connection that was read to its end is used again. */
async function drain(reader: ReadableStreamDefaultReader<unknown>): Promise<void> {
  const timer = setTimeout(() => void reader.cancel().catch(() => {}), DRAIN_MS).unref()
  try {
    while (!(await reader.read()).done);
  } catch {
    // The step is complete; how its stream ends does not matter.
  } finally {
    clearTimeout(timer)
  }
}

async function open({
  model,
  call,
  signal,
}: ModelStepOptions): Promise<ReadableStream<LanguageModelV4StreamPart>> {
  try {
    return await openStream(model, { ...call, abortSignal: signal }, signal)
  } catch (error) {
    signal.throwIfAborted()
    throw modelError(error)
  }
}

function finished(part: FinishPart, content: StepContent, calls: StepCalls): ModelStep {
  const { parts, text } = content
  return { parts, text, calls: calls.mine, finishReason: reasonOf(part), usage: usageOf(part.usage) }
}

/** @throws GatewayError `model-failed` where the provider says that the answer is not one */
function reasonOf({ finishReason: { unified, raw } }: FinishPart): ModelStep['finishReason'] {
  switch (unified) {
    case 'stop':
    case 'length':
    case 'tool-calls':
    case 'content-filter':
      return unified
    case 'other':
      return 'stop'
    case 'error':
    case 'interrupted':
      throw new GatewayError('model-failed', 'The model did not complete its answer.', { cause: raw })
    default:
      return unified satisfies never
  }
}
