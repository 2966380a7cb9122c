import type { Principal } from '@turnpike/agents'
import { type Limits, GatewayError } from '@turnpike/protocol'
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible'
import { ANONYMOUS } from '../stores/thread-ref.ts'

const MINUTE_SECONDS = 60
/** When to look again where it is not known when there will be room. */
const RETRY_MS = 1_000

/** What one authenticated user may take of the server, over all connections and wires. Nobody shares `anonymous`. */
export class UserLimits {
  readonly #limits: Limits
  readonly #commands: RateLimiterMemory
  readonly #connections = new Map<string, number>()

  constructor(limits: Limits) {
    this.#limits = limits
    this.#commands = new RateLimiterMemory({ points: limits.userCommandsPerMinute, duration: MINUTE_SECONDS })
  }

  /** Counts a connection in until what it returns is called. @throws GatewayError `too-many-connections` */
  enter({ id }: Principal): () => void {
    if (id === ANONYMOUS.id) return () => {}
    const { userConnections } = this.#limits
    const count = this.#connections.get(id) ?? 0
    if (userConnections > 0 && count >= userConnections) {
      throw new GatewayError('too-many-connections', `A user may have ${userConnections} connections.`, {
        retryAfterMs: RETRY_MS,
      })
    }
    this.#connections.set(id, count + 1)
    let left = false
    return () => {
      if (left) return
      left = true
      this.#leave(id)
    }
  }

  /** Counts a command or a request. @throws GatewayError `rate-limited` */
  async takeCommand({ id }: Principal): Promise<void> {
    const { userCommandsPerMinute } = this.#limits
    if (id === ANONYMOUS.id || userCommandsPerMinute === 0) return
    await this.#commands.consume(id).catch((refusal: RateLimiterRes) => {
      const message = `A user may send ${userCommandsPerMinute} commands a minute.`
      throw new GatewayError('rate-limited', message, { retryAfterMs: refusal.msBeforeNext })
    })
  }

  /** @param going - How many runs of the principal go on already. */
  hasRoom({ id }: Principal, going: number): boolean {
    const { userRuns } = this.#limits
    return id === ANONYMOUS.id || userRuns === 0 || going < userRuns
  }

  /** @param has - How many runs of the principal there are already. @throws GatewayError `too-many-runs` */
  assertRun(principal: Principal, has: { going: number; parked: number }): void {
    if (principal.id === ANONYMOUS.id) return
    const { userRuns, userParkedRuns } = this.#limits
    const isFull = !this.hasRoom(principal, has.going)
    if (!isFull && (userParkedRuns === 0 || has.parked < userParkedRuns)) return
    const what = isFull ? `${userRuns} runs going on at once` : `${userParkedRuns} runs waiting for approval`
    throw new GatewayError('too-many-runs', `A user may have ${what}.`, { retryAfterMs: RETRY_MS })
  }

  #leave(id: string): void {
    const count = (this.#connections.get(id) ?? 1) - 1
    if (count > 0) this.#connections.set(id, count)
    else this.#connections.delete(id)
  }
}
