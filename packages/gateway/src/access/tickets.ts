import { createHash, randomBytes } from 'node:crypto'
import { type Limits, GatewayError } from '@turnpike/protocol'
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible'
import { type Admitted, hasExpired } from './identity.ts'
import type { TicketStore } from '../stores/store.ts'

const TICKET_BYTES = 32
const TICKET = /^[A-Za-z0-9_-]{43}$/
const MINUTE_SECONDS = 60

/** A credential of one use, for an address where no header can be sent. */
export interface Ticket {
  readonly ticket: string
  /** In ms since the epoch. */
  readonly expiresAt: number
}

/** Why a ticket is not good. */
export type TicketFault = 'malformed ticket' | 'unknown ticket' | 'expired ticket'

export interface TicketsOptions {
  readonly store: TicketStore
  readonly limits: Pick<Limits, 'ticketMs' | 'resumeTicketMs' | 'ticketsPerMinute'>
}

/**
 * Tickets: random, good once and for a short time, never longer than the credential they were got with.
 *
 * The store knows a digest of each only, so that nobody gets in with what was read there.
 */
export class Tickets {
  readonly #options: TicketsOptions
  readonly #asked: RateLimiterMemory

  constructor(options: TicketsOptions) {
    this.#options = options
    this.#asked = new RateLimiterMemory({ points: options.limits.ticketsPerMinute, duration: MINUTE_SECONDS })
  }

  /** A ticket for somebody who asks for one. @throws GatewayError `rate-limited` */
  async issue(admitted: Admitted): Promise<Ticket> {
    await this.#count(admitted.principal.id)
    return this.#save(admitted, this.#options.limits.ticketMs)
  }

  /** A ticket to come back with elsewhere, for somebody who is sent away. */
  issueForReturn(admitted: Admitted): Promise<Ticket> {
    return this.#save(admitted, this.#options.limits.resumeTicketMs)
  }

  /** What a ticket looks like where nobody looks at it. */
  blank(): Ticket {
    return newTicket(Date.now() + this.#options.limits.ticketMs)
  }

  /** Who a ticket belongs to; it is used up with that. */
  async redeem(ticket: string): Promise<Admitted | TicketFault> {
    if (!TICKET.test(ticket)) return 'malformed ticket'
    const found = await this.#options.store.take(digestOf(ticket))
    if (!found) return 'unknown ticket'
    const { principal, expiresAt, credentialExpiresAt } = found
    if (hasExpired({ principal, expiresAt })) return 'expired ticket'
    return credentialExpiresAt === undefined ? { principal } : { principal, expiresAt: credentialExpiresAt }
  }

  async #save({ principal, expiresAt: credentialExpiresAt }: Admitted, lifeMs: number): Promise<Ticket> {
    const expiresAt = Math.min(Date.now() + lifeMs, credentialExpiresAt ?? Infinity)
    const issued = newTicket(expiresAt)
    const credential = credentialExpiresAt === undefined ? {} : { credentialExpiresAt }
    await this.#options.store.save(digestOf(issued.ticket), { principal, expiresAt, ...credential })
    return issued
  }

  async #count(principalId: string): Promise<void> {
    const { ticketsPerMinute } = this.#options.limits
    await this.#asked.consume(principalId).catch((refusal: RateLimiterRes) => {
      throw new GatewayError('rate-limited', `A user may get ${ticketsPerMinute} tickets a minute.`, {
        retryAfterMs: refusal.msBeforeNext,
      })
    })
  }
}

function newTicket(expiresAt: number): Ticket {
  return { ticket: randomBytes(TICKET_BYTES).toString('base64url'), expiresAt }
}

function digestOf(ticket: string): string {
  return createHash('sha256').update(ticket).digest('base64url')
}
