const BASE_MS = 500
const CAP_MS = 20_000

/**
 * The pause before an attempt: exponential with full jitter, so that clients who lost a server together do not come
 * back together.
 *
 * @param attempt - How many have failed before: 0, 1, 2 …
 * @param random - At least 0, below 1.
 */
export function backoffMs(attempt: number, random: number): number {
  return Math.round(random * Math.min(CAP_MS, BASE_MS * 2 ** attempt))
}
