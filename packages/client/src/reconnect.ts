import { type ErrorCode, ERRORS, GatewayError } from '@turnpike/protocol'
import { backoffMs } from './backoff.ts'
import type { LinkEnd } from './wire.ts'

/** What is known when a link has ended. */
export interface EndedLink {
  readonly end: LinkEnd
  /** Attempts since the connection was last stable. */
  readonly attempt: number
  /** At least 0, below 1. */
  readonly random: number
  /** Where the token was refused: whether there may be a better one. */
  readonly mayRenew: boolean
}

/** What to do now. A delay holds for everybody; `leastMs` is what the server asked for, and no news shortens it. */
export type NextStep =
  | { readonly step: 'give-up'; readonly error: GatewayError }
  | { readonly step: 'renew-token' }
  | { readonly step: 'retry'; readonly delayMs: number; readonly leastMs: number }

/** Decides what follows the end of a link. */
export function nextStep({ end, attempt, random, mayRenew }: EndedLink): NextStep {
  const error = errorOf(end)
  if (error && isAboutToken(error)) {
    return mayRenew ? { step: 'renew-token' } : { step: 'give-up', error }
  }
  if (isFinal(end, error)) {
    const message = `The server closed the connection for good (${end.closeCode ?? 'no code'}).`
    return { step: 'give-up', error: error ?? new GatewayError('internal', message) }
  }
  const leastMs = end.retryAfterMs ?? error?.retryAfterMs ?? 0
  return { step: 'retry', delayMs: leastMs + backoffMs(attempt, random), leastMs }
}

/** Tells whether a server refused the token, and not the client. */
export function isAboutToken(error: GatewayError | undefined): boolean {
  return error?.code === 'unauthorized' || error?.code === 'token-expired'
}

function isFinal({ closeCode }: LinkEnd, error: GatewayError | undefined): boolean {
  if (closeCode === undefined) return error?.row.retry === 'never'
  return closeCode >= 4400 && closeCode < 4500
}

/** Why a link ended, as far as that has a code. */
export function errorOf({ error, closeCode }: LinkEnd): GatewayError | undefined {
  if (error || closeCode === undefined || closeCode < 4000) return error
  const code = (Object.keys(ERRORS) as ErrorCode[]).find((each) => closeCodeOf(each) === closeCode)
  return code && new GatewayError(code, `The server closed the connection: ${code}.`)
}

function closeCodeOf(code: ErrorCode): number | undefined {
  const row = ERRORS[code]
  return 'close' in row ? row.close : undefined
}
