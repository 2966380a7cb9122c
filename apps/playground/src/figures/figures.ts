import { Store } from '../app/store.ts'

/** One point of a figure: when, and how long it took. */
export interface Sample {
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly ms: number
}

/** What this page has measured since it was opened. */
export interface Figures {
  /** From sending a message to the first word of its answer. */
  readonly firstWord: readonly Sample[]
  /** From the gateway writing an event to the page showing it. */
  readonly delivery: readonly Sample[]
  /** From losing the connection to having it again. */
  readonly reconnect: readonly Sample[]
}

const MOST = 600

/** The figures of this page. */
export const figures = new Store<Figures>({ firstWord: [], delivery: [], reconnect: [] })

/** Adds samples to a figure; the oldest give way. */
export function addSamples(name: keyof Figures, samples: readonly Sample[]): void {
  if (samples.length === 0) return
  const before = figures.get()
  figures.set({ ...before, [name]: [...before[name], ...samples].slice(-MOST) })
}

/** A value that so many of the samples stay below; 0.5 gives the median. */
export function quantile(samples: readonly Sample[], part: number): number | undefined {
  const sorted = samples.map(({ ms }) => ms).toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]
}
