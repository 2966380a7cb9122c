import { appendFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Figure, Round, Scenario } from './scenario.ts'

/** Where the results of this machine go. */
export const RESULTS = join(import.meta.dirname, 'results')

/** Adds a round to the lines of its scenario. */
export function keepRound({ name }: Scenario, round: Round): void {
  mkdirSync(RESULTS, { recursive: true })
  appendFileSync(
    join(RESULTS, `${name}.jsonl`),
    `${JSON.stringify({ at: new Date().toISOString(), ...round })}\n`,
  )
}

/** The figures of a scenario as a table for people. */
export function tableOf(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, unit, median, min, max, atMost }) => [
    name,
    unit,
    shown(median),
    `${shown(min)} – ${shown(max)}`,
    atMost === undefined ? '' : `≤ ${shown(atMost)}`,
    atMost === undefined ? '' : median <= atMost ? 'met' : 'MISSED',
  ])
  const all = [['', 'unit', 'median', 'min – max', 'target', ''], ...rows]
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? []
  return all
    .map((row) =>
      row
        .map((cell, column) =>
          column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function shown(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 0.1 ? 2 : 3
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}
