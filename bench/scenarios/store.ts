import { resultOf } from '../peer.ts'
import type { Round, Scenario } from '../scenario.ts'

interface Result {
  readonly megabytes: number
  readonly seconds: number
  readonly rows: readonly { readonly what: string; readonly p50: number; readonly p99: number }[]
}

const SHOWN = [
  'list, first page',
  'open: 50 messages',
  'search, a rare word',
  'search, a common word',
  'recall, any six words',
  'threads.open, new',
  'runs.create',
  'runs.update, two messages',
]

/** A store of SQLite with a million messages. */
export const store: Scenario = {
  name: 'store',
  title: 'SQLite in a file: 10,000 threads of 100 messages, and 10,000 memories',
  figures: {
    ...Object.fromEntries(
      SHOWN.flatMap((what) => [
        [`${what}: p50`, { unit: 'ms' }],
        [`${what}: p99`, { unit: 'ms' }],
      ]),
    ),
    size: { unit: 'MB' },
    filling: { unit: 's' },
  },
  async round() {
    const { megabytes, seconds, rows } = (await resultOf('store.ts')) as Result
    const round: Round = Object.fromEntries(
      rows.flatMap(({ what, p50, p99 }) => [
        [`${what}: p50`, p50],
        [`${what}: p99`, p99],
      ]),
    )
    return { ...round, size: megabytes, filling: seconds }
  },
}
