import { APICallError } from '@ai-sdk/provider'
import type { LanguageModelV4, LanguageModelV4CallOptions, LanguageModelV4StreamPart } from '@ai-sdk/provider'
import { pause, untilAborted } from './abortable.ts'
import { MAX_RETRY_AFTER_MS, retryAfterOf } from './model-error.ts'

const RETRIES = 2
const BASE_DELAY_MS = 500

/**
 * Opens a model's stream. Where the provider refuses for now, it is asked up to three times.
 *
 * @throws the model's error, or the signal's reason as soon as it aborts
 */
export async function openStream(
  model: LanguageModelV4,
  options: LanguageModelV4CallOptions,
  signal: AbortSignal,
): Promise<ReadableStream<LanguageModelV4StreamPart>> {
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted()
    try {
      return await openOnce(model, options, signal)
    } catch (error) {
      const delayMs = retryDelay(error, attempt)
      if (signal.aborted || delayMs === undefined) throw error
      await pause(delayMs, signal)
    }
  }
}

async function openOnce(
  model: LanguageModelV4,
  options: LanguageModelV4CallOptions,
  signal: AbortSignal,
): Promise<ReadableStream<LanguageModelV4StreamPart>> {
  const opening = Promise.resolve(model.doStream(options))
  // A stream that comes after the abort is nobody's.
  void opening.then(
    ({ stream }) => (signal.aborted ? stream.cancel(signal.reason).catch(() => {}) : undefined),
    () => {},
  )
  return (await untilAborted(opening, signal)).stream
}

/** The time to wait before the next attempt; undefined where there should be none. */
function retryDelay(error: unknown, attempt: number): number | undefined {
  if (attempt >= RETRIES || !APICallError.isInstance(error) || !error.isRetryable) return undefined
  const retryAfterMs = retryAfterOf(error)
  if (retryAfterMs !== undefined) return retryAfterMs > MAX_RETRY_AFTER_MS ? undefined : retryAfterMs
  const fullMs = BASE_DELAY_MS * 2 ** attempt
  return fullMs / 2 + (Math.random() * fullMs) / 2
}
