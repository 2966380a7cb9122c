import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GatewayError, ORIGIN, advance, mintEventId, parseEventId, seqOf } from '../src/index.ts'
import { type Advance, compareEventIds } from '../src/cursor.ts'

const ms = fc.integer({ min: 0, max: 9_999_999_999_999 })
const seq = fc.integer({ min: 0, max: 9_999_999_999 })

describe('event ids', () => {
  test('sort as strings exactly as time and position do', () => {
    const near = fc.oneof(fc.tuple(ms, seq), fc.tuple(fc.integer({ min: 9, max: 11 }), fc.nat(12)))
    fc.assert(
      fc.property(near, near, ([ms1, seq1], [ms2, seq2]) => {
        const [a, b] = [mintEventId(ms1, seq1), mintEventId(ms2, seq2)]
        const order = Math.sign(ms1 - ms2 || seq1 - seq2)
        expect(compareEventIds(a, b)).toBe(order)
        expect(a < b ? -1 : a > b ? 1 : 0).toBe(order)
      }),
    )
  })

  test('are read as they were made', () => {
    fc.assert(
      fc.property(ms, seq, (at, position) => {
        const id = mintEventId(at, position)
        expect(parseEventId(id)).toStrictEqual({ id, ms: at, seq: position })
        expect(seqOf(id)).toBe(position)
      }),
    )
  })

  test('are read without their padding too', () => {
    fc.assert(
      fc.property(ms, seq, (at, position) => {
        expect(parseEventId(`${at}-${position}`)).toStrictEqual(parseEventId(mintEventId(at, position)))
      }),
    )
    expect(parseEventId('1-2').id).toBe('0000000000001-0000000002')
  })

  test('begin after the origin', () => {
    expect(seqOf(ORIGIN)).toBe(0)
    expect(compareEventIds(ORIGIN, mintEventId(0, 1))).toBe(-1)
  })

  test.each([
    '',
    '-',
    '1',
    '1-',
    '-1',
    '1-2-3',
    '1--2',
    '+1-2',
    '1.5-2',
    '1e3-2',
    '0x1-2',
    ' 1-2',
    '1-2\n',
    '1-2 ',
    '١-٢',
    '12345678901234-1',
    '1-12345678901',
    'NaN-NaN',
    '$',
  ])('refuse %j', (text) => {
    expect(() => parseEventId(text)).toThrow(expect.objectContaining({ code: 'invalid-event-id' }))
  })

  test('refuse whatever is no id, and say nothing of it', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        fc.pre(!/^\d{1,13}-\d{1,10}$/.test(text))
        expect(() => parseEventId(text)).toThrow(GatewayError)
      }),
    )
    expect(() => parseEventId('hunter2')).toThrow(/^(?!.*hunter2)/)
  })
})

describe('advance', () => {
  /** Frames of a stream that stand for 1 to 4 events each, with what was done to each on the way. */
  const stream = fc.array(
    fc.record({
      covers: fc.integer({ min: 1, max: 4 }),
      fate: fc.constantFrom('delivered', 'delivered', 'delivered', 'lost', 'repeated'),
    }),
  )

  test('applies a stream without gaps, merged or not', () => {
    fc.assert(
      fc.property(stream, (frames) => {
        let lastSeq = 0
        for (const { covers } of frames) {
          const event = { seq: lastSeq + covers, covers: covers === 1 ? undefined : covers }
          expect(advance(lastSeq, event)).toBe('apply')
          lastSeq = event.seq
        }
      }),
    )
  })

  test('finds every gap and every duplicate', () => {
    fc.assert(
      fc.property(stream, (frames) => {
        let head = 0
        let lastSeq = 0
        for (const { covers, fate } of frames) {
          const missing = head > lastSeq
          head += covers
          if (fate === 'lost') continue
          const event = { seq: head, covers }
          expect(advance(lastSeq, event)).toBe<Advance>(missing ? 'refetch-gap' : 'apply')
          lastSeq = head
          if (fate === 'repeated') expect(advance(lastSeq, event)).toBe<Advance>('skip-duplicate')
        }
      }),
    )
  })

  test('skips every frame at or before the last one applied', () => {
    fc.assert(
      fc.property(fc.nat(1_000), fc.nat(1_000), fc.integer({ min: 1, max: 9 }), (a, b, covers) => {
        expect(advance(Math.max(a, b), { seq: Math.min(a, b), covers })).toBe('skip-duplicate')
      }),
    )
  })

  test('asks again where a frame overlaps what was applied', () => {
    expect(advance(5, { seq: 8, covers: 5 })).toBe('refetch-gap')
  })
})
