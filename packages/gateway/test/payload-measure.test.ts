import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { measure } from '../src/transports/payload-measure.ts'

test('a list of short numbers counts about what it has as JSON', () => {
  const numbers = Array(600_000).fill(1)
  expect(Math.abs(measure(numbers).bytes - JSON.stringify(numbers).length)).toBeLessThan(10)
})

test('nothing counts for less than half of its JSON in plain letters and short numbers', () => {
  const plain = fc.jsonValue({ stringUnit: fc.constantFrom('a', 'b', '1', ' ') }).map((value) => {
    const short = (_name: string, part: unknown): unknown => (typeof part === 'number' ? 7 : part)
    return JSON.parse(JSON.stringify(value, short)) as unknown
  })
  fc.assert(
    fc.property(plain, (value) => {
      expect(measure(value).bytes * 2).toBeGreaterThanOrEqual(JSON.stringify(value).length)
    }),
  )
})
