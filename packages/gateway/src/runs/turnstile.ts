import { type Payer, isSamePayer } from './budgets.ts'
import type { Run } from './run.ts'

/** Tells whether a sender of whom so many runs go on may have one more. */
export type HasRoom = (payer: Payer, going: number) => boolean

/** Holds runs whose turn has come until their sender may have one more going on, first come, first served. */
export class Turnstile {
  readonly #hasRoom: HasRoom
  readonly #going = new Set<Run>()
  readonly #waiting = new Map<Run, () => void>()

  constructor(hasRoom: HasRoom) {
    this.#hasRoom = hasRoom
  }

  /** Counts a run in for which it is settled that there is room. */
  enter(run: Run): void {
    this.#going.add(run)
  }

  /** Calls `goOn` as soon as there is room for the run: at once, if there is. */
  pass(run: Run, goOn: () => void): void {
    this.#waiting.set(run, goOn)
    this.#letIn()
  }

  /** A run has ended, or waits for approval. */
  leave(run: Run): void {
    this.#waiting.delete(run)
    if (this.#going.delete(run)) this.#letIn()
  }

  isWaiting(run: Run): boolean {
    return this.#waiting.has(run)
  }

  /** How many runs of that sender go on, but for one. */
  count(payer: Payer, except?: Run): number {
    let count = 0
    for (const run of this.#going) if (run !== except && isSamePayer(run.record, payer)) count++
    return count
  }

  #letIn(): void {
    for (const [run, goOn] of this.#waiting) {
      if (!this.#hasRoom(run.record, this.count(run.record, run))) continue
      this.#waiting.delete(run)
      this.#going.add(run)
      goOn()
    }
  }
}
