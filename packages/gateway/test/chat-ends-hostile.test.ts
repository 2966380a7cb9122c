import { defineAgent } from '@turnpike/agents'
import { ANONYMOUS, type Store } from '@turnpike/gateway'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { countingAgent, puppetAgent } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { type ChatClient, type ChatService, type Frame, serveChat } from './chat-server.ts'

const FORGETS = { replayWindowMs: 1, logBytes: 2_000, checkpointMs: 20 }
/** Runs with more events than such a log keeps. */
const LONG = '300'

/** Says all of it in one turn, which is more than such a log keeps. */
const burstingAgent = defineAgent({
  name: 'bursting',
  register: false,
  async *run({ text }) {
    for (let n = 1; n <= Number(text); n++) yield `${n} `
  },
})

/** A store in which one call fails for as long as `isDown` says so. */
function faultyStore(part: 'runs' | 'numbering', call: string, isDown: () => boolean): Store {
  const store = sqliteStore()
  const faulty = new Proxy(store[part], {
    get(target, name) {
      const given: unknown = Reflect.get(target, name)
      if (typeof given !== 'function') return given
      return async (...values: unknown[]): Promise<unknown> => {
        if (name === call && isDown()) throw new Error('The store is down.')
        return Reflect.apply(given, target, values)
      }
    },
  })
  return { ...store, [part]: faulty }
}

async function idle({ gateway }: ChatService): Promise<void> {
  await expect.poll(() => gateway.runs.count()).toEqual({ running: 0, queued: 0, parked: 0 })
}

function endsOf(client: ChatClient, runId: string): Frame[] {
  return [...client.all('done', runId), ...client.all('error', runId)]
}

test('what a run has ended with is not made up while the store does not have it', async () => {
  let isDown = false
  const store = faultyStore('runs', 'update', () => isDown)
  await using service = await serveChat({ bursting: burstingAgent }, { store, limits: FORGETS })
  const [first, second] = [await service.connect(), await service.connect()]
  const chat = { sessionId: 's', runId: 'r1' }
  isDown = true
  first.chat('400', chat)
  expect(await first.closed).toBe(4_500)
  expect(first.all('done')).toEqual([])
  const response = await service.chat('bursting', { message: '400', ...chat })
  expect(response.status).toBe(500)
  isDown = false
  const text = Array.from({ length: 400 }, (_, n) => `${n + 1} `).join('')
  await expect
    .poll(async () => (await service.chat('bursting', { message: '400', ...chat })).json())
    .toMatchObject({ text })
  second.chat('400', chat)
  expect(await second.next('done', 'r1')).toMatchObject({ text })
})

test('sessions are given up only once all was told of the chats that were asked for there', async () => {
  await using service = await serveChat(
    { counter: countingAgent() },
    { limits: { ...FORGETS, subscriptions: 2 } },
  )
  const first = await service.connect()
  const runIds = Array.from({ length: 12 }, (_, n) => `r${n}`)
  for (const runId of runIds) {
    for (const [message, id] of [
      ['3', runId],
      [LONG, `${runId}-long`],
    ]) {
      first.chat(message, { sessionId: `s-${runId}`, runId: id })
      await first.next('done', id)
    }
  }
  const second = await service.connect()
  for (const runId of runIds) second.chat('3', { sessionId: `s-${runId}`, runId })
  await second.until(() => (runIds.every((runId) => endsOf(second, runId).length > 0) ? second.told : []))
  for (const runId of runIds) {
    const [end, ...more] = endsOf(second, runId)
    expect(more).toEqual([])
    if (end?.type === 'done') expect(end).toEqual(first.all('done', runId)[0])
    else expect(end).toMatchObject({ code: 'too-many-subscriptions' })
  }
  expect(second.all('done').length).toBeGreaterThanOrEqual(2)
})

test('who was reset many times still hears of a chat of another from before', async () => {
  const agents = { counter: countingAgent(), bursting: burstingAgent }
  await using service = await serveChat(agents, { limits: FORGETS })
  const [one, other] = [await service.connect(), await service.connect()]
  one.chat('1', { sessionId: 's', runId: 'mine' })
  await one.next('done', 'mine')
  const runIds = Array.from({ length: 10 }, (_, n) => `theirs-${n}`)
  for (const runId of runIds) {
    other.chat('400', { agent: 'bursting', sessionId: 's', runId })
    await other.next('done', runId)
  }
  expect(one.all('reset').length).toBeGreaterThan(16)
  for (const runId of runIds) one.chat('400', { agent: 'bursting', sessionId: 's', runId })
  for (const runId of runIds) {
    expect(await one.next('done', runId)).toEqual(other.all('done', runId)[0])
  }
})

test('a hundred past chats of a session are each told once, however often they are asked for', async () => {
  const limits = { ...FORGETS, framesPerSecond: 1_000, frameBurst: 1_000 }
  await using service = await serveChat({ counter: countingAgent() }, { limits })
  const first = await service.connect()
  const runIds = Array.from({ length: 100 }, (_, n) => `r${n}`)
  for (const runId of runIds) {
    first.chat('3', { sessionId: 's', runId })
    await first.next('done', runId)
  }
  const second = await service.connect()
  second.chat('3', { sessionId: 's', runId: 'mine' })
  await second.next('done', 'mine')
  for (const runId of [...runIds, ...runIds]) second.chat('3', { sessionId: 's', runId })
  for (const runId of runIds) await second.next('done', runId)
  second.chat('3', { sessionId: 's', runId: 'last' })
  second.chat('3', { sessionId: 's', runId: 'r0' })
  await second.next('done', 'last')
  for (const runId of runIds) expect(second.all('done', runId)).toHaveLength(1)
  // Its own place is as it was.
  expect(second.all('reset')).toEqual([])
})

test('ends behind a history wait for the reader as all else does', async () => {
  const big = 'x'.repeat(10_000)
  const agent = defineAgent({
    name: 'big',
    register: false,
    async *run({ text }) {
      for (let n = 0; n < Number(text); n++) yield big
    },
  })
  const highWaterBytes = 65_536
  const limits = { logBytes: 200_000, highWaterBytes, replayWindowMs: 1, framesPerSecond: 1_000 }
  await using service = await serveChat({ agent }, { limits })
  const [slow, quick] = [await service.connect(), await service.connect()]
  slow.chat('1', { sessionId: 's', runId: 'r0' })
  await slow.next('done', 'r0')
  slow.socket.pause()
  const held = (): number =>
    Math.max(...service.gateway.sessions.list(ANONYMOUS).map(({ bufferedBytes }) => bufferedBytes))
  // What the kernel takes is full when it begins.
  for (let n = 0; n < 12; n++) {
    quick.chat('90', { sessionId: 's', runId: `fill-${n}` })
    await quick.next('done', `fill-${n}`)
  }
  const runIds = Array.from({ length: 40 }, (_, n) => `r${n + 1}`)
  for (const [n, runId] of runIds.entries()) {
    slow.chat('30', { sessionId: 's', runId })
    if (n % 4 === 3) {
      await expect.poll(() => service.gateway.runs.count().queued).toBe(0)
      await idle(service)
    }
  }
  const before = held()
  let most = 0
  slow.socket.on('message', () => (most = Math.max(most, held())))
  slow.socket.resume()
  for (const runId of runIds) await slow.next('done', runId)
  // A history, which is bounded, and an answer on top of what a link holds.
  expect(most).toBeLessThan(before + highWaterBytes + 1_600_000)
  for (const runId of runIds) expect(slow.all('done', runId)).toHaveLength(1)
})

test('a chat that cannot begin is refused, and the connection goes on', async () => {
  let isDown = false
  const agent = puppetAgent('puppet')
  const store = faultyStore('numbering', 'reserve', () => isDown)
  await using service = await serveChat({ agent }, { store, limits: { seqBlock: 1 } })
  const client = await service.connect()
  client.chat('1', { sessionId: 's', runId: 'r1' })
  const run = await agent.nextRun()
  client.chat('2', { sessionId: 's', runId: 'r2' })
  await expect.poll(() => service.gateway.runs.count().queued).toBe(1)
  isDown = true
  run.end()
  expect(await client.next('error', 'r2')).toMatchObject({ code: 'internal' })
  client.send({ type: 'ping' })
  await client.next('pong')
})

test('a chat of the past is told to who reads slowly, and nothing is told twice', async () => {
  const agent = puppetAgent('puppet')
  const limits = { replayWindowMs: 1, logBytes: 4_000_000, highWaterBytes: 65_536 }
  await using service = await serveChat({ counter: countingAgent(), agent }, { limits })
  const [first, slow] = [await service.connect(), await service.connect()]
  first.chat('3', { sessionId: 's', runId: 'past' })
  await first.next('done', 'past')
  slow.chat('hi', { agent: 'agent', sessionId: 's', runId: 'r1' })
  const run = await agent.nextRun()
  await run.say('first')
  await slow.next('chunk', 'r1')
  slow.socket.pause()
  for (let n = 0; n < 90; n++) await run.say(`${'x'.repeat(10_000)}`)
  slow.chat('3', { sessionId: 's', runId: 'past' })
  run.end()
  slow.socket.resume()
  await slow.next('done', 'r1')
  expect(slow.text('r1')).toBe(`first${'x'.repeat(900_000)}`)
  expect(await slow.next('done', 'past')).toEqual(await first.next('done', 'past'))
})
