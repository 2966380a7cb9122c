import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { ERRORS, EVENT_TYPES, LIMITS } from '../src/index.ts'

const protocol = await readFile(new URL('../../../PROTOCOL.md', import.meta.url), 'utf8')

/** The rows of the table below a heading: the cells of each. */
function tableOf(heading: string): string[][] {
  const section = protocol.split(/^## /m).find((text) => text.startsWith(heading)) ?? ''
  const rows = section.split('\n').filter((line) => line.startsWith('| `'))
  return rows.map((row) =>
    row
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim().replaceAll('`', '')),
  )
}

test('PROTOCOL.md lists every error as the source has it', () => {
  const rows = Object.entries(ERRORS).map(([code, row]) => {
    const close = 'close' in row ? String(row.close) : ''
    return [code, String(row.http), close, row.retry]
  })
  expect(tableOf('Errors')).toEqual(rows)
})

test('PROTOCOL.md lists every limit as the source has it', () => {
  const rows = Object.entries(LIMITS).map(([name, value]) => [name, value.toLocaleString('en-US')])
  expect(tableOf('Limits')).toEqual(rows)
})

test('PROTOCOL.md lists the 17 events in their order', () => {
  expect(tableOf('The 17 events').map(([type]) => type)).toEqual([...EVENT_TYPES])
})
