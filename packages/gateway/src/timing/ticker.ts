/**
 * Wakes readers once per turn of the event loop, however many events were appended in it.
 *
 * One immediate serves all threads: a delta costs no timer and no promise of its own.
 */
export class Ticker {
  #due = new Set<() => void>()

  /** Runs `wake` at the end of this turn, once. */
  mark(wake: () => void): void {
    if (this.#due.size === 0) setImmediate(() => this.#fire())
    this.#due.add(wake)
  }

  #fire(): void {
    const due = this.#due
    this.#due = new Set()
    for (const wake of due) wake()
  }
}
