import { GatewayError } from '@turnpike/protocol'

const RETRY_MS = 1_000

/** Counts those who wait for a verdict: they cost memory, and nobody knows them yet. */
export class WaitingRoom {
  readonly #places: number
  #count = 0

  constructor(places: number) {
    this.#places = places
  }

  /** @throws GatewayError `too-many-connections` */
  assertRoom(): void {
    if (this.#count < this.#places) return
    throw new GatewayError('too-many-connections', 'Too many connections wait to be authenticated.', {
      retryAfterMs: RETRY_MS,
    })
  }

  /** Takes a place until what it returns is called. */
  enter(): () => void {
    this.#count++
    let left = false
    return () => {
      if (!left) this.#count--
      left = true
    }
  }
}
