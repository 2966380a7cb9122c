import { GatewayError } from '@turnpike/protocol'

/** What was thrown, as the one error that is shown. */
export function asGatewayError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new GatewayError('internal', message, { cause: thrown })
}
