import { LIMITS } from '@turnpike/protocol'
import { expect, test } from 'vitest'
import { dice, replay, report, scaled } from './dice.ts'
import type { Order } from './order.ts'
import { ServerProcess } from './server-process.ts'
import { ThreadReader, delayAt } from './thread-reader.ts'
import { startThrottledLine } from './throttled-line.ts'

const THREADS = scaled(20)
/** Of each thread. */
const [HEALTHY, STALLED, THROTTLED] = [40, 5, 5]
const BYTES_PER_SECOND = 10_240
/** Of each thread: 15 MB. */
const RUNS = 50
const PIECES = 300
const PIECE_BYTES = 1_000
/** Of all threads together, so that those who keep up can: each byte goes to forty of them. */
const PRODUCED_PER_SECOND = 1_500_000
const BURST = 20
const MIB = 1_048_576

/** Bytes of events and their frames are no more than thrice what the log counts. */
const LOG_BYTES = 3 * LIMITS.logBytes
/** The messages of runs that ended within the replay window, two bytes a character: all of them, where it is short. */
const MESSAGE_BYTES =
  2 * Math.min(THREADS * RUNS * PIECES * PIECE_BYTES, (PRODUCED_PER_SECOND * LIMITS.replayWindowMs) / 1_000)
/** Compiled code, statements and what the store has cached. */
const OTHER_BYTES = 8 * MIB
/** What is on its way to one reader: the mark, a flush, and the largest single frame, which is a history. */
const READER_BYTES = LIMITS.highWaterBytes + LIMITS.flushBytes + 2 * LIMITS.historyChars

const random = dice()

interface Outcome {
  readonly p50: number
  readonly p99: number
  readonly rssBefore: number
  readonly rssPeak: number
  /** Alive at the end of the production, with the slow ones still behind, beyond what was before. */
  readonly alive: number
  readonly lagged: number
  readonly seconds: number
}

async function produceBeside(slow: boolean): Promise<Outcome> {
  // Who takes nothing answers no ping either, and would be let go of long before this is over.
  await using server = await ServerProcess.start({ limits: { pingIntervalMs: 0 } })
  await using line = await startThrottledLine(server.port, BYTES_PER_SECOND)
  await using open = new AsyncDisposableStack()
  const threads = Array.from({ length: THREADS }, (_, index) => `thread-${index}`)
  const join = async (threadId: string, url: string): Promise<ThreadReader> =>
    open.use(await ThreadReader.open(url, threadId))
  const joinAll = (threadId: string, count: number, url = server.webSocketUrl): Promise<ThreadReader[]> =>
    Promise.all(Array.from({ length: count }, () => join(threadId, url)))

  // A thread has to be there to be followed.
  await Promise.all(
    threads.map(async (threadId) =>
      (await order(server, { threadId, runId: `${threadId}-first`, pieces: 1 })).text(),
    ),
  )
  const healthy = await Promise.all(threads.map((threadId) => joinAll(threadId, HEALTHY)))
  const stalled = slow ? await Promise.all(threads.map((threadId) => joinAll(threadId, STALLED))) : []
  const throttledUrl = `ws://127.0.0.1:${line.port}/stream`
  const throttled = slow
    ? await Promise.all(threads.map((threadId) => joinAll(threadId, THROTTLED, throttledUrl)))
    : []
  for (const reader of stalled.flat()) reader.stall()

  const before = await server.ask('settled', {})
  let rssPeak = 0
  const began = performance.now()
  const sampling = setInterval(() => {
    void server.ask('sample', {}).then(({ rssBytes }) => (rssPeak = Math.max(rssPeak, rssBytes)))
  }, 250)
  await Promise.all(
    threads.map(async (threadId, index) => {
      const [first] = healthy[index] ?? []
      for (let n = 0; n < RUNS; n++) {
        const runId = `${threadId}-${n}`
        await (await order(server, { threadId, runId, pieces: PIECES })).body?.cancel()
        await first?.ended(runId)
      }
    }),
  )
  const seconds = (performance.now() - began) / 1_000
  const last = (threadId: string): string => `${threadId}-${RUNS - 1}`
  await Promise.all(
    healthy.map((readers, i) => Promise.all(readers.map((each) => each.ended(last(threads[i] ?? ''))))),
  )
  clearInterval(sampling)
  const after = await server.ask('settled', {})

  const kept = healthy.flat()
  expect(kept.flatMap(({ faults, resets, closed }) => [...faults, ...resets, closed ?? []].flat())).toEqual(
    [],
  )
  // Who was behind is told so, and ends where all others did.
  for (const reader of stalled.flat()) reader.goOn()
  line.release()
  const behind = [stalled, throttled].flatMap((readers) =>
    readers.flatMap((each, i) => each.map((reader) => [reader, last(threads[i] ?? '')] as const)),
  )
  await Promise.all(behind.map(([reader, runId]) => reader.ended(runId)))
  expect(behind.flatMap(([{ faults, closed }]) => [...faults, closed ?? []].flat())).toEqual([])
  expect(behind.flatMap(([{ resets }]) => resets).filter((cause) => cause !== 'lagged')).toEqual([])

  return {
    p50: delayAt(0.5, kept),
    p99: delayAt(0.99, kept),
    rssBefore: before.rssBytes / MIB,
    rssPeak: rssPeak / MIB,
    alive: (after.liveBytes - before.liveBytes) / MIB,
    lagged: behind.filter(([{ resets }]) => resets.length > 0).length,
    seconds,
  }
}

async function order(
  { baseUrl }: ServerProcess,
  { threadId, runId, pieces }: { threadId: string; runId: string; pieces: number },
): Promise<Response> {
  const pauseMs = (1_000 * BURST * PIECE_BYTES * THREADS) / PRODUCED_PER_SECOND
  const asked: Order = { seed: random.int(1, 1e6), pieces, bytes: PIECE_BYTES, burst: BURST, pauseMs }
  const body = JSON.stringify({ threadId, runId, message: JSON.stringify(asked) })
  const response = await fetch(`${baseUrl}/agents/ordered/chat/stream`, { method: 'POST', body })
  expect(response.status).toBe(200)
  return response
}

test(`readers that are slow cost what the design allows, and those that keep up are not reset (${replay})`, async () => {
  const alone = await produceBeside(false)
  const beside = await produceBeside(true)
  const slow = THREADS * (STALLED + THROTTLED)
  const threads = (THREADS * LOG_BYTES + MESSAGE_BYTES + OTHER_BYTES) / MIB
  const readers = (slow * READER_BYTES) / MIB
  report(
    `Slow readers: ${THREADS} threads of ${HEALTHY} who keep up, ${STALLED} stalled, ${THROTTLED} at 10 KB/s`,
    {
      'produced, MB': (THREADS * RUNS * PIECES * PIECE_BYTES) / 1e6,
      'p50 without / with the slow ones, ms': `${alone.p50} / ${beside.p50}`,
      'p99 without / with the slow ones, ms': `${alone.p99} / ${beside.p99}`,
      'seconds without / with': `${alone.seconds.toFixed(1)} / ${beside.seconds.toFixed(1)}`,
      'alive at the end without / with, MiB more': `${alone.alive.toFixed(1)} / ${beside.alive.toFixed(1)}`,
      'the bounds of that, MiB': `${threads.toFixed(1)} / ${(threads + readers).toFixed(1)}`,
      'RSS growth at its peak without / with, MiB': `${(alone.rssPeak - alone.rssBefore).toFixed(1)} / ${(beside.rssPeak - beside.rssBefore).toFixed(1)}`,
      'reset as lagged': `${beside.lagged} of ${slow}`,
    },
  )
  expect(alone.alive).toBeLessThan(threads)
  expect(beside.alive).toBeLessThan(threads + readers)
  expect(beside.alive - alone.alive).toBeLessThan(readers)
  expect(beside.lagged).toBeGreaterThan(0)
})
