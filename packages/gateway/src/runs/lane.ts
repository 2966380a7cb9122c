import { type Limits, type WhenBusy, GatewayError } from '@turnpike/protocol'
import type { Run } from './run.ts'

/** The runs of one thread: at most one active, the others waiting for it in order. */
export class Lane {
  readonly #limits: Limits
  /** Never rejects: a run that cannot begin ends. */
  readonly #begin: (run: Run) => void
  #active: Run | undefined
  #waiting: Run[] = []

  constructor(limits: Limits, begin: (run: Run) => void) {
    this.#limits = limits
    this.#begin = begin
  }

  get isEmpty(): boolean {
    return this.#active === undefined && this.#waiting.length === 0
  }

  get isBusy(): boolean {
    return this.#active !== undefined
  }

  get active(): Run | undefined {
    return this.#active
  }

  /** @throws GatewayError `thread-busy` where a run goes on and this one may not wait for it */
  assertRoom(whenBusy: WhenBusy): void {
    if (!this.#active) return
    if (whenBusy === 'reject') throw new GatewayError('thread-busy', 'The thread has a run in progress.')
    if (this.#waiting.length >= this.#limits.queuedRuns) {
      throw new GatewayError(
        'thread-busy',
        `The thread has ${this.#limits.queuedRuns} messages waiting already.`,
      )
    }
  }

  /** Takes a run in. One that is active is the caller's to begin. */
  add(run: Run, whenBusy: WhenBusy): 'active' | 'waiting' {
    if (!this.#active) {
      this.#active = run
      return 'active'
    }
    if (whenBusy === 'interrupt') {
      this.#waiting.unshift(run)
      this.#active.stop('cancelled')
    } else {
      this.#waiting.push(run)
    }
    return 'waiting'
  }

  /** A run has ended: the next one begins. */
  release(run: Run): void {
    this.#waiting = this.#waiting.filter((waiting) => waiting !== run)
    if (this.#active !== run) return
    this.#active = this.#waiting.shift()
    if (this.#active) this.#begin(this.#active)
  }
}
