import { type Random, createRandom } from '@turnpike/testkit'

/** What a scenario draws everything from; `CHAOS_SEED` repeats one. */
export const seed = Number(process.env['CHAOS_SEED'] ?? Date.now() % 1_000_000)

/** How much of the full size is run, from `CHAOS_SCALE`; 1 is all. */
export const scale = Number(process.env['CHAOS_SCALE'] ?? 1)

/** Part of a full count, and at least `least`. */
export function scaled(full: number, least = 1): number {
  return Math.max(least, Math.round(full * scale))
}

/** How to run a scenario again; for its title. */
export const replay = `CHAOS_SEED=${seed} CHAOS_SCALE=${scale}`

/** A source for one scenario: what another draws does not move it. */
export function dice(): Random {
  return createRandom(seed)
}

/** Prints what a scenario found. */
export function report(title: string, figures: Readonly<Record<string, number | string>>): void {
  const lines = Object.entries(figures).map(([name, value]) => `  ${name.padEnd(44)} ${say(value)}`)
  process.stdout.write(`\n${title} (${replay})\n${lines.join('\n')}\n`)
}

function say(value: number | string): string {
  return typeof value === 'number' ? String(Math.round(value * 10) / 10) : value
}
