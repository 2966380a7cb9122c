import { ERRORS, type ErrorBody, type ErrorCode, GatewayError } from '@turnpike/protocol'
import { backoffMs } from './backoff.ts'
import type { Clock } from './clock.ts'
import { isAboutToken } from './reconnect.ts'
import type { Tokens } from './tokens.ts'

/** What is needed of `fetch`. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>

const ATTEMPTS = 4
const DEADLINE_MS = 20_000

export interface HttpOptions {
  /** `https://host/base`, with no slash at the end. */
  readonly url: string
  readonly fetch: Fetch
  readonly tokens: Tokens
  readonly clock: Clock
}

/** Reads the routes that answer in JSON. */
export class Http {
  readonly #options: HttpOptions

  constructor(options: HttpOptions) {
    this.#options = options
  }

  /**
   * Reads a route. What may only be a bad moment is tried again a few times.
   *
   * @throws GatewayError where the server refuses, or cannot be reached
   */
  async get<Body>(path: string, signal?: AbortSignal): Promise<Body> {
    const { tokens, clock } = this.#options
    for (let attempt = 0; ; attempt++) {
      const token = await tokens.get()
      try {
        const body = await this.#once<Body>(path, token, signal)
        tokens.accepted()
        return body
      } catch (thrown) {
        signal?.throwIfAborted()
        const error = thrown instanceof GatewayError ? thrown : unreachable(thrown)
        if (isAboutToken(error)) {
          if (tokens.refused(token)) continue
          throw error
        }
        if (error.row.retry === 'never' || attempt + 1 >= ATTEMPTS) throw error
        await delay(clock, (error.retryAfterMs ?? 0) + backoffMs(attempt, clock.random()), signal)
      }
    }
  }

  /** Finds out what the server has to say where another wire could not be opened. Never throws. */
  async look(): Promise<{ readonly works: boolean; readonly error?: GatewayError }> {
    try {
      await this.#once('/readyz', undefined, undefined)
      return { works: true }
    } catch (error) {
      return error instanceof GatewayError ? { works: false, error } : { works: false }
    }
  }

  async #once<Body>(path: string, token: string | undefined, signal: AbortSignal | undefined): Promise<Body> {
    const { url, fetch, clock } = this.#options
    const late = new AbortController()
    const stop = clock.after(DEADLINE_MS, () => late.abort(new Error('The server did not answer in time.')))
    try {
      const response = await fetch(`${url}${path}`, {
        headers: headersOf(token),
        signal: signal ? AbortSignal.any([signal, late.signal]) : late.signal,
      })
      if (!response.ok) throw await refusalOf(response)
      return (await response.json()) as Body
    } finally {
      stop()
    }
  }
}

/** What says who is asking. */
export function headersOf(token: string | undefined): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` }
}

/** What a server answered instead of what was asked for. It may not be ours: a proxy has other words. */
export async function refusalOf(response: Response): Promise<GatewayError> {
  const { status } = response
  const body = (await response.json().catch(() => undefined)) as { error?: Partial<ErrorBody> } | undefined
  const { code, message, retryAfterMs: told } = body?.error ?? {}
  // Pages of another origin do not get to see the header.
  const retryAfterMs = retryAfterOf(response.headers.get('retry-after')) ?? told
  return GatewayError.from({
    code: typeof code === 'string' ? code : codeOf(status),
    message: typeof message === 'string' ? message : `The server answered with ${status}.`,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  })
}

/** That no answer came at all. */
export function unreachable(cause: unknown): GatewayError {
  return new GatewayError('internal', 'The server cannot be reached.', { cause })
}

/** Seconds, or a date. */
function retryAfterOf(text: string | null): number | undefined {
  if (text === null || text.trim() === '') return undefined
  const seconds = Number(text)
  const delayMs = Number.isNaN(seconds) ? Date.parse(text) - Date.now() : seconds * 1000
  return Number.isNaN(delayMs) ? undefined : Math.max(0, delayMs)
}

function codeOf(status: number): ErrorCode {
  if (status === 401) return 'unauthorized'
  const codes = Object.keys(ERRORS) as ErrorCode[]
  return codes.find((code) => ERRORS[code].http === status && status < 500) ?? 'internal'
}

function delay(clock: Clock, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      stop()
      reject(signal?.reason)
    }
    const stop = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
