const FIRST_MS = 500
const CAP_MS = 20_000
const LEAST_MS = 100

/**
 * The pause before an attempt to connect: exponential with full jitter, so that clients who lost a server together do
 * not come back together.
 *
 * @param attempt - How many have failed before: 0, 1, 2 …
 * @param random - From 0 to 1.
 */
export function backoffMs(attempt: number, random: number): number {
  const most = Math.min(CAP_MS, FIRST_MS * 2 ** attempt)
  return Math.max(LEAST_MS, random * most)
}
