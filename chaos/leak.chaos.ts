import { setTimeout as delay } from 'node:timers/promises'
import { connectWebSocket, createRandom } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import type { Questions } from './control.ts'
import { replay, report, scale, scaled, seed } from './dice.ts'
import type { Order } from './order.ts'
import { ServerProcess } from './server-process.ts'

const CYCLES = scaled(200_000, 2_000)
const WARM_CYCLES = Math.round(CYCLES / 20)
const AT_ONCE = 16
const WAITS = scale >= 0.2
/** Counters of users are kept for a minute: where that is too long to wait, there are few users, who come again. */
const USERS = WAITS ? CYCLES : 100
const FORGOTTEN_MS = WAITS ? 62_000 : 0
/** A counter has a timer: those that were not waited for may be there in one sample, and not in the other. */
const COUNTERS = WAITS ? 0 : USERS
const DEADLINE_MS = 60_000
/** Caches are full, and windows are empty, long before the end of the first cycles. */
const LIMITS = { rememberedRuns: 200, replayWindowMs: 500, userRuns: 0 }

type Settled = Questions['settled']['answer']

const COUNTED = ['timers', 'sockets', 'aborts', 'asyncResources', 'maps', 'files'] as const
/** Samples, a second apart, in which nothing goes any more: the log's sweep comes round in that time. */
const QUIET_SAMPLES = 8

/** The ways in which a client comes and goes. */
const WAYS = [
  'websocket',
  'websocket cut amid its run',
  'event stream',
  'event stream cut amid its run',
  'handshake refused',
  'request refused',
] as const

async function cycle(server: ServerProcess, n: number): Promise<void> {
  const user = `user-${n % USERS}`
  const headers = { authorization: `Bearer ${user}` }
  const order: Order = { seed: n, pieces: 4, bytes: 24, burst: 2, pauseMs: 1 }
  const payload = { threadId: `thread-${n}`, runId: `run-${n}`, message: JSON.stringify(order) }
  const way = createRandom(seed + n).pick(WAYS)
  switch (way) {
    case 'websocket':
    case 'websocket cut amid its run': {
      await using client = await connectWebSocket({ url: server.webSocketUrl, headers, deadlineMs: 60_000 })
      expect(await client.request('thread.send', payload)).toMatchObject({ ok: true })
      if (way === 'websocket') await client.inbox.until((frame) => frame.type === 'finish')
      return
    }
    case 'event stream':
    case 'event stream cut amid its run': {
      const response = await fetch(`${server.baseUrl}/agents/ordered/chat/stream`, {
        method: 'POST',
        body: JSON.stringify(payload),
        headers,
      })
      expect(response.status).toBe(200)
      if (way === 'event stream') expect(await response.text()).toContain('event: finish')
      else await response.body?.cancel()
      return
    }
    case 'handshake refused':
      await expect(connectWebSocket({ url: `${server.webSocketUrl}/nowhere`, headers })).rejects.toThrow()
      return
    case 'request refused': {
      const response = await fetch(`${server.baseUrl}/threads/nobody-s-${n}/messages`, { headers })
      expect(response.status).toBe(404)
      await response.text()
      return
    }
    default:
      way satisfies never
  }
}

async function cycles(server: ServerProcess, [from, to]: readonly [number, number]): Promise<void> {
  let next = from
  const worker = async (): Promise<void> => {
    while (next < to) await cycle(server, next++)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

/** What stays, when all that is to be let go of later has had its time. */
async function atRest(server: ServerProcess): Promise<Settled> {
  await delay(FORGOTTEN_MS)
  const deadline = performance.now() + DEADLINE_MS
  let last = await server.ask('settled', {})
  let quiet = 0
  while (quiet < QUIET_SAMPLES && performance.now() < deadline) {
    await delay(1_000)
    const sample = await server.ask('settled', {})
    const isQuiet = COUNTED.every((name) => sample[name] >= last[name])
    quiet = isQuiet ? quiet + 1 : 0
    last = sample
  }
  return last
}

test(`what clients that came and went have left behind does not grow (${replay})`, async () => {
  await using server = await ServerProcess.start({ users: true, limits: LIMITS })
  await cycles(server, [0, WARM_CYCLES])
  const first = await atRest(server)

  const began = performance.now()
  await cycles(server, [WARM_CYCLES, CYCLES])
  const seconds = (performance.now() - began) / 1_000
  // Compiled code and statistics grow a little; twenty bytes of each cycle would be seen.
  const slackBytes = 2_000_000 + 20 * CYCLES
  const last = await atRest(server)

  report(`Leak: ${CYCLES} cycles, ${USERS} users`, {
    'cycles a second': (CYCLES - WARM_CYCLES) / seconds,
    'alive, MB': `${(first.liveBytes / 1e6).toFixed(2)} → ${(last.liveBytes / 1e6).toFixed(2)}`,
    'RSS, MB': `${(first.rssBytes / 1e6).toFixed(1)} → ${(last.rssBytes / 1e6).toFixed(1)}`,
    ...Object.fromEntries(
      ([...COUNTED, 'sets', 'listeners'] as const).map((name) => [name, `${first[name]} → ${last[name]}`]),
    ),
    resources: `${JSON.stringify(first.resources)} → ${JSON.stringify(last.resources)}`,
  })
  expect(last.liveBytes).toBeLessThan(first.liveBytes + slackBytes)
  for (const name of COUNTED) {
    const counters = name === 'timers' ? COUNTERS : 0
    expect(last[name], name).toBeLessThanOrEqual(first[name] + counters + 5)
  }
  // The search keeps one for each owner whose words it knows, of which there are so many at most.
  expect(last.sets).toBeLessThanOrEqual(first.sets + Math.min(USERS, 5_000))
  expect(last.listeners).toBe(first.listeners)
  expect(last.connections).toBe(0)
  expect(last.resources).toEqual(first.resources)
})
