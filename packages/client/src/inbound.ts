import { type Answer, type ErrorBody, type ThreadReset, GatewayError } from '@turnpike/protocol'
import type { Inbound, LinkEnd } from './wire.ts'

/** What a server says before it closes a connection. */
export interface Goodbye {
  readonly type: 'goodbye'
  readonly code: string
  readonly retryAfterMs?: number
  readonly ticket?: string
}

/** An answer to the command of that id. */
export interface Answered {
  readonly type: 'answer'
  readonly id: unknown
  readonly answer: Answer
}

/**
 * Reads a frame. What tells frames apart and what a cursor depends on is looked at; the rest is the server's word.
 *
 * @returns Nothing for a frame of a kind that a later server may add.
 * @throws SyntaxError where it is no JSON
 */
export function readFrame(text: string): Inbound | Goodbye | Answered | undefined {
  const frame: unknown = JSON.parse(text)
  if (typeof frame !== 'object' || frame === null) return undefined
  if ('ok' in frame && 'id' in frame)
    return { type: 'answer', id: frame.id, answer: frame as unknown as Answer }
  if ('type' in frame && frame.type === 'goodbye' && 'code' in frame) return frame as Goodbye
  return readEvent(frame)
}

/** What is an event, or the reset of a thread; nothing for what a later server may add. */
export function readEvent(frame: unknown): Inbound | undefined {
  if (typeof frame !== 'object' || frame === null || !('type' in frame)) return undefined
  if (!('threadId' in frame) || typeof frame.threadId !== 'string') return undefined
  if (frame.type === 'thread.reset') return 'history' in frame ? (frame as ThreadReset) : undefined
  const isEvent = 'seq' in frame && Number.isSafeInteger(frame.seq) && 'id' in frame && 'runId' in frame
  return isEvent ? (frame as Inbound) : undefined
}

/** What a goodbye tells of the end that follows it. */
export function endOf(goodbye: Goodbye | undefined): Omit<LinkEnd, 'reached' | 'closeCode'> {
  if (!goodbye) return {}
  const { retryAfterMs, ticket } = goodbye
  return {
    error: goodbyeError(goodbye),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(ticket !== undefined && { ticket }),
  }
}

/** A goodbye as an error. */
export function goodbyeError({ code, retryAfterMs }: Goodbye): GatewayError {
  const message = `The server closed the connection: ${code}.`
  return GatewayError.from({ code, message, ...(retryAfterMs !== undefined && { retryAfterMs }) })
}

/** What a server refused with; one that does not say what is wrong is `internal`. */
export function refusalOf(error: unknown): GatewayError {
  const body: { readonly [Name in keyof ErrorBody]?: unknown } =
    typeof error === 'object' && error !== null ? error : {}
  const { code, message, retryAfterMs } = body
  return GatewayError.from({
    code: typeof code === 'string' ? code : 'internal',
    message: typeof message === 'string' ? message : 'The server refused, and did not say why.',
    ...(typeof retryAfterMs === 'number' && { retryAfterMs }),
  })
}
