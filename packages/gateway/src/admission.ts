import { isIP } from 'node:net'
import type { Principal } from '@turnpike/agents'
import { GatewayError } from '@turnpike/protocol'
import { ANONYMOUS } from './access.ts'
import type { Logger } from './logger.ts'
import type { TimerWheel } from './timer-wheel.ts'

/** Tells who a token belongs to; null refuses it for good. One that throws lets the client try again later. */
export type Authenticate = (token: string) => Promise<Principal | null>

/** Origins that a browser may come from, as `scheme://host[:port]`, compared exactly; `'*'` lets all in. */
export type AllowedOrigins = readonly string[] | '*'

export interface AdmissionOptions {
  /** Without it everybody is anonymous. */
  readonly authenticate?: Authenticate | undefined
  /** @default [] */
  readonly allowedOrigins?: AllowedOrigins | undefined
  readonly logger: Logger
  readonly wheel: TimerWheel
  /** Time a verdict may take. */
  readonly deadlineMs: number
}

/** Who may come in: the same two questions on every wire, where from and who. */
export class Admission {
  readonly #options: AdmissionOptions

  constructor(options: AdmissionOptions) {
    this.#options = options
  }

  /** Whether a token is needed at all. */
  get isRequired(): boolean {
    return this.#options.authenticate !== undefined
  }

  /**
   * Decides where a browser may come from. Who is no browser sends no `Origin` and is let in.
   *
   * Listed origins are in. So is the page's own server, where it is addressed by an IP address or a name without a
   * dot, such as localhost: those cannot be pointed here by somebody else's DNS. Where nobody has to authenticate,
   * other names are refused without an `Origin` too, since a page whose name was pointed here sends none with a GET.
   *
   * @throws GatewayError `origin-not-allowed`
   */
  assertOrigin(headers: { origin?: string | undefined; host?: string | undefined }): void {
    const { origin, host } = headers
    const allowed = this.#options.allowedOrigins ?? []
    if (allowed === '*' || (origin !== undefined && allowed.includes(origin))) return
    const isOwn = origin === undefined || (URL.canParse(origin) && new URL(origin).host === host)
    if (isOwn && ((origin === undefined && this.isRequired) || isOurs(host, allowed))) return
    throw new GatewayError('origin-not-allowed', 'This origin or host is not on the list of allowed origins.')
  }

  /**
   * @throws GatewayError `unauthorized` where a token is needed and this one, or its absence, does not do;
   *   `auth-timeout` where there is no verdict in time
   */
  async principalOf(token: string | undefined): Promise<Principal> {
    const { authenticate, logger } = this.#options
    if (!authenticate) return ANONYMOUS
    if (token === undefined) throw new GatewayError('unauthorized', 'A token is required.')
    let principal: Principal | null
    try {
      principal = token === '' ? null : await this.#inTime(authenticate(token))
    } catch (error) {
      if (error instanceof GatewayError) throw error
      logger.error({ error }, 'the authenticator failed')
      throw new GatewayError('internal', 'There was no verdict on the token. Try again.', { cause: error })
    }
    if (!principal) throw new GatewayError('unauthorized', 'The token was not accepted.')
    return principal
  }

  async #inTime<Verdict>(verdict: Promise<Verdict>): Promise<Verdict> {
    const { wheel, deadlineMs } = this.#options
    const late = Promise.withResolvers<never>()
    const stop = wheel.schedule(deadlineMs, () =>
      late.reject(new GatewayError('auth-timeout', 'There was no verdict on the token in time.')),
    )
    return Promise.race([verdict, late.promise]).finally(stop)
  }
}

/** Whether a `Host` header can only mean this server: an IP address, a name without a dot, or an allowed origin's. */
function isOurs(host: string | undefined, allowed: readonly string[]): boolean {
  if (host === undefined) return true
  if (!URL.canParse(`http://${host}`)) return false
  const name = new URL(`http://${host}`).hostname.replace(/^\[|\]$/g, '')
  if (!name.includes('.') || isIP(name) !== 0) return true
  return allowed.some((origin) => URL.canParse(origin) && new URL(origin).host === host)
}

/** The token of an `Authorization: Bearer` header; undefined where there is no such header. */
export function bearerToken(header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  return /^Bearer +(\S+) *$/i.exec(header)?.[1] ?? ''
}

/** Lets `perSecond` through, and up to `burst` at once. What counts more than once takes as many. */
export class TokenBucket {
  readonly #perSecond: number
  readonly #burst: number
  #tokens: number
  #refilledAt = performance.now()

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#tokens = burst
  }

  take(count = 1): boolean {
    const now = performance.now()
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#refilledAt) / 1000) * this.#perSecond)
    this.#refilledAt = now
    if (this.#tokens < count) return false
    this.#tokens -= count
    return true
  }
}
