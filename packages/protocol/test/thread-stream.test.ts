import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type ThreadEvent,
  EVENT_TYPES,
  GatewayError,
  LIMITS,
  ORIGIN,
  mergeDeltas,
  mintEventId,
} from '../src/index.ts'
import { threadStream } from '../src/dialects/thread-stream.ts'
import { arbitraryText, arbitraryThread } from './arbitraries.ts'

interface GoldenCase {
  readonly why: string
  readonly event: ThreadEvent
  readonly frames: readonly { name: string; body: unknown }[]
}

const path = new URL('./thread-stream.frames.json', import.meta.url)
const golden: GoldenCase[] = JSON.parse(readFileSync(path, 'utf8'))

describe('the golden frames of the thread stream', () => {
  test('hold every type', () => {
    expect(new Set(golden.map(({ event }) => event.type))).toStrictEqual(new Set(EVENT_TYPES))
  })

  test.each(golden)('$event.type: $why', ({ event, frames }) => {
    const encoded = threadStream.encode(event)
    expect(encoded.map(({ name, json }) => ({ name, body: JSON.parse(json) }))).toStrictEqual(frames)
    expect(encoded.map(({ id }) => id)).toStrictEqual([event.id])
  })
})

describe('a frame of the thread stream', () => {
  test('is the whole event, merged or not', () => {
    fc.assert(
      fc.property(arbitraryThread, (events) => {
        for (const event of [...events, ...mergeDeltas(events)]) {
          const [frame, ...more] = threadStream.encode(event)
          expect(more).toStrictEqual([])
          expect(frame).toMatchObject({ name: event.type, id: event.id })
          expect(JSON.parse(frame?.json ?? '')).toStrictEqual(event)
        }
      }),
    )
  })

  test('says a text delta as JSON.stringify says it, whatever is in it', () => {
    const delta = fc.record({
      seq: fc.integer({ min: 1, max: 9_999_999_999 }),
      ts: fc.nat(9_999_999_999_999),
      threadId: arbitraryText,
      runId: arbitraryText,
      covers: fc.option(fc.integer({ min: 1 }), { nil: undefined }),
      delta: arbitraryText,
      channel: fc.constantFrom('answer' as const, 'reasoning' as const),
      agent: fc.option(arbitraryText, { nil: undefined }),
    })
    fc.assert(
      fc.property(delta, ({ covers, agent, ...rest }) => {
        const id = mintEventId(rest.ts, rest.seq)
        const more = { ...(covers && { covers }), ...(agent !== undefined && { agent }) }
        const event: ThreadEvent = { ...rest, id, type: 'text-delta', ...more }
        const json = threadStream.encode(event)[0]?.json ?? ''
        expect(JSON.parse(json)).toStrictEqual(event)
        expect(json).toHaveLength(JSON.stringify(event).length)
        expect(json).not.toMatch(/[\n\r]/)
        expect(json.isWellFormed()).toBe(true)
      }),
    )
  })
})

describe('a request of the thread stream', () => {
  test.each(['a', '', 0, -1.5, 'x'.repeat(LIMITS.idChars)])('may have the id %j', (id) => {
    const request = { id, command: 'run.cancel', payload: { runId: 'r1' } }
    expect(threadStream.decode(JSON.stringify(request))).toStrictEqual(request)
  })

  test('keeps its payload unchecked, or absent', () => {
    expect(threadStream.decode('{"id":1,"command":"x","extra":1}')).toStrictEqual({
      id: 1,
      command: 'x',
      payload: undefined,
    })
  })

  test.each([
    'null',
    '[]',
    '"x"',
    '7',
    '{}',
    '{"id":1}',
    '{"id":1,"command":7}',
    '{"command":"x"}',
    '{"id":null,"command":"x"}',
    '{"id":{},"command":"x"}',
    '{"__proto__":{"id":1,"command":"x"}}',
    'hunter2',
    JSON.stringify({ id: 'x'.repeat(LIMITS.idChars + 1), command: 'x' }),
  ])('is refused where it is %s', (text) => {
    expect(() => threadStream.decode(text)).toThrow(expect.objectContaining({ code: 'invalid-frame' }))
    expect(() => threadStream.decode(text)).toThrow(/^(?!.*hunter2)/)
  })

  test('is refused where it is too deep', () => {
    const payload = '['.repeat(LIMITS.jsonDepth) + ']'.repeat(LIMITS.jsonDepth)
    expect(() => threadStream.decode(`{"id":1,"command":"x","payload":${payload}}`)).toThrow(
      expect.objectContaining({ code: 'too-deep' }),
    )
  })
})

describe('what the thread stream says beside events', () => {
  test('an answer has the id of its request', () => {
    const error = new GatewayError('rate-limited', 'Too fast.', { retryAfterMs: 9 }).toJSON()
    expect(bodies(threadStream.answer('q1', { ok: true, status: 'cancelling' }))).toStrictEqual([
      { id: 'q1', ok: true, status: 'cancelling' },
    ])
    expect(bodies(threadStream.answer(null, { ok: false, error }))).toStrictEqual([
      { id: null, ok: false, error: { code: 'rate-limited', message: 'Too fast.', retryAfterMs: 9 } },
    ])
  })

  test('a reset may be resumed after', () => {
    const reset = {
      type: 'thread.reset',
      threadId: 't1',
      cause: 'expired',
      head: ORIGIN,
      history: [],
    } as const
    expect(bodies(threadStream.reset(reset))).toStrictEqual([reset])
    expect(threadStream.reset(reset)[0]).toMatchObject({ name: 'thread.reset', id: ORIGIN })
  })

  test('a goodbye says what to do next', () => {
    expect(bodies(threadStream.goodbye({ code: 'draining', message: '', retryAfterMs: 9 }))).toStrictEqual([
      { type: 'goodbye', code: 'draining', retryAfterMs: 9 },
    ])
    expect(bodies(threadStream.goodbye({ code: 'internal', message: '' }))).toStrictEqual([
      { type: 'goodbye', code: 'internal' },
    ])
  })
})

function bodies(frames: readonly { json: string }[]): unknown[] {
  return frames.map(({ json }) => JSON.parse(json))
}
