import { GatewayError } from '@turnpike/protocol'
import type { RequestHead } from '../access/credentials.ts'
import { type Admitted, TOKEN_CHARS, admittedFrom, hasExpired } from '../access/identity.ts'
import type { Logger } from '../telemetry/logger.ts'
import { type AllowedOrigins, Origins } from '../access/origins.ts'
import type { TimerWheel } from '../timing/timer-wheel.ts'
import {
  type Presented,
  type WebSocketAuth,
  assertAuth,
  assertRights,
  isRequired,
  presentedAs,
  presentedWith,
} from './websocket-auth.ts'

export interface GuardOptions {
  readonly auth: WebSocketAuth
  readonly allowedOrigins: AllowedOrigins | undefined
  readonly logger: Logger
  readonly wheel: TimerWheel
  readonly deadlineMs: number
}

/** Who may come in at one path. */
export class Guard {
  readonly #options: GuardOptions
  readonly #origins: Origins

  /** @throws TypeError where `auth` cannot be */
  constructor(options: GuardOptions) {
    const { auth, allowedOrigins: allowed } = options
    assertAuth(auth, allowed === '*')
    this.#options = options
    this.#origins = new Origins({ allowed, isOpen: !isRequired(auth) })
  }

  /** Whether who comes without a credential has to send one first. */
  get isRequired(): boolean {
    return isRequired(this.#options.auth)
  }

  /** Whether a credential is looked for at all. */
  get asks(): boolean {
    return this.#options.auth.strategy !== 'none'
  }

  /** @throws GatewayError `origin-not-allowed` */
  assertOrigin(headers: RequestHead['headers']): void {
    this.#origins.assert(headers)
  }

  /** Takes somebody whom the server itself knows. @throws GatewayError `unauthorized` | `forbidden` */
  admitted(user: unknown): Admitted {
    const admitted = this.#checked(user)
    if (hasExpired(admitted)) throw this.#refusal('expired credential')
    this.assertRights(admitted.principal)
    return admitted
  }

  /** @throws GatewayError `forbidden` */
  assertRights(user: Admitted['principal'] | undefined): void {
    if (this.asks) assertRights(this.#options.auth, user)
  }

  presentedWith(request: RequestHead): Presented | undefined {
    if (!this.asks) return undefined
    const { headers } = request
    // A browser names an origin with every handshake of a WebSocket: without one it is no page that asks.
    const isNoPage = headers['origin'] === undefined && headers['sec-fetch-site'] === undefined
    return presentedWith(this.#options.auth, request, isNoPage || this.#origins.isTrusted(headers))
  }

  presentedAs(token: unknown): Presented {
    return presentedAs(this.#options.auth, token)
  }

  /**
   * Decides who somebody is.
   *
   * @throws GatewayError `unauthorized` | `forbidden`; `auth-timeout` where there is no verdict in time, `internal` where
   *   there is none at all
   */
  async admit(presented: Presented): Promise<Admitted> {
    if (presented === null || presented.length > TOKEN_CHARS) throw this.#refusal('malformed credential')
    const told = await this.#verdictOn(presented)
    if (told === null || told === undefined) throw this.#refusal('credential not accepted')
    return this.admitted(told)
  }

  async #verdictOn(presented: string): Promise<unknown> {
    const { auth, wheel, deadlineMs, logger } = this.#options
    const late = Promise.withResolvers<never>()
    const stop = wheel.schedule(auth.timeoutMs ?? deadlineMs, () => late.reject(tooLate()))
    try {
      return await Promise.race([this.#ask(presented), late.promise])
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'auth-timeout') throw error
      logger.error({ error }, 'the validator of a path failed')
      throw new GatewayError('internal', 'There was no verdict on the credential. Try again.')
    } finally {
      stop()
    }
  }

  async #ask(presented: string): Promise<unknown> {
    return this.#options.auth.validate?.(presented)
  }

  #checked(told: unknown): Admitted {
    try {
      return admittedFrom(told)
    } catch (error) {
      this.#options.logger.error({ error }, 'what a path was told is no user')
      throw this.#refusal('no user')
    }
  }

  /** What a client learns is the same for all reasons. The log never holds a credential. */
  #refusal(reason: string): GatewayError {
    this.#options.logger.info({ reason }, 'a credential was refused')
    return new GatewayError('unauthorized', 'The credential was not accepted.')
  }
}

function tooLate(): GatewayError {
  return new GatewayError('auth-timeout', 'There was no verdict on the credential in time.')
}
