import { type Limits, type WhenBusy, GatewayError } from '@turnpike/protocol'
import type { Run } from './run.ts'

/** The runs of one thread: at most one active, the others waiting for it in order. */
export class Lane {
  readonly #limits: Limits
  readonly #begin: (run: Run) => Promise<void>
  #active: Run | undefined
  #waiting: Run[] = []

  constructor(limits: Limits, begin: (run: Run) => Promise<void>) {
    this.#limits = limits
    this.#begin = begin
  }

  get isEmpty(): boolean {
    return this.#active === undefined && this.#waiting.length === 0
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

  /** Takes a run in; resolves once it has begun, or at once where it has to wait. */
  async add(run: Run, whenBusy: WhenBusy): Promise<'started' | 'queued'> {
    if (!this.#active) {
      await this.#activate(run)
      return 'started'
    }
    if (whenBusy === 'interrupt') {
      this.#waiting.unshift(run)
      this.#active.stop('cancelled')
    } else {
      this.#waiting.push(run)
    }
    return 'queued'
  }

  /** A run has ended: the next one begins. */
  async release(run: Run): Promise<void> {
    this.#waiting = this.#waiting.filter((waiting) => waiting !== run)
    if (this.#active !== run) return
    this.#active = undefined
    const next = this.#waiting.shift()
    if (next) await this.#activate(next)
  }

  async #activate(run: Run): Promise<void> {
    this.#active = run
    await this.#begin(run)
  }
}
