import type { IncomingMessage, Server } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { defineAgent } from '@turnpike/agents'
import { type EventOf, type ThreadEvent, ORIGIN } from '@turnpike/protocol'
import { checkHistory, createRandom, followThread, startChaosProxy } from '@turnpike/testkit'
import { connectSocketIo, openSocketIo } from '@turnpike/testkit/socket-io'
import { expect, test } from 'vitest'
import { serveThreads } from './thread-server.ts'

const CLIENTS = 20
const seed = Number(process.env['CHAOS_SEED'] ?? Date.now() % 1_000_000)

/** Talks in bursts of all sizes. */
const talker = defineAgent({
  name: 'talker',
  register: false,
  async *run({ text }) {
    const random = createRandom(Number(text))
    for (let i = 0; i < 400; i++) {
      if (random.next() < 0.2) await delay(random.int(0, 4))
      yield `${i} `
    }
  },
})

/** Holds upgrades until they are let go; on a local machine a transport changes before the first event is there. */
class HeldUpgrades {
  readonly #held = new Map<string, PromiseWithResolvers<() => void>>()

  constructor(server: Server) {
    const listeners = server.listeners('upgrade')
    server.removeAllListeners('upgrade')
    server.on('upgrade', (request: IncomingMessage, ...rest: unknown[]) => {
      const go = (): void => {
        for (const listener of listeners) Reflect.apply(listener, server, [request, ...rest])
      }
      const sid = /[?&]sid=([^&]*)/.exec(request.url ?? '')?.[1]
      if (sid === undefined) go()
      else this.#of(sid).resolve(go)
    })
  }

  async letGo(sid: string): Promise<void> {
    const go = await this.#of(sid).promise
    go()
  }

  #of(sid: string): PromiseWithResolvers<() => void> {
    const held = this.#held.get(sid) ?? Promise.withResolvers<() => void>()
    this.#held.set(sid, held)
    return held
  }
}

test(`a transport that changes in mid-stream loses, doubles and reorders nothing (CHAOS_SEED=${seed})`, async () => {
  const random = createRandom(seed)
  const changed = new Set<string>()
  const endless = defineAgent({
    name: 'endless',
    register: false,
    async *run({ text: threadId }) {
      for (let i = 0, left = 20; left > 0; i++) {
        if (changed.has(threadId)) left--
        // In bursts, and on the whole no faster than the slowest of the readers.
        if (i % 5 === 0) await delay(random.int(5, 15))
        yield `${i} `
      }
    },
  })
  await using server = await serveThreads([endless])
  const upgrades = new HeldUpgrades(server.server)
  // Slices and stalls put the change at every place of the stream.
  await using proxy = await startChaosProxy({
    target: { port: server.port },
    seed,
    faults: { cutEveryMs: [100_000, 200_000], kinds: ['reset'], sliceBytes: [50, 2_000], stallMs: [1, 5] },
  })
  await using sender = await connectSocketIo({ url: server.baseUrl })
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, n) => {
      const threadId = `${n}`
      await sender.request('thread.send', { threadId, message: threadId })
      await using client = openSocketIo({
        url: `http://127.0.0.1:${proxy.port}`,
        transports: ['polling', 'websocket'],
        auth: { threadId, lastEventId: ORIGIN },
      })
      const first = await client.inbox.next()
      expect(client.transport).toBe('polling')
      const { engine } = client.socket.io
      engine.once('upgrade', () => changed.add(threadId))
      await upgrades.letGo(engine.id)
      const events = [first, ...(await client.inbox.until(({ type }) => type === 'finish'))] as ThreadEvent[]
      expect(client.transport).toBe('websocket')
      let last = 0
      for (const { seq, covers = 1 } of events) {
        expect(seq - covers).toBe(last)
        last = seq
      }
      const text = events.map((event) => (event.type === 'text-delta' ? event.delta : '')).join('')
      expect(text).toBe((events.at(-1) as EventOf<'finish'>).text)
    }),
  )
}, 30_000)

test(`clients cut again and again, on all wires, have every event once and in order (CHAOS_SEED=${seed})`, async () => {
  await using server = await serveThreads([talker], { limits: { replayWindowMs: 300_000 } })
  await using proxy = await startChaosProxy({
    target: { port: server.port },
    seed,
    faults: { cutEveryMs: [20, 250], kinds: ['reset', 'half-open'], sliceBytes: [1, 400], stallMs: [1, 30] },
  })
  const random = createRandom(seed)
  const threads = Array.from({ length: CLIENTS }, (_, n) => `thread-${n}`)
  await using whole = await connectSocketIo({ url: server.baseUrl })
  for (const [n, threadId] of threads.entries()) {
    await whole.request('thread.send', { threadId, message: `${seed + n}` })
  }
  const followed = await Promise.all(
    threads.map((threadId) =>
      followThread({
        wire: ['socket.io', 'socket.io', 'sse', 'websocket'],
        baseUrl: `http://127.0.0.1:${proxy.port}`,
        threadId,
        random: random.fork(),
        livenessMs: 300,
      }),
    ),
  )
  const log: ThreadEvent[] = []
  for (let ended = 0; ended < CLIENTS; ended++) {
    log.push(...((await whole.inbox.until(({ type }) => type === 'finish')) as ThreadEvent[]))
  }
  for (const [n, { records, resets }] of followed.entries()) {
    const own = log.filter(({ threadId }) => threadId === threads[n])
    expect(checkHistory({ log: own, records }), threads[n] ?? '').toEqual([])
    expect(resets).toBe(0)
  }
  expect(followed.reduce((sum, { connects }) => sum + connects, 0)).toBeGreaterThan(2 * CLIENTS)
}, 60_000)
