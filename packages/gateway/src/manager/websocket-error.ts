import type { ErrorCode } from '@turnpike/protocol'

interface WebSocketErrorOptions {
  /** @default 'internal' */
  readonly code?: ErrorCode
  readonly connectionId?: string
  readonly cause?: unknown
}

/** What goes wrong with a connection, a message or a call of the connection manager. Safe to show to a peer. */
export class WebSocketError extends Error {
  override readonly name: string = 'WebSocketError'
  /** A code of the protocol's table of errors. */
  readonly code: ErrorCode
  /** Whose connection it is about, if it is about one. */
  readonly connectionId?: string

  constructor(message: string, options: WebSocketErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = options.code ?? 'internal'
    if (options.connectionId !== undefined) this.connectionId = options.connectionId
  }
}

/** A call of the manager that cannot be done: the mistake is not a client's. */
export class CallError extends WebSocketError {}

/** A connection that is not let in. */
export class WebSocketConnectionError extends WebSocketError {
  override readonly name = 'WebSocketConnectionError'
}

/** What of an error a peer is told. */
export interface ShownError {
  readonly message: string
  readonly code: ErrorCode
  readonly retryAfterMs?: number | undefined
}

/** How an error is told to a peer. */
export interface ErrorFrame {
  readonly type: 'error'
  readonly error: string
  readonly code: ErrorCode
  readonly retryAfterMs?: number
}

export function errorFrame({ message, code, retryAfterMs }: ShownError): ErrorFrame {
  return { type: 'error', error: message, code, ...(retryAfterMs !== undefined && { retryAfterMs }) }
}

/** Anything that was thrown, as an error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new WebSocketError(textOf(thrown), { cause: thrown })
}

/** There are values without a text, and some that throw when they are asked for it. */
function textOf(thrown: unknown): string {
  try {
    return String(thrown)
  } catch {
    return 'Something was thrown that is no error.'
  }
}

/** What is said of a message over the limit. */
export function tooLargeMessage(maxBytes: number): string {
  return `Message exceeds max size (${maxBytes} bytes)`
}
