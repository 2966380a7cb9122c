import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LIMITS } from '../src/index.ts'
import { parseJson } from '../src/wire.ts'
import { arbitraryJson } from './arbitraries.ts'

const tooDeep = expect.objectContaining({ code: 'too-deep' })
const invalidFrame = expect.objectContaining({ code: 'invalid-frame' })

describe('JSON from outside', () => {
  test('is read as JSON.parse reads it', () => {
    fc.assert(
      fc.property(arbitraryJson, (value) => {
        expect(parseJson(JSON.stringify(value))).toEqual(value)
      }),
    )
  })

  test.each([
    ['arrays', (depth: number) => '['.repeat(depth) + ']'.repeat(depth)],
    ['objects', (depth: number) => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth)],
    [
      'objects in the last of many',
      (depth: number) => `[1,{},[],${'['.repeat(depth - 1)}${']'.repeat(depth)}`,
    ],
  ])('may be nested as deep as the limit, as %s, and no deeper', (_, nested) => {
    expect(() => parseJson(nested(LIMITS.jsonDepth))).not.toThrow()
    expect(() => parseJson(nested(LIMITS.jsonDepth + 1))).toThrow(tooDeep)
  })

  test('may be as wide as its bytes allow', () => {
    expect(parseJson(`[${'[],'.repeat(300_000)}[]]`)).toHaveLength(300_001)
  })

  test('cannot exhaust the stack', () => {
    const depth = 100_000
    expect(() => parseJson('['.repeat(depth) + ']'.repeat(depth))).toThrow(tooDeep)
    expect(() => parseJson('{"a":'.repeat(depth) + '1' + '}'.repeat(depth))).toThrow(tooDeep)
    expect(() => parseJson('['.repeat(depth))).toThrow(invalidFrame)
  })

  test.each(['', ' ', 'undefined', '{', '{a:1}', "'x'", '[1,]', '1 2', 'NaN', '\u0000', '{"a":1}x'])(
    'is refused where it is no JSON: %j',
    (text) => expect(() => parseJson(text)).toThrow(invalidFrame),
  )

  test('does not come back in the message of its refusal', () => {
    expect(() => parseJson('hunter2')).toThrow(/^(?!.*hunter2)/)
  })

  test('pollutes no prototype', () => {
    const value = parseJson('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}')
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
    expect('polluted' in {}).toBe(false)
    expect(() => parseJson(`{"__proto__":${'['.repeat(32)}${']'.repeat(32)}}`)).toThrow(tooDeep)
  })
})
