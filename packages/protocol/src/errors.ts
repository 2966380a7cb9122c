/** Whether the same request may succeed later: never, after a delay, or at once on a new connection. */
export type Retry = 'never' | 'after-delay' | 'reconnect'

interface ErrorRow {
  /** HTTP status of an answer that carries this error. */
  readonly http: number
  /** WebSocket close code where this error ends a connection; 4400–4499 are final, 4500–4599 may be retried. */
  readonly close?: number
  readonly retry: Retry
}

/** Every error that Turnpike reports, by its stable code. Clients may switch on the code, never on the message. */
export const ERRORS = {
  'invalid-frame': { http: 400, close: 4400, retry: 'never' },
  'invalid-payload': { http: 400, retry: 'never' },
  'invalid-event-id': { http: 400, retry: 'never' },
  'too-deep': { http: 400, retry: 'never' },
  'unknown-command': { http: 400, retry: 'never' },
  'unsupported-subprotocol': { http: 400, close: 4406, retry: 'never' },
  unauthorized: { http: 401, close: 4401, retry: 'never' },
  // A newer token may be had: who comes back with one is let in.
  'token-expired': { http: 401, close: 4501, retry: 'reconnect' },
  'auth-timeout': { http: 401, close: 4408, retry: 'never' },
  forbidden: { http: 403, close: 4403, retry: 'never' },
  'origin-not-allowed': { http: 403, retry: 'never' },
  'unknown-route': { http: 404, retry: 'never' },
  'unknown-agent': { http: 404, close: 4404, retry: 'never' },
  'unknown-thread': { http: 404, retry: 'never' },
  'unknown-run': { http: 404, retry: 'never' },
  'unknown-approval': { http: 404, retry: 'never' },
  'unknown-artifact': { http: 404, retry: 'never' },
  'unknown-connection': { http: 404, retry: 'never' },
  'unknown-call': { http: 404, retry: 'never' },
  'thread-busy': { http: 409, retry: 'after-delay' },
  'run-id-conflict': { http: 409, retry: 'never' },
  'payload-too-large': { http: 413, close: 1009, retry: 'never' },
  'early-overflow': { http: 429, close: 4429, retry: 'never' },
  'rate-limited': { http: 429, close: 4529, retry: 'after-delay' },
  'budget-exhausted': { http: 429, retry: 'after-delay' },
  'too-many-runs': { http: 429, retry: 'after-delay' },
  'too-many-subscriptions': { http: 429, retry: 'never' },
  'too-many-connections': { http: 503, close: 4513, retry: 'after-delay' },
  // Another connection of the same entity has taken over: to come back would only take over from that one.
  'entity-replaced': { http: 409, close: 4409, retry: 'never' },
  'connection-closed': { http: 410, close: 4510, retry: 'reconnect' },
  draining: { http: 503, close: 1012, retry: 'reconnect' },
  internal: { http: 500, close: 4500, retry: 'after-delay' },
  // These end a run: they come in its `error` event.
  'agent-failed': { http: 500, retry: 'never' },
  'invalid-agent-event': { http: 500, retry: 'never' },
  'event-too-large': { http: 500, retry: 'never' },
  'output-too-large': { http: 500, retry: 'never' },
  'run-timeout': { http: 504, retry: 'never' },
  'run-lost': { http: 500, retry: 'never' },
  'model-failed': { http: 502, retry: 'after-delay' },
  'model-rate-limited': { http: 503, retry: 'after-delay' },
  'model-unauthorized': { http: 502, retry: 'never' },
  'invalid-output': { http: 502, retry: 'never' },
  // How the call of a tool ended: they come in `tool-call-error`, and in answers to a call that a client makes itself.
  'unknown-tool': { http: 404, retry: 'never' },
  'invalid-arguments': { http: 400, retry: 'never' },
  'approval-required': { http: 403, retry: 'never' },
  denied: { http: 403, retry: 'never' },
  'tool-failed': { http: 500, retry: 'never' },
  'tool-timeout': { http: 504, retry: 'never' },
  // Who brings the tool is not connected any more, or was when the call was made.
  'entity-gone': { http: 503, retry: 'after-delay' },
  cancelled: { http: 499, retry: 'never' },
} as const satisfies Record<string, ErrorRow>

/** A stable error code: a key of {@link ERRORS}. */
export type ErrorCode = keyof typeof ERRORS

/** An error as it travels: in an answer, an HTTP body, an `error` event. */
export interface ErrorBody {
  readonly code: string
  readonly message: string
  readonly retryAfterMs?: number
}

/**
 * The one error that peers get to see.
 *
 * Its message is safe to show: it never holds a stack, a secret or another user's data. What caused it goes to
 * the log of the server, as `cause`.
 */
export class GatewayError extends Error {
  override readonly name = 'GatewayError'
  readonly code: ErrorCode
  readonly retryAfterMs: number | undefined

  constructor(code: ErrorCode, message: string, options: { retryAfterMs?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.code = code
    this.retryAfterMs = options.retryAfterMs
  }

  /** The row of {@link ERRORS} for this code. */
  get row(): ErrorRow {
    return ERRORS[this.code]
  }

  toJSON(): ErrorBody {
    const { code, message, retryAfterMs } = this
    return retryAfterMs === undefined ? { code, message } : { code, message, retryAfterMs }
  }

  /** Reads an error that came over a wire; a code this version does not know becomes `internal`. */
  static from(body: ErrorBody): GatewayError {
    const { message, retryAfterMs } = body
    return new GatewayError(
      isErrorCode(body.code) ? body.code : 'internal',
      message,
      retryAfterMs === undefined ? {} : { retryAfterMs },
    )
  }
}

/** Tells whether a string is a code of {@link ERRORS}; names such as `constructor` are not. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}
