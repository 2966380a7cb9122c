import { type RunContext, inRun } from './context.ts'
import type { AgentYield, RunOutcome } from './runnable.ts'

/** After so many values in a row the event loop turns, so that no member can keep the process to itself. */
const VALUES_PER_TURN = 64
/** A member that was stopped is left to itself after this; before a gateway leaves the run. */
const GRACE_MS = 1_000

type Next = IteratorResult<AgentYield, RunOutcome | void>

/** Pulls from a member, which is foreign code: one that was stopped holds nobody, whether it listens or not. */
export class MemberPull {
  readonly #yields: AsyncIterator<AgentYield, RunOutcome | void>
  readonly #context: RunContext
  #timer: NodeJS.Timeout | undefined
  #count = 0
  #isOver = false
  #isLeft = false
  /** Ends what is waited for. */
  #leave: (reason: unknown) => void = () => {}

  constructor(start: () => AsyncIterable<AgentYield, RunOutcome | void>, context: RunContext) {
    const { signal } = context
    this.#context = context
    this.#yields = inRun(context, () => start()[Symbol.asyncIterator]())
    if (signal.aborted) this.#onAbort()
    else signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** @throws what the member throws; the signal's reason where it was stopped and does not end */
  async next(): Promise<Next> {
    if (++this.#count % VALUES_PER_TURN === 0) await new Promise(setImmediate)
    if (this.#isLeft) throw this.#context.signal.reason
    try {
      // Not a race with the signal: that would keep something of each value for as long as the signal lives.
      const next = await new Promise<Next>((resolve, reject) => {
        this.#leave = reject
        Promise.resolve(inRun(this.#context, () => this.#yields.next())).then(resolve, reject)
      })
      this.#isOver = next.done === true
      return next
    } catch (error) {
      this.#isOver = !this.#isLeft
      throw error
    }
  }

  /** Lets the member clean up where it has not ended by itself. */
  async close(): Promise<void> {
    clearTimeout(this.#timer)
    this.#context.signal.removeEventListener('abort', this.#onAbort)
    if (this.#isOver) return
    const closed = inRun(this.#context, async () => void (await this.#yields.return?.()))
    const late = Promise.withResolvers<void>()
    const timer = setTimeout(late.resolve, this.#isLeft ? 0 : GRACE_MS)
    try {
      await Promise.race([closed, late.promise])
    } finally {
      clearTimeout(timer)
    }
  }

  readonly #onAbort = (): void => {
    this.#timer = setTimeout(() => {
      this.#isLeft = true
      this.#leave(this.#context.signal.reason)
    }, GRACE_MS)
  }
}
