/** How long a wire that seems to be blocked is left alone, at first and at most. */
const FIRST_MS = 60_000
const MOST_MS = 30 * 60_000

/** What is known of the preferred wire, where there is another one to fall back to. */
export interface WireHealth {
  /** Times in a row it failed before it had reached the server. */
  readonly failures: number
  /** It has worked for this client before. */
  readonly hasWorked: boolean
  /** Times in a row it was found blocked. */
  readonly blocks: number
  /** It is not tried before. */
  readonly blockedUntil: number
}

/** Nothing known yet: it is tried. */
export const UNTRIED: WireHealth = { failures: 0, hasWorked: false, blocks: 0, blockedUntil: 0 }

/** It opened. */
export function afterSuccess(): WireHealth {
  return { ...UNTRIED, hasWorked: true }
}

/**
 * It failed before it had reached the server. Where HTTP gets through meanwhile, something on the way blocks it; one
 * that has worked before gets a second chance first, since a restart of the server looks the same.
 */
export function afterFailure(
  health: WireHealth,
  { httpWorks, now }: { httpWorks: boolean; now: number },
): WireHealth {
  if (!httpWorks) return { ...health, failures: 0 }
  const failures = health.failures + 1
  if (health.hasWorked && failures < 2) return { ...health, failures }
  const pauseMs = Math.min(MOST_MS, FIRST_MS * 2 ** health.blocks)
  return { ...health, failures: 0, blocks: health.blocks + 1, blockedUntil: now + pauseMs }
}
