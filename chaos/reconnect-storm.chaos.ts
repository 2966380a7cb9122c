import { setTimeout as delay } from 'node:timers/promises'
import { type Message, textOf } from '@turnpike/protocol'
import { expect, test } from 'vitest'
import { dice, replay, report, scaled } from './dice.ts'
import { type Order, faultsOf } from './order.ts'
import { ServerProcess } from './server-process.ts'
import { Stayer } from './stayer.ts'

const CLIENTS = scaled(5_000, 100)
const PER_THREAD = 50
const THREADS = Math.ceil(CLIENTS / PER_THREAD)
const PROBE_MS = 50
/** Half of the threads are at rest when the server dies, the others amid a run. */
const threads = Array.from({ length: THREADS }, (_, index) => `thread-${index}`)
const busy = new Set(threads.filter((_, index) => index % 2 === 0))

const random = dice()

/** A run of a thread; its id is made of both names. */
interface RunName {
  readonly threadId: string
  readonly run: string
  readonly pieces: number
}

async function send(baseUrl: string, { threadId, run, pieces }: RunName): Promise<Response> {
  const order: Order = { seed: random.int(1, 1e6), pieces, bytes: 24, burst: 2, pauseMs: 200 }
  const body = JSON.stringify({ threadId, runId: `${threadId}-${run}`, message: JSON.stringify(order) })
  const response = await fetch(`${baseUrl}/agents/ordered/chat/stream`, { method: 'POST', body })
  expect(response.status).toBe(200)
  return response
}

const start = async (baseUrl: string, name: RunName): Promise<void> =>
  (await send(baseUrl, name)).body?.cancel()

/** Has the server run something, again and again, as somebody who was not there before. */
async function probe(baseUrl: string, signal: AbortSignal): Promise<{ worstMs: number; answered: number }> {
  let [worstMs, answered] = [0, 0]
  while (!signal.aborted) {
    const began = performance.now()
    const stream = await send(baseUrl, { threadId: `probe-${answered}`, run: 'probe', pieces: 3 })
    expect(await stream.text()).toContain('event: finish')
    worstMs = Math.max(worstMs, performance.now() - began)
    answered++
    await delay(PROBE_MS)
  }
  return { worstMs, answered }
}

const hasEnded = ({ status }: Message): boolean => status !== 'open'

/** Clients that have read a run each, and half of which are amid another. */
async function gather(baseUrl: string, join: (client: Stayer) => void): Promise<Stayer[]> {
  await Promise.all(
    threads.map(async (threadId) => (await send(baseUrl, { threadId, run: 'before', pieces: 20 })).text()),
  )
  const clients = Array.from({ length: CLIENTS }, (_, i) => new Stayer(baseUrl, threads[i % THREADS] ?? ''))
  clients.forEach(join)
  await Promise.all(clients.map((client) => client.until('before', hasEnded)))
  for (const threadId of busy) await start(baseUrl, { threadId, run: 'lost', pieces: 10_000 })
  await Promise.all(
    clients.map(async (client) => {
      if (busy.has(client.threadId)) await client.until('lost', (answer) => textOf(answer).length > 500)
    }),
  )
  return clients
}

/** Everybody has to have what the server has, and that has to be right. */
async function check(baseUrl: string, clients: readonly Stayer[]): Promise<void> {
  for (const threadId of threads) {
    const response = await fetch(`${baseUrl}/threads/${threadId}/messages`)
    const { messages } = (await response.json()) as { messages: Message[] }
    expect(faultsOf(messages)).toEqual([])
    const states = messages.filter(({ role }) => role === 'assistant').map(({ status }) => status)
    expect(states).toEqual(busy.has(threadId) ? ['done', 'failed', 'done'] : ['done', 'done'])
    for (const client of clients) {
      if (client.threadId !== threadId) continue
      expect(JSON.parse(JSON.stringify(client.messages)), `a client of ${threadId}`).toEqual(messages)
    }
  }
  expect(clients.flatMap(({ faults }) => faults)).toEqual([])
}

test(`everybody is back with the right history after the server was killed (${replay})`, async () => {
  await using server = await ServerProcess.start()
  await using open = new AsyncDisposableStack()
  const { baseUrl } = server
  const clients = await gather(baseUrl, (client) => open.use(client))
  for (const client of clients) client.forget()

  await server.kill()
  const killedAt = performance.now()
  await server.restart()
  const upAt = performance.now()
  const stop = new AbortController()
  const probed = probe(baseUrl, stop.signal)
  const isBack = ({ openedAt }: Stayer): boolean => openedAt > killedAt
  await expect.poll(() => clients.filter(isBack).length, { timeout: 300_000, interval: 100 }).toBe(CLIENTS)
  const { cpuMs } = await server.ask('sample', {})
  const times = clients.map(({ openedAt }) => openedAt - upAt).toSorted((a, b) => a - b)

  for (const threadId of threads) await start(baseUrl, { threadId, run: 'after', pieces: 20 })
  await Promise.all(clients.map((client) => client.until('after', hasEnded)))
  const backMs = performance.now() - upAt
  stop.abort()
  const { worstMs, answered } = await probed
  await check(baseUrl, clients)

  const retold = clients.filter(({ resets, threadId }) => resets > 0 && !busy.has(threadId))
  report(`Reconnect storm: ${CLIENTS} clients on ${THREADS} threads`, {
    'server up again after, ms': upAt - killedAt,
    'half of all back, ms after that': times[Math.floor(CLIENTS / 2)] ?? 0,
    'the last one back, ms after that': times.at(-1) ?? 0,
    'all have the next answer, ms after that': backMs,
    'attempts, mean': clients.reduce((sum, { attempts }) => sum + attempts, 0) / CLIENTS,
    'attempts, most': Math.max(...clients.map(({ attempts }) => attempts)),
    'clients reset that were at rest': retold.length,
    'server CPU until the last one was back, ms': cpuMs,
    'runs of others meanwhile': answered,
    'slowest of those, ms': worstMs,
  })
  expect(answered).toBeGreaterThan(0)
})
