import { type ThreadEvent, type ThreadReset, LIMITS, advance, mergeDeltas } from '@turnpike/protocol'
import { threadStream } from '@turnpike/protocol/thread-stream'
import { ANONYMOUS, threadRef } from '@turnpike/gateway'
import type { EventDraft } from '@turnpike/gateway/log-port'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { TestLink } from '@turnpike/testkit'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Subscription } from '../src/connections/subscription.ts'
import { WholeLog } from './harness.ts'

const thread = threadRef(ANONYMOUS, 't')

function setUp(options: { reasoning?: boolean; logBytes?: number } = {}): {
  log: WholeLog
  link: TestLink
  subscription: Subscription
} {
  const log = new WholeLog({ limits: { logBytes: options.logBytes ?? LIMITS.logBytes } })
  const link = new TestLink()
  const subscription = new Subscription({
    log,
    store: sqliteStore(),
    limits: { ...LIMITS, highWaterBytes: 8_192 },
    link,
    dialect: threadStream,
    thread,
    reasoning: options.reasoning ?? false,
    onFailure: (error) => expect.fail(String(error)),
  })
  return { log, link, subscription }
}

const delta = (text: string, channel: 'answer' | 'reasoning' = 'answer'): EventDraft => ({
  type: 'text-delta',
  runId: 'r',
  delta: text,
  channel,
})

const start: EventDraft = {
  type: 'start',
  runId: 'r',
  agent: 'a',
  input: { id: 'i', role: 'user', parts: [], runId: 'r', status: 'done', createdAt: 0 },
  messageId: 'm',
}

async function turn(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise(setImmediate)
}

function seqsOf(link: TestLink): number[] {
  return (link.frames as ThreadEvent[]).map((event) => event.seq)
}

/** Applies what a reader got by the contiguity rule; fails on any gap. */
function textOf(frames: readonly unknown[], from = 0): string {
  let last = from
  let text = ''
  for (const frame of frames as ThreadEvent[]) {
    expect(advance(last, frame)).toBe('apply')
    last = frame.seq
    if (frame.type === 'text-delta') text += frame.delta
  }
  return text
}

test('writes the first delta at once, and what follows in a turn with one write', async () => {
  const { log, link, subscription } = setUp()
  log.append(thread, start)
  await subscription.place('head')
  subscription.begin()
  log.append(thread, delta('first'))
  expect(seqsOf(link)).toEqual([2])
  for (const word of ['a', 'b', 'c']) log.append(thread, delta(word))
  expect(seqsOf(link)).toEqual([2])
  await turn()
  expect(seqsOf(link)).toEqual([2, 3, 4, 5])
  expect(link.writes).toHaveLength(2)
})

test('shares the bytes of an event between readers', async () => {
  const { log, link, subscription } = setUp()
  log.append(thread, start)
  const seen: Uint8Array[] = []
  link.write = (bytes) => void seen.push(bytes)
  const other = new Subscription({
    log,
    store: sqliteStore(),
    limits: LIMITS,
    link,
    dialect: threadStream,
    thread,
    reasoning: false,
    onFailure: () => {},
  })
  for (const reader of [subscription, other]) {
    await reader.place('head')
    reader.begin()
  }
  log.append(thread, delta('shared'))
  await turn()
  expect(seen).toHaveLength(2)
  expect(seen[0]?.buffer).toBe(seen[1]?.buffer)
  expect(seen[0]?.byteOffset).toBe(seen[1]?.byteOffset)
})

test('holds no more than the high-water mark and a page for a reader that does not read', async () => {
  const { log, link, subscription } = setUp()
  log.append(thread, start)
  await subscription.place('head')
  subscription.begin()
  link.reading = false
  for (let i = 0; i < 2_000; i++) {
    log.append(thread, delta(`word ${i} `))
    if (i % 10 === 0) await turn()
  }
  await turn()
  expect(link.peakBytes).toBeLessThanOrEqual(8_192 + LIMITS.flushBytes)
})

test('gives a reader that was behind merged deltas, and misses nothing', async () => {
  const { log, link, subscription } = setUp()
  log.append(thread, start)
  await subscription.place('head')
  subscription.begin()
  link.reading = false
  let expected = ''
  for (let i = 0; i < 3_000; i++) {
    expected += `word ${i} `
    log.append(thread, delta(`word ${i} `))
    if (i % 100 === 0) await turn()
  }
  link.reading = true
  link.drain()
  subscription.pump()
  expect(textOf(link.frames, 1)).toBe(expected)
  expect(link.frames.length).toBeLessThan(1_500)
  expect((link.frames.at(-1) as ThreadEvent).covers).toBeGreaterThan(1)
  log.append(thread, delta('again one by one'))
  await turn()
  expect((link.frames.at(-1) as ThreadEvent).covers).toBeUndefined()
})

test('resets a reader that fell out of the log, with its cause and the history, and goes on', async () => {
  const { log, link, subscription } = setUp({ logBytes: 20_000 })
  log.append(thread, start)
  await subscription.place('head')
  subscription.begin()
  link.reading = false
  let expected = ''
  for (let i = 0; i < 1_000; i++) {
    expected += `word ${i} `
    log.append(thread, delta(`word ${i} `))
    if (i % 10 === 0) await turn()
  }
  const before = link.frames.length
  link.reading = true
  link.drain()
  subscription.pump()
  await turn()
  const reset = link.frames[before] as ThreadReset
  expect(reset).toMatchObject({ type: 'thread.reset', threadId: 't', cause: 'lagged' })
  const answer = reset.history.at(-1)
  expect(answer?.parts).toEqual([{ type: 'text', text: expected }])
  log.append(thread, delta('live'))
  await turn()
  expect(textOf(link.frames.slice(before + 1), 1_001)).toBe('live')
})

test('hides reasoning from who did not ask for it, and says so in covers, from any start', async () => {
  const texts = fc.array(fc.tuple(fc.boolean(), fc.string({ minLength: 1, maxLength: 5 })), {
    minLength: 1,
    maxLength: 30,
  })
  await fc.assert(
    fc.asyncProperty(texts, fc.nat(), fc.boolean(), async (deltas, cut, live) => {
      const { log, link, subscription } = setUp()
      log.append(thread, start)
      const append = (): void => {
        for (const [hidden, text] of deltas) log.append(thread, delta(text, hidden ? 'reasoning' : 'answer'))
      }
      if (!live) append()
      const from = (cut % log.events.length) + 1
      const follow = await log.follow(thread, 'head', () => {})
      const id = follow.window.at(from)?.id
      await subscription.place(id ? { after: id } : 'head')
      subscription.begin()
      if (live) append()
      await turn()
      const missed = log.events.slice(from)
      const visible = missed.filter((event) => event.type === 'text-delta' && event.channel === 'answer')
      expect(textOf(link.frames, from)).toBe(
        visible.map((event) => ('delta' in event ? event.delta : '')).join(''),
      )
    }),
    { numRuns: 60 },
  )
})

test('ends after the event it is told to end at', async () => {
  const { log, link, subscription } = setUp()
  log.append(thread, start)
  await subscription.place('head')
  subscription.begin()
  subscription.endAt(3)
  for (const word of ['a', 'b', 'c']) log.append(thread, delta(word))
  await turn()
  expect(seqsOf(link)).toEqual([2, 3])
})

test('delivers every schedule of appends, stalls and drains whole and in order', async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('append' as const), n: fc.integer({ min: 1, max: 200 }) }),
    fc.constant({ do: 'stall' as const }),
    fc.constant({ do: 'drain' as const }),
    fc.constant({ do: 'turn' as const }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (schedule) => {
      const { log, link, subscription } = setUp()
      log.append(thread, start)
      await subscription.place('head')
      subscription.begin()
      const drain = (): void => {
        link.reading = true
        link.drain()
        subscription.pump()
      }
      for (const move of schedule) {
        if (move.do === 'append') {
          for (let i = 0; i < move.n; i++) log.append(thread, delta(`${log.events.length} `))
        } else if (move.do === 'stall') link.reading = false
        else if (move.do === 'drain') drain()
        else await turn()
      }
      drain()
      await turn()
      drain()
      const whole = mergeDeltas(log.events.slice(1)).map((event) => ('delta' in event ? event.delta : ''))
      expect(textOf(link.frames, 1)).toBe(whole.join(''))
    }),
    { numRuns: 60 },
  )
})
