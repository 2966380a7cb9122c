import { GatewayError } from '@turnpike/protocol'
import { ANONYMOUS } from '../stores/thread-ref.ts'
import { type Place, type RequestHead, credentialOf } from './credentials.ts'
import { type Admitted, type Authenticate, TOKEN_CHARS, admittedFrom, hasExpired } from './identity.ts'
import type { Logger } from '../telemetry/logger.ts'
import { type AllowedOrigins, Origins } from './origins.ts'
import type { Ticket, Tickets } from './tickets.ts'
import type { TimerWheel } from '../timing/timer-wheel.ts'
import { WaitingRoom } from './waiting-room.ts'

export interface AdmissionOptions {
  /** Without it everybody is anonymous. */
  readonly authenticate?: Authenticate | undefined
  /** @default [] */
  readonly allowedOrigins?: AllowedOrigins | undefined
  /** The cookie that holds a token, for pages of the allowed origins and of this server. @default none is read */
  readonly cookieName?: string | undefined
  readonly tickets: Tickets
  readonly logger: Logger
  readonly wheel: TimerWheel
  /** Time a verdict may take. */
  readonly deadlineMs: number
  /** How many may wait for one at once. */
  readonly waiting: number
}

/** A token, empty where it is malformed; or a ticket. */
export type Presented = string | { readonly ticket: string }

const HEADER: Place = { in: 'header', name: 'authorization', scheme: 'bearer' }
const TICKET: Place = { in: 'query', name: 'ticket' }
const COOKIE_NAME = /^[\w!#$%&'*+.^`|~-]+$/

/** Who may come in: the same two questions on every wire, where from and who. */
export class Admission {
  /** Connections, and requests, that wait for a verdict. Those who only connect cannot shut the others out. */
  readonly connections: WaitingRoom
  readonly requests: WaitingRoom
  readonly #options: AdmissionOptions
  readonly #origins: Origins

  /** @throws Error where cookies are to be read and every origin may come */
  constructor(options: AdmissionOptions) {
    const { allowedOrigins: allowed, cookieName, waiting } = options
    if (cookieName !== undefined && allowed === '*') {
      throw new Error(
        '"cookieName" needs a list of "allowedOrigins": with "*", any page could use the cookie.',
      )
    }
    if (cookieName !== undefined && !COOKIE_NAME.test(cookieName)) {
      throw new Error(`"cookieName" has to be the name of a cookie, got "${cookieName}".`)
    }
    this.#options = options
    this.#origins = new Origins({ allowed, isOpen: !this.isRequired })
    this.connections = new WaitingRoom(waiting)
    this.requests = new WaitingRoom(waiting)
  }

  /** Whether a credential is needed at all. */
  get isRequired(): boolean {
    return this.#options.authenticate !== undefined
  }

  /** Whether pages may send cookies along. */
  get usesCookies(): boolean {
    return this.isRequired && this.#options.cookieName !== undefined
  }

  /** @throws GatewayError `origin-not-allowed` */
  assertOrigin(headers: RequestHead['headers']): void {
    this.#origins.assert(headers)
  }

  /** What a request brings along, if it is needed and there: in a header, as a ticket, in a cookie. */
  presentedWith(request: RequestHead): Presented | undefined {
    return this.#presentedAt(request, [HEADER, TICKET, ...this.#cookieOf(request)])
  }

  /**
   * Decides who somebody is.
   *
   * @throws GatewayError `unauthorized` where a credential is needed and this one, or its absence, does not do;
   *   `auth-timeout` where there is no verdict in time; `internal` where there is none at all
   */
  async admit(presented: Presented | undefined): Promise<Admitted> {
    if (!this.isRequired) return { principal: ANONYMOUS }
    if (presented === undefined) throw new GatewayError('unauthorized', 'A token is required.')
    const verdict = await this.#decide(presented)
    if (typeof verdict === 'string') throw this.#refusal(verdict)
    if (hasExpired(verdict)) throw this.#refusal('expired credential', verdict)
    return verdict
  }

  /**
   * A ticket for who asks with a header or a cookie. One ticket does not buy another.
   *
   * @throws GatewayError `rate-limited`, and as {@link admit}
   */
  async ticketFor(request: RequestHead): Promise<Ticket> {
    const { tickets } = this.#options
    if (!this.isRequired) return tickets.blank()
    const admitted = await this.admit(this.#presentedAt(request, [HEADER, ...this.#cookieOf(request)]))
    return tickets.issue(admitted)
  }

  /** A ticket to come back with; undefined for who needs none. */
  async returnTicket(admitted: Admitted): Promise<string | undefined> {
    if (!this.isRequired || hasExpired(admitted)) return undefined
    return (await this.#options.tickets.issueForReturn(admitted)).ticket
  }

  #cookieOf({ headers }: RequestHead): readonly Place[] {
    const { cookieName } = this.#options
    return cookieName !== undefined && this.#origins.isTrusted(headers)
      ? [{ in: 'cookie', name: cookieName }]
      : []
  }

  #presentedAt(request: RequestHead, places: readonly Place[]): Presented | undefined {
    if (!this.isRequired) return undefined
    const found = credentialOf(request, places)
    if (found?.place === TICKET) return { ticket: found.value ?? '' }
    return found && (found.value ?? '')
  }

  /** Who it is, or why the credential is refused. */
  async #decide(presented: Presented): Promise<Admitted | string> {
    const { authenticate, tickets, logger } = this.#options
    if (presented === '') return 'malformed token'
    if (typeof presented === 'string' && presented.length > TOKEN_CHARS) return 'token too long'
    let told: unknown
    try {
      told = await this.#inTime(
        typeof presented === 'string' ? authenticate?.(presented) : tickets.redeem(presented.ticket),
      )
    } catch (error) {
      if (error instanceof TooLate) throw new GatewayError('auth-timeout', error.message)
      logger.error({ error }, 'the authenticator failed')
      throw new GatewayError('internal', 'There was no verdict on the credential. Try again.', {
        cause: error,
      })
    }
    if (typeof presented !== 'string') return told as Admitted | string
    return told === null ? 'token not accepted' : this.#checked(told)
  }

  #checked(told: unknown): Admitted | string {
    try {
      return admittedFrom(told)
    } catch (error) {
      this.#options.logger.error({ error }, 'the authenticator told no identity')
      return 'no identity'
    }
  }

  /** What a client learns is the same for all reasons. The log never holds a credential. */
  #refusal(reason: string, admitted?: Admitted): GatewayError {
    const pii = admitted && { user: admitted.principal.id }
    this.#options.logger.info({ reason, ...(pii && { pii }) }, 'a credential was refused')
    return new GatewayError('unauthorized', 'The credential was not accepted.')
  }

  async #inTime(verdict: Promise<unknown> | undefined): Promise<unknown> {
    const { wheel, deadlineMs } = this.#options
    const late = Promise.withResolvers<never>()
    const stop = wheel.schedule(deadlineMs, () => late.reject(new TooLate()))
    return Promise.race([verdict, late.promise]).finally(stop)
  }
}

class TooLate extends Error {
  override readonly name = 'TooLate'
  override readonly message = 'There was no verdict on the credential in time.'
}
