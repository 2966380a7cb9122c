import type { Principal } from '@turnpike/agents'
import { GatewayError } from '@turnpike/protocol'
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible'
import type { Socket } from 'socket.io'
import { ANONYMOUS } from '../../stores/thread-ref.ts'

const MINUTE_SECONDS = 60

/**
 * How much may be asked for in a minute: on one connection, and by one user over all of them, so that to join
 * again, or to have many, does not help. Nobody shares `anonymous`.
 */
export class RequestLimits {
  readonly #perMinute: number
  readonly #connections: RateLimiterMemory
  readonly #users: RateLimiterMemory

  /** @param perMinute - 0 is no limit. */
  constructor(perMinute: number) {
    this.#perMinute = perMinute
    this.#connections = new RateLimiterMemory({ points: perMinute, duration: MINUTE_SECONDS })
    this.#users = new RateLimiterMemory({ points: perMinute, duration: MINUTE_SECONDS })
  }

  /** Counts a request. @throws GatewayError `rate-limited` */
  async take({ conn }: Pick<Socket, 'conn'>, { id }: Principal): Promise<void> {
    if (this.#perMinute === 0) return
    try {
      await this.#connections.consume(conn['id'])
      if (id !== ANONYMOUS.id) await this.#users.consume(id)
    } catch (refusal) {
      const { msBeforeNext } = refusal as RateLimiterRes
      const message = `At most ${this.#perMinute} requests a minute.`
      throw new GatewayError('rate-limited', message, { retryAfterMs: msBeforeNext })
    }
  }
}
