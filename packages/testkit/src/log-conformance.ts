import {
  type EventPayload,
  type ThreadEvent,
  ORIGIN,
  mintEventId,
  parseEventId,
  reduce,
} from '@turnpike/protocol'
import { type ThreadRef, ANONYMOUS, threadRef } from '@turnpike/gateway'
import type { EventLog, Follow } from '@turnpike/gateway/log-port'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'

export interface LogUnderTest {
  readonly name: string
  /** Opens an empty log with these limits and a clock that the suite moves. */
  readonly open: (options: {
    limits: { replayWindowMs: number; logBytes: number }
    now: () => number
  }) => Promise<EventLog>
}

const LIMITS = { replayWindowMs: 30_000, logBytes: 20_000 }

/** What every {@link EventLog} keeps, whatever it is made of. */
export function logConformance({ name, open }: LogUnderTest): void {
  describe(`${name}: an event log`, () => {
    test('numbers events 1, 2, 3 … and never lets time go back', async () => {
      await using bench = await setUp(open)
      await bench.append(startOf('r1'))
      bench.clock.now -= 5_000
      await bench.append(deltaOf('r1', 'a'))
      const events = await bench.readAll()
      expect(events.map((event) => event.seq)).toEqual([1, 2])
      expect(events.map((event) => event.id)).toEqual(events.map((event) => mintEventId(event.ts, event.seq)))
      expect(events[1]?.ts).toBeGreaterThanOrEqual(events[0]?.ts ?? Infinity)
    })

    test('keeps threads apart', async () => {
      await using bench = await setUp(open)
      await bench.append(startOf('r1'))
      const other = await bench.log.append(threadRef(ANONYMOUS, 'other'), { ...startOf('r2'), runId: 'r2' })
      expect(other).toBe(1)
      expect(await bench.readAll()).toHaveLength(1)
    })

    test('resumes behind any event it holds, with exactly the rest', async () => {
      await using bench = await setUp(open)
      await bench.run('r1', ['a', 'b', 'c'])
      const all = await bench.readAll()
      for (const [index, event] of all.entries()) {
        const follow = await bench.follow({ after: event.id })
        expect(follow.snapshot).toBeUndefined()
        expect(read(follow)).toEqual(all.slice(index + 1))
      }
    })

    test('joins what was missed and what comes live without a seam, however they interleave', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 30 }), fc.nat(), async (schedule, from) => {
          await using bench = await setUp(open)
          await bench.append(startOf('r1'))
          for (let i = 0; i < 5; i++) await bench.append(deltaOf('r1', `${i} `))
          const all = await bench.readAll()
          const cursor = all[from % all.length]?.id ?? ORIGIN
          const placed = bench.follow({ after: cursor })
          for (const wait of schedule) {
            if (wait) await placed
            await bench.append(deltaOf('r1', 'more '))
          }
          const follow = await placed
          const seqs = read(follow).map((event) => event.seq)
          const first = parseEventId(cursor).seq + 1
          expect(seqs).toEqual(Array.from({ length: 6 + schedule.length - first + 1 }, (_, i) => first + i))
        }),
        { numRuns: 40 },
      )
    })

    test('wakes a reader once for the appends of one turn, and not after it is closed', async () => {
      await using bench = await setUp(open)
      await bench.append(startOf('r1'))
      await bench.append(deltaOf('r1', 'first'))
      await settle()
      let wakes = 0
      const follow = await bench.log.follow(bench.thread, 'head', () => wakes++)
      const appended = ['a', 'b', 'c'].map((text) => bench.append(deltaOf('r1', text)))
      await Promise.all(appended)
      await settle()
      expect(wakes).toBe(1)
      follow.close()
      await bench.append(deltaOf('r1', 'd'))
      await settle()
      expect(wakes).toBe(1)
    })

    test('keeps events of a finished run for the replay window, then only the head', async () => {
      await using bench = await setUp(open)
      await bench.run('r1', ['a', 'b'])
      const all = await bench.readAll()
      const [first, head] = [all[0]?.id ?? ORIGIN, all.at(-1)?.id ?? ORIGIN]
      bench.clock.now += LIMITS.replayWindowMs
      expect((await bench.follow({ after: first })).snapshot).toBeUndefined()
      bench.clock.now += 1
      expect(await bench.follow({ after: first })).toMatchObject({ cause: 'expired', position: head })
      expect((await bench.follow({ after: head })).snapshot).toBeUndefined()
      await bench.append(startOf('r2'))
      const follow = await bench.follow({ after: head })
      expect(read(follow).map((event) => event.seq)).toEqual([all.length + 1])
    })

    test('keeps the run in progress however old it gets', async () => {
      await using bench = await setUp(open)
      await bench.append(startOf('r1'))
      const start = (await bench.readAll())[0]?.id ?? ORIGIN
      await bench.append(deltaOf('r1', 'early'))
      bench.clock.now += 10 * LIMITS.replayWindowMs
      await bench.append(deltaOf('r1', 'late'))
      expect(read(await bench.follow({ after: start }))).toHaveLength(2)
    })

    test('lets go of the oldest beyond its cap, and still folds the whole answer', async () => {
      await using bench = await setUp(open)
      await bench.append(startOf('r1'))
      const start = (await bench.readAll())[0]?.id ?? ORIGIN
      const words = Array.from({ length: 300 }, (_, i) => `word ${i} `)
      for (const word of words) await bench.append(deltaOf('r1', word))
      const follow = await bench.follow({ after: start })
      expect(follow.cause).toBe('expired')
      const answer = follow.snapshot?.messages.at(-1)?.message
      expect(answer).toMatchObject({ status: 'open', parts: [{ type: 'text', text: words.join('') }] })
    })

    test('places a reader of nothing at the head, with a snapshot that folds what the log holds', async () => {
      await using bench = await setUp(open)
      await bench.run('r1', ['a', 'b'])
      await bench.append(startOf('r2'))
      await bench.append(deltaOf('r2', 'open'))
      const all = await bench.readAll()
      const { snapshot, cause, position } = await bench.follow('head')
      expect(cause).toBeUndefined()
      expect(position).toBe(all.at(-1)?.id)
      expect(snapshot?.messages.map((entry) => entry.message)).toEqual(
        all.reduce<ReturnType<typeof reduce>>((messages, event) => reduce(messages, event), []),
      )
    })

    test('names why a cursor is no good: unknown, rolled back', async () => {
      await using bench = await setUp(open)
      await bench.run('r1', ['a'])
      const all = await bench.readAll()
      const last = all.at(-1)
      const ahead = mintEventId(last?.ts ?? 0, (last?.seq ?? 0) + 1)
      expect(await bench.follow({ after: ahead })).toMatchObject({ cause: 'unknown' })
      const forged = mintEventId((last?.ts ?? 0) + 1, last?.seq ?? 0)
      expect(await bench.follow({ after: forged })).toMatchObject({ cause: 'rolled-back' })
    })

    test('starts at the event it is asked for', async () => {
      await using bench = await setUp(open)
      await bench.run('r1', ['a'])
      const start = await bench.append(startOf('r2'))
      await bench.append(deltaOf('r2', 'b'))
      const follow = await bench.follow({ from: start })
      expect(read(follow).map((event) => event.seq)).toEqual([start, start + 1])
    })
  })
}

interface Bench extends AsyncDisposable {
  readonly log: EventLog
  readonly thread: ThreadRef
  readonly clock: { now: number }
  append(payload: Draft): Promise<number>
  run(runId: string, texts: readonly string[]): Promise<void>
  follow(start: Parameters<EventLog['follow']>[1]): Promise<Follow>
  readAll(): Promise<ThreadEvent[]>
}

type Draft = EventPayload & { runId: string }

async function setUp(open: LogUnderTest['open']): Promise<Bench> {
  const clock = { now: 1_700_000_000_000 }
  const log = await open({ limits: LIMITS, now: () => clock.now })
  const thread = threadRef(ANONYMOUS, 't')
  const follows: Follow[] = []
  const bench: Bench = {
    log,
    thread,
    clock,
    append: async (payload) => log.append(thread, payload),
    async run(runId, texts) {
      await bench.append(startOf(runId))
      for (const text of texts) await bench.append(deltaOf(runId, text))
      await bench.append({
        type: 'finish',
        runId,
        agent: 'a',
        finishReason: 'stop',
        text: texts.join(''),
        steps: 0,
        usage: { inputTokens: 0, outputTokens: 0 },
      })
    },
    async follow(start) {
      const follow = await log.follow(thread, start, () => {})
      follows.push(follow)
      return follow
    },
    readAll: async () => read(await bench.follow({ after: ORIGIN })),
    async [Symbol.asyncDispose]() {
      for (const follow of follows) follow.close()
      await log.close()
    },
  }
  return bench
}

function read(follow: Follow): ThreadEvent[] {
  const events: ThreadEvent[] = []
  for (let seq = parseEventId(follow.position).seq + 1; seq <= follow.window.headSeq; seq++) {
    const event = follow.window.at(seq)
    if (event) events.push(event)
  }
  return events
}

/** Lets the turn of the event loop end, and the one after it. */
async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise(setImmediate)
}

function startOf(runId: string): Draft {
  const input = { id: `in-${runId}`, role: 'user', parts: [], runId, status: 'done', createdAt: 0 } as const
  return { type: 'start', runId, agent: 'a', input: { ...input, parts: [] }, messageId: `out-${runId}` }
}

function deltaOf(runId: string, delta: string): Draft {
  return { type: 'text-delta', runId, delta, channel: 'answer' }
}
