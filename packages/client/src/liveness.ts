/** Time without a byte after which the server is asked for a sign of life. */
const SILENCE_MS = 25_000
/** How often a connection is looked at. */
export const TICK_MS = 5_000
/** A look that comes so late says that the machine slept, or the page was frozen. */
const FROZEN_MS = 3 * TICK_MS

/** Decides whether a connection has to be probed: it was silent for long, or nobody was awake to hear it. */
export function shouldProbe({
  now,
  heardAt,
  tickedAt,
}: {
  now: number
  heardAt: number
  tickedAt: number
}): boolean {
  // A clock that was set back cannot tell how long it was silent.
  if (now < heardAt || now < tickedAt) return true
  return now - heardAt >= SILENCE_MS || now - tickedAt >= FROZEN_MS
}
