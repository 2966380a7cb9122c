import { APICallError, LoadAPIKeyError } from '@ai-sdk/provider'
import { GatewayError } from '@turnpike/protocol'

/** Longest time we wait when a provider asks us to. */
export const MAX_RETRY_AFTER_MS = 60_000

/** What a run ends with when its model fails: safe to show, with the provider's error as its cause. */
export function modelError(cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause
  if (LoadAPIKeyError.isInstance(cause)) {
    return new GatewayError('model-unauthorized', "There is no key for the model's provider.", { cause })
  }
  const status = APICallError.isInstance(cause) ? cause.statusCode : undefined
  if (status === 401 || status === 403) {
    return new GatewayError('model-unauthorized', "The model's provider refused the key.", { cause })
  }
  const retryAfterMs = retryAfterOf(cause)
  if (status === 429) {
    return new GatewayError('model-rate-limited', "The model's provider refused more requests for now.", {
      cause,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    })
  }
  const detail = status === undefined ? '' : `: its provider answered ${status}`
  return new GatewayError('model-failed', `The model failed${detail}.`, { cause })
}

/** The time after which the provider wants the request again; undefined where it does not say. */
export function retryAfterOf(error: unknown): number | undefined {
  if (!APICallError.isInstance(error)) return undefined
  const headers = error.responseHeaders ?? {}
  const ms = Number.parseFloat(headers['retry-after-ms'] ?? '')
  if (ms >= 0) return ms
  const text = headers['retry-after'] ?? ''
  const seconds = Number(text)
  if (text !== '' && seconds >= 0) return seconds * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now())
}
