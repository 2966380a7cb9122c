/** How fast a peer may be, told as how far ahead of that it is. */
export class Pace {
  readonly #intervalMs: number
  readonly #burstMs: number
  /** When all that has come would have come at the even pace. */
  #evenAt = 0

  constructor(perSecond: number, burst: number) {
    this.#intervalMs = 1_000 / perSecond
    this.#burstMs = burst * this.#intervalMs
  }

  /** The time after which all that came would have been in time; 0 where it is. */
  get aheadMs(): number {
    return Math.max(0, this.#evenAt - performance.now() - this.#burstMs)
  }

  /** The time after which one more is in time; 0 where it is now. */
  get waitMs(): number {
    const now = performance.now()
    return Math.max(0, Math.max(now, this.#evenAt) + this.#intervalMs - this.#burstMs - now)
  }

  /** Counts one more, and tells how far ahead that is. */
  take(): number {
    this.#evenAt = Math.max(performance.now(), this.#evenAt) + this.#intervalMs
    return this.aheadMs
  }
}
