import { type ErrorBody, type ErrorCode, GatewayError } from '@turnpike/protocol'
import { backoffMs } from './backoff.ts'
import type { Clock } from './clock.ts'
import { closing } from './closing.ts'
import { isAboutToken } from './reconnect.ts'
import type { Tokens } from './tokens.ts'

/** What is needed of `fetch`. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>

const ATTEMPTS = 4
const DEADLINE_MS = 20_000
/** What a server says of the address, or of the page, whatever is asked for. */
const MISLED: readonly ErrorCode[] = ['unknown-route', 'origin-not-allowed']

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
  readonly #closed = new AbortController()

  constructor(options: HttpOptions) {
    this.#options = options
  }

  /**
   * Reads a route. What may only be a bad moment is tried again a few times.
   *
   * @throws GatewayError where the server refuses, or cannot be reached, or there is no token
   */
  async get<Body>(path: string, given?: AbortSignal): Promise<Body> {
    const { tokens, clock } = this.#options
    const signal = given ? AbortSignal.any([given, this.#closed.signal]) : this.#closed.signal
    for (let attempt = 0; ; attempt++) {
      signal.throwIfAborted()
      const token = await this.#token()
      try {
        const body = await this.#ask(path, { token, signal }, bodyOf<Body>)
        tokens.accepted()
        return body
      } catch (thrown) {
        signal.throwIfAborted()
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

  /** Ends what is being read: it is refused with this, and so is all that is asked for later. */
  close(error: Error = closing('The client')): void {
    this.#closed.abort(error)
  }

  /**
   * Finds out what the server has to say where another wire could not be opened. Never throws.
   *
   * It asks without a token, and somebody on the way may answer. So of refusals only those are told that ask to wait,
   * or that say that nobody will ever be let in from here.
   */
  async look(): Promise<{ readonly works: boolean; readonly error?: GatewayError }> {
    try {
      return await this.#ask('/readyz', { signal: this.#closed.signal }, async (response) => {
        const { ok, status } = response
        const works = status < 500
        if (ok) return { works }
        const error = await refusalOf(response)
        const isNews = status === 429 || status === 503 || MISLED.includes(error.code)
        return isNews ? { works, error } : { works }
      })
    } catch {
      return { works: false }
    }
  }

  async #token(): Promise<string | undefined> {
    try {
      return await this.#options.tokens.get()
    } catch (cause) {
      if (cause instanceof GatewayError) throw cause
      throw new GatewayError('internal', 'There is no token: "getToken" failed.', { cause })
    }
  }

  async #ask<Answer>(
    path: string,
    { token, signal }: { token?: string | undefined; signal: AbortSignal },
    take: (response: Response) => Promise<Answer>,
  ): Promise<Answer> {
    const { url, fetch, clock } = this.#options
    const late = new AbortController()
    const stop = clock.after(DEADLINE_MS, () => late.abort(new Error('The server did not answer in time.')))
    try {
      const response = await fetch(`${url}${path}`, {
        headers: headersOf(token),
        signal: AbortSignal.any([signal, late.signal]),
      })
      return await take(response)
    } finally {
      stop()
    }
  }
}

async function bodyOf<Body>(response: Response): Promise<Body> {
  if (!response.ok) throw await refusalOf(response)
  return (await response.json()) as Body
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

/** Somebody on the way said no, or could not reach the server. That may be over in a moment, so little of it is final. */
function codeOf(status: number): ErrorCode {
  if (status === 401) return 'unauthorized'
  if (status === 413) return 'payload-too-large'
  if (status === 429) return 'rate-limited'
  return status >= 502 && status <= 504 ? 'draining' : 'internal'
}

function delay(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      stop()
      reject(signal.reason)
    }
    const stop = clock.after(delayMs, () => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
    signal.addEventListener('abort', onAbort, { once: true })
  })
}
