import { GatewayError } from '@turnpike/protocol'

/** That something was closed here, and on purpose. Loops over it end; promises of it reject. */
export function closing(what: string): GatewayError {
  return new GatewayError('cancelled', `${what} was closed.`)
}

/** Tells whether an error only says that. No server refuses a reader with it. */
export function isClosing(error: Error | undefined): boolean {
  return error instanceof GatewayError && error.code === 'cancelled'
}
