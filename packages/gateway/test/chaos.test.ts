import { setTimeout as sleep } from 'node:timers/promises'
import { defineAgent } from '@turnpike/agents'
import { type ThreadEvent, ORIGIN, parseEventId } from '@turnpike/protocol'
import { ANONYMOUS, type Gateway, attachWebSocketTransport, threadRef } from '@turnpike/gateway'
import {
  ALL_REPORTS,
  type FollowedThread,
  checkHistory,
  createRandom,
  followThread,
  startChaosProxy,
} from '@turnpike/testkit'
import { type ChatRecord, checkChat, followChat } from '@turnpike/testkit/chat'
import { expect, test } from 'vitest'
import { serve } from './server.ts'

const CLIENTS = 50
const RUNS = 5
const CHATTERS = 30
const CHATS = 3
const seed = Number(process.env['CHAOS_SEED'] ?? Date.now() % 1_000_000)

/** Talks for about a quarter of a second, in bursts, and reports everything else there is in between. */
const talker = defineAgent({
  name: 'talker',
  register: false,
  async *run({ text }) {
    for (let i = 0; i < 60; i++) {
      if (i % 3 === 0) await sleep(10)
      yield `${text}:${i} `
      if (i === 30) yield* ALL_REPORTS
    }
  },
})

/** Everything that was logged for a thread, from the log itself. */
async function loggedIn(gateway: Gateway, threadId: string): Promise<ThreadEvent[]> {
  const follow = await gateway.log.follow(threadRef(ANONYMOUS, threadId), { after: ORIGIN }, () => {})
  const { window, position } = follow
  const events: ThreadEvent[] = []
  for (let seq = parseEventId(position).seq + 1; seq <= window.headSeq; seq++) {
    const event = window.at(seq)
    if (event) events.push(event)
  }
  follow.close()
  return events
}

test(`fifty clients cut again and again, on both wires, have every event once and in order (CHAOS_SEED=${seed})`, async () => {
  // Longer than the test takes on a loaded machine: its end asks the log for all there was.
  await using server = await serve([talker], { limits: { replayWindowMs: 300_000 } })
  await using proxy = await startChaosProxy({
    target: { port: server.port },
    seed,
    faults: { cutEveryMs: [20, 250], kinds: ['reset', 'half-open'], sliceBytes: [1, 400], stallMs: [1, 30] },
  })
  const random = createRandom(seed)
  const threads = Array.from({ length: CLIENTS }, (_, i) => `thread-${i}`)

  const talk = async (threadId: string): Promise<void> => {
    for (let n = 0; n < RUNS; n++) {
      const body = JSON.stringify({ message: `${threadId}/${n}`, threadId })
      const response = await fetch(`${server.baseUrl}/agents/talker/chat/stream`, { method: 'POST', body })
      expect(await response.text()).toContain('event: finish')
    }
  }
  const follow = (threadId: string): Promise<FollowedThread> => {
    let finished = 0
    return followThread({
      wire: 'mixed',
      baseUrl: `http://127.0.0.1:${proxy.port}`,
      threadId,
      random: random.fork(),
      livenessMs: 300,
      until: (event) => event.type === 'finish' && ++finished === RUNS,
    })
  }

  // A thread has to be there before it can be followed.
  const talks = threads.map(talk)
  await expect
    .poll(async () => (await server.gateway.store.threads.list('anonymous', { limit: 100 })).length, {
      timeout: 20_000,
    })
    .toBe(CLIENTS)
  const followed = await Promise.all(threads.map(follow))
  await Promise.all(talks)

  let connects = 0
  for (const [index, { records, messages, resets }] of followed.entries()) {
    const threadId = threads[index] ?? ''
    const log = await loggedIn(server.gateway, threadId)
    expect(checkHistory({ log, records }), threadId).toEqual([])
    expect(messages).toHaveLength(2 * RUNS)
    expect(resets).toBe(0)
    connects += followed[index]?.connects ?? 0
  }
  expect(connects).toBeGreaterThan(3 * CLIENTS)
  expect(proxy.stats.resets + proxy.stats.halfOpens).toBeGreaterThan(2 * CLIENTS)
}, 60_000)

test(`thirty clients of chat JSON, cut again and again, are told what was logged (CHAOS_SEED=${seed})`, async () => {
  await using server = await serve([talker], { limits: { replayWindowMs: 300_000 } })
  attachWebSocketTransport(server.server, { talker }, { gateway: server.gateway })
  await using proxy = await startChaosProxy({
    target: { port: server.port },
    seed,
    // A run takes about as long as a line lasts, and is told from its beginning on each.
    faults: { cutEveryMs: [20, 700], kinds: ['reset', 'half-open'], sliceBytes: [1, 400], stallMs: [1, 30] },
  })
  const random = createRandom(seed)
  const sessions = Array.from({ length: CHATTERS }, (_, i) => `chat-${i}`)

  const chat = async (sessionId: string): Promise<(readonly ChatRecord[])[]> => {
    const [own, connections] = [random.fork(), [] as (readonly ChatRecord[])[]]
    for (let n = 0; n < CHATS; n++) {
      const { connections: more } = await followChat({
        baseUrl: `http://127.0.0.1:${proxy.port}`,
        sessionId,
        runId: `${sessionId}/${n}`,
        message: `${n}`,
        random: own,
        livenessMs: 300,
      })
      connections.push(...more)
    }
    return connections
  }

  const told = await Promise.all(sessions.map(chat))
  let connects = 0
  for (const [index, connections] of told.entries()) {
    const log = await loggedIn(server.gateway, sessions[index] ?? '')
    expect(log.filter(({ type }) => type === 'start')).toHaveLength(CHATS)
    for (const [n, records] of connections.entries()) {
      // Each follows one chat, until it has been told its end.
      const left = runIn(records) === runIn(connections[n + 1] ?? []) ? 'cut' : 'answered'
      expect(checkChat({ log, records, left }), `connection ${n} of ${sessions[index]}`).toEqual([])
    }
    connects += connections.length
  }
  expect(connects).toBeGreaterThan(CHATTERS * CHATS)
}, 60_000)

function runIn(records: readonly ChatRecord[]): string | undefined {
  const [asked] = records
  return asked?.type === 'asked' ? asked.ask.runId : undefined
}
