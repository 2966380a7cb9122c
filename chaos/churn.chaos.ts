import { isDeepStrictEqual } from 'node:util'
import { setTimeout as delay } from 'node:timers/promises'
import { type EventId, type Message, mergeDeltas, reduce, seqOf } from '@turnpike/protocol'
import {
  type ChaosProxy,
  type HistoryRecord,
  type Random,
  checkHistory,
  followThread,
  startChaosProxy,
} from '@turnpike/testkit'
import { checkChat, followChat } from '@turnpike/testkit/chat'
import { expect, test } from 'vitest'
import { dice, replay, report, scaled, seed } from './dice.ts'
import { hurriedClock } from './hurried-clock.ts'
import { type Order, faultsOf } from './order.ts'
import { readWithSdk } from './sdk-run.ts'
import { ServerProcess } from './server-process.ts'

const CLIENTS = scaled(200, 8)
const RUNS = scaled(20, 3)
const EVENTS = 2_500
const REPLAY_MS = 5_000
/** So much faster is time for the SDK: it takes silence of 25 s as a sign, and these lines fall silent all the time. */
const HASTE = 10

const random = dice()
const figures = { runs: 0, chats: 0, events: 0, connects: 0, resets: 0, slept: 0 }

/** Follows runs of its own thread, one after another, and checks what it got against the log. */
class ChurnedClient {
  readonly #threadId: string
  readonly #random: Random
  readonly #server: ServerProcess
  readonly #proxy: ChaosProxy
  readonly #kind: 'follower' | 'sdk' | 'chat'
  #cursor: EventId | undefined
  /** The thread as the log tells it, up to the cursor. */
  #messages: readonly Message[] = []

  constructor(index: number, { server, proxy }: { server: ServerProcess; proxy: ChaosProxy }) {
    this.#threadId = `thread-${index}`
    this.#random = random.fork()
    this.#server = server
    this.#proxy = proxy
    this.#kind = index % 4 === 3 ? 'sdk' : index % 4 === 1 ? 'chat' : 'follower'
  }

  async run(n: number): Promise<void> {
    const order: Order = {
      seed: this.#random.int(1, 1e6),
      pieces: EVENTS - 3 * Math.floor(EVENTS / 100),
      bytes: 24,
      burst: 50,
      pauseMs: 40,
      reportEvery: 100,
    }
    const message = JSON.stringify(order)
    const runId = `${this.#threadId}-run-${n}`
    figures.runs++
    if (this.#kind === 'chat') return this.#asChat(runId, message)
    const { records, lastEventId } =
      this.#kind === 'sdk' ? await this.#withSdk(runId, message) : await this.#asFollower(runId, message)
    await this.#check(records, lastEventId)
  }

  /** On a wire that does not resume: each connection is told the run from its beginning, or a history of it. */
  async #asChat(runId: string, message: string): Promise<void> {
    const [sessionId, cursor] = [this.#threadId, this.#cursor]
    const { connections } = await followChat({
      baseUrl: `http://127.0.0.1:${this.#proxy.port}`,
      sessionId,
      runId,
      message,
      random: this.#random.fork(),
      deadlineMs: 300_000,
    })
    const log = await this.#server.ask('log', { threadId: sessionId, after: cursor ? seqOf(cursor) : 0 })
    expect(log.filter(({ type }) => type === 'start').length, `${sessionId} ran once`).toBe(1)
    for (const [index, records] of connections.entries()) {
      const left = index + 1 < connections.length ? 'cut' : 'answered'
      // The log begins where this run does, so that what is in a history is looked at here.
      const verdicts = checkChat({ log, records, left, histories: false })
      expect(verdicts.slice(0, 5), `connection ${index} of ${runId}`).toEqual([])
      for (const record of records) {
        if (record.type !== 'told' || record.frame.type !== 'reset') continue
        figures.resets++
        expect(faultsOf(record.frame['history'] as Message[])).toEqual([])
      }
    }
    this.#cursor = log.at(-1)?.id
    figures.events += log.length
    figures.connects += connections.length
    figures.chats++
  }

  async #withSdk(
    runId: string,
    message: string,
  ): Promise<{ records: readonly HistoryRecord[]; lastEventId: EventId }> {
    const run = await readWithSdk({
      baseUrl: `http://127.0.0.1:${this.#proxy.port}`,
      threadId: this.#threadId,
      runId,
      message,
      random: this.#random.fork(),
      clock: hurriedClock(HASTE, this.#random.fork()),
      moveAfter: this.#random.int(1, 150),
    })
    figures.connects += run.connects
    return run
  }

  async #asFollower(
    runId: string,
    message: string,
  ): Promise<{ records: readonly HistoryRecord[]; lastEventId: EventId }> {
    const threadId = this.#threadId
    const body = JSON.stringify({ threadId, runId, message })
    const sent = await fetch(`${this.#server.baseUrl}/agents/ordered/chat/stream`, { method: 'POST', body })
    expect(sent.status).toBe(200)
    const sleeps = this.#random.int(1, 20) === 1
    if (sleeps) {
      // Away until its place is gone: it has to be told so.
      await sent.text()
      await delay(REPLAY_MS + 1_000)
      figures.slept++
    } else {
      await sent.body?.cancel()
    }
    const followed = await followThread({
      wire: ['websocket', 'sse', 'socket.io'],
      baseUrl: `http://127.0.0.1:${this.#proxy.port}`,
      threadId,
      random: this.#random.fork(),
      ...(this.#cursor && { after: this.#cursor }),
      deadlineMs: 300_000,
    })
    figures.connects += followed.connects
    if (sleeps) expect(followed.resets).toBeGreaterThan(0)
    return followed
  }

  async #check(records: readonly HistoryRecord[], lastEventId: EventId): Promise<void> {
    const [threadId, after] = [this.#threadId, this.#cursor]
    const log = await this.#server.ask('log', { threadId, after: after ? seqOf(after) : 0 })
    expect(log.at(-1)?.id, `${threadId} read to the end`).toBe(lastEventId)
    expect(log.filter(({ type }) => type === 'start').length, `${threadId} ran once`).toBe(1)
    // Histories are compared here, since the log given begins where this run does.
    const verdicts = checkHistory({ log, records, histories: false, ...(after && { after }) })
    expect(verdicts.slice(0, 5), `${threadId} behind ${after}, ${this.#kind}`).toEqual([])
    for (const record of records) {
      if (record.type !== 'reset') continue
      figures.resets++
      const upTo = log.filter(({ seq }) => seq <= seqOf(record.head))
      const expected = mergeDeltas(upTo).reduce(reduce, this.#messages)
      const told = record.more ? expected.slice(-record.history.length) : expected
      expect(isDeepStrictEqual(plain(record.history), plain(told)), `${threadId}: a history`).toBe(true)
      expect(faultsOf(record.history)).toEqual([])
    }
    this.#messages = mergeDeltas(log).reduce(reduce, this.#messages)
    this.#cursor = lastEventId
    figures.events += log.length
  }
}

function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}

test(`clients that are cut every few seconds on changing wires have exactly what was logged (${replay})`, async () => {
  const limits = {
    replayWindowMs: REPLAY_MS,
    heartbeatMs: 1_000,
    pingIntervalMs: 5_000,
    pongTimeoutMs: 5_000,
  }
  await using server = await ServerProcess.start({ recorded: true, limits })
  await using proxy = await startChaosProxy({
    target: { port: server.port },
    seed,
    faults: {
      cutEveryMs: [200, 3_000],
      sliceBytes: [1, 8_192],
      stallMs: [1, 100],
      stallEveryMs: [50, 1_000],
    },
  })
  const began = performance.now()
  const clients = Array.from({ length: CLIENTS }, (_, index) => new ChurnedClient(index, { server, proxy }))
  await Promise.all(
    clients.map(async (client) => {
      for (let n = 0; n < RUNS; n++) await client.run(n)
    }),
  )
  const { cpuMs, rssBytes } = await server.ask('sample', {})
  const { resets: cut, halfOpens } = proxy.stats
  report(`Churn: ${CLIENTS} clients × ${RUNS} runs × ${EVENTS} events`, {
    ...figures,
    'cut with a reset': cut,
    'fallen silent': halfOpens,
    seconds: (performance.now() - began) / 1_000,
    'server CPU, s': cpuMs / 1_000,
    'server RSS, MB': rssBytes / 1e6,
  })
  expect(cut + halfOpens).toBeGreaterThan(CLIENTS)
})
