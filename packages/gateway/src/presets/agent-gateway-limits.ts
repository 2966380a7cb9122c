import type { Principal } from '@turnpike/agents'
import { GatewayError } from '@turnpike/protocol'
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible'
import { ANONYMOUS } from '../thread-ref.ts'

const MINUTE_SECONDS = 60

/**
 * How much may be asked for in a minute: on one socket, and by one user over all of its sockets, so that many of them
 * do not help. Nobody shares `anonymous`.
 */
export class RequestLimits {
  readonly #perMinute: number
  readonly #sockets: RateLimiterMemory
  readonly #users: RateLimiterMemory

  /** @param perMinute - 0 is no limit. */
  constructor(perMinute: number) {
    this.#perMinute = perMinute
    this.#sockets = new RateLimiterMemory({ points: perMinute, duration: MINUTE_SECONDS })
    this.#users = new RateLimiterMemory({ points: perMinute, duration: MINUTE_SECONDS })
  }

  /** Counts a request. @throws GatewayError `rate-limited` */
  async take(socketId: string, { id }: Principal): Promise<void> {
    if (this.#perMinute === 0) return
    try {
      await this.#sockets.consume(socketId)
      if (id !== ANONYMOUS.id) await this.#users.consume(id)
    } catch (refusal) {
      const { msBeforeNext } = refusal as RateLimiterRes
      const message = `At most ${this.#perMinute} requests a minute.`
      throw new GatewayError('rate-limited', message, { retryAfterMs: msBeforeNext })
    }
  }

  /** A socket is gone. */
  async forget(socketId: string): Promise<void> {
    await this.#sockets.delete(socketId)
  }
}
