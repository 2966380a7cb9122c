/** Time and chance, in one place, so that a test can have its own. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Calls `act` after so long; the returned function calls it off. */
  after(delayMs: number, act: () => void): () => void
  /** At least 0, below 1. */
  random(): number
}

/** What a timer can hold; a longer delay would be none. */
const MOST_MS = 2 ** 31 - 1

/** The clock of the machine. */
export const systemClock: Clock = {
  // Not `performance.now()`: in some browsers it stands still while the machine sleeps.
  now: () => Date.now(),
  after(delayMs, act) {
    const timer = setTimeout(act, Math.min(delayMs, MOST_MS))
    return () => clearTimeout(timer)
  },
  random: () => Math.random(),
}
