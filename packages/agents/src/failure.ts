import { GatewayError } from '@turnpike/protocol'

/** What a part of a run failed with, as what the run fails with: it names the part and keeps the code. */
export function failureOf(part: string, cause: unknown): GatewayError {
  if (!(cause instanceof GatewayError)) return new GatewayError('agent-failed', `${part} failed.`, { cause })
  const { code, message, retryAfterMs } = cause
  const retry = retryAfterMs !== undefined && { retryAfterMs }
  return new GatewayError(code, `${part} failed: ${message}`, { cause, ...retry })
}
