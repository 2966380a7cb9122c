import type { Clock } from '@turnpike/client'

/** A clock that goes on only when it is told to. */
export class ManualClock implements Clock {
  #now = 1_700_000_000_000
  #timers: { readonly at: number; readonly act: () => void }[] = []
  /** What {@link random} gives. */
  chance = 0.5

  now(): number {
    return this.#now
  }

  random(): number {
    return this.chance
  }

  after(delayMs: number, act: () => void): () => void {
    const timer = { at: this.#now + delayMs, act }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  /** How long until the next timer; nothing where there is none. */
  get nextMs(): number | undefined {
    return this.#timers.length === 0 ? undefined : Math.min(...this.#timers.map(({ at }) => at)) - this.#now
  }

  advance(ms: number): void {
    const until = this.#now + ms
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= until).toSorted((a, b) => a.at - b.at)[0]
      if (!due) break
      this.#timers = this.#timers.filter((other) => other !== due)
      this.#now = Math.max(this.#now, due.at)
      due.act()
    }
    this.#now = until
  }

  /** Sleeps: time goes on, and no timer knows of it before the next {@link advance}. */
  freeze(ms: number): void {
    this.#now += ms
  }
}
