import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Runnable, createAgent, defineAgent } from '@turnpike/agents'
import { demoModel } from '@turnpike/agents/demo'
import {
  type Gateway,
  type GatewayOptions,
  type UserBudget,
  ANONYMOUS,
  attachWebSocketTransport,
  threadRef,
} from '@turnpike/gateway'
import { createGatewayServer } from '@turnpike/gateway/server'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { connectWebSocket, countingAgent, puppetAgent } from '@turnpike/testkit'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { serveChat } from './chat-server.ts'
import { durableStore, processOn } from './restarts.ts'
import { HeldStore, testGateway } from './harness.ts'

const MINUTE = 60_000
const DAY = 86_400_000

/** Reports so many tokens as its message says. */
const spender: Runnable = defineAgent({
  name: 'spender',
  register: false,
  async *run({ text }) {
    yield 'spent'
    return { usage: { inputTokens: Number(text) - 1, outputTokens: 1 } }
  },
})

function budgeted(budget: UserBudget, options: Partial<GatewayOptions> = {}): Gateway {
  return testGateway([spender], { budget, ...options })
}

const asAda = { authorization: 'Bearer ada' }
const auth = async (id: string): Promise<{ id: string }> => ({ id })

afterEach(() => {
  vi.useRealTimers()
})

describe('runs a minute', () => {
  test('are counted over sockets and requests, for each user by itself', async () => {
    await using service = await serveChat({ spender }, { limits: { user: { runsPerMinute: 2 } } })
    const [one, two] = [await service.connect(), await service.connect()]
    one.chat('1', { userId: 'ada', runId: 'r1' })
    await one.next('done', 'r1')
    two.chat('1', { userId: 'ada', runId: 'r2' })
    await two.next('done', 'r2')
    one.chat('1', { userId: 'ada', runId: 'r3' })
    const refused = await one.next('error', 'r3')
    expect(refused).toMatchObject({ code: 'rate-limited', retryAfterMs: expect.any(Number) })
    expect(refused['retryAfterMs']).toBeGreaterThan(0)
    expect(refused['retryAfterMs']).toBeLessThanOrEqual(MINUTE)
    const response = await service.chat('spender', { message: '1', userId: 'ada' })
    expect(response.status).toBe(429)
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
    one.chat('1', { userId: 'bob', runId: 'r4' })
    await one.next('done', 'r4')
  })

  test('are as many again when a minute is over', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    await using service = await serveChat({ spender }, { limits: { user: { runsPerMinute: 1 } } })
    const ask = (): Promise<Response> => service.chat('spender', { message: '1', userId: 'ada' })
    expect((await ask()).status).toBe(200)
    vi.setSystemTime(Date.now() + 20_000)
    const refused = await ask()
    const { error } = (await refused.json()) as { error: { retryAfterMs: number } }
    expect(error.retryAfterMs).toBe(40_001)
    vi.setSystemTime(Date.now() + error.retryAfterMs)
    expect((await ask()).status).toBe(200)
  })

  test('asked for all at once are no more', async () => {
    const gateway = budgeted({ runsPerMinute: 3 })
    const asked = Array.from({ length: 12 }, (_, n) =>
      gateway.runs.send({
        principal: ANONYMOUS,
        chargedTo: 'ada',
        thread: threadRef(ANONYMOUS, `t${n}`),
        payload: { message: '1' },
      }),
    )
    const settled = await Promise.allSettled(asked)
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
    await gateway.drain(0)
  })

  test('count each run once, however often it is asked for', async () => {
    await using service = await serveChat({ spender }, { limits: { user: { runsPerMinute: 1 } } })
    const body = { message: '1', userId: 'ada', sessionId: 's1', runId: 'r1' }
    for (let n = 0; n < 3; n++) expect((await service.chat('spender', body)).status).toBe(200)
    expect((await service.chat('spender', { message: '1', userId: 'ada' })).status).toBe(429)
  })
})

describe('tokens a day', () => {
  test('are those that the model reports', async () => {
    const helper = createAgent({ name: 'helper', model: demoModel(), register: false })
    await using service = await serveChat({ helper }, { limits: { user: { tokensPerDay: 1 } } })
    const client = await service.connect()
    client.chat('Hello', { userId: 'ada', runId: 'r1' })
    await client.next('done', 'r1')
    client.chat('Hello', { userId: 'ada', runId: 'r2' })
    expect(await client.next('error', 'r2')).toMatchObject({
      code: 'budget-exhausted',
      retryAfterMs: expect.any(Number),
    })
  })

  test('of a run that has just ended count, however long the store takes', async () => {
    const held = new HeldStore()
    const gateway = budgeted({ tokensPerDay: 100 }, { store: held.store })
    await using service = await serveChat({ spender }, { gateway })
    const client = await service.connect()
    client.chat('1', { userId: 'ada', runId: 'r0' })
    await client.next('done', 'r0')
    const release = held.hold('runs.update')
    client.chat('100', { userId: 'ada', runId: 'r1', sessionId: 'b' })
    await client.next('done', 'r1')
    client.chat('1', { userId: 'ada', runId: 'r2', sessionId: 'c' })
    const other = await service.connect()
    other.send({ type: 'ping' })
    await other.next('pong')
    release()
    expect(await client.next('error', 'r2')).toMatchObject({ code: 'budget-exhausted' })
    await gateway.drain(0)
  })

  test('count on two wires and over a restart, and for a day', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 })
    const folder = await mkdtemp(join(tmpdir(), 'turnpike-budget-'))
    const file = join(folder, 'turnpike.sqlite')
    const make = (): Gateway => {
      return budgeted({ tokensPerDay: 100 }, { authenticate: auth, store: sqliteStore({ file }) })
    }
    const over = async (gateway: Gateway, chats: readonly [number, number | string][]): Promise<void> => {
      const server = createGatewayServer({ gateway })
      attachWebSocketTransport(server.server, { spender }, { gateway })
      const url = await server.listen(0)
      await using native = await connectWebSocket({
        url: `${url.replace('http', 'ws')}/stream`,
        headers: asAda,
      })
      await using service = await serveChat({ spender }, { gateway })
      for (const [tokens, expected] of chats) {
        const response = await service.chat('spender', { message: `${tokens}`, userId: 'other' }, asAda)
        expect(response.status).toBe(expected)
        if (expected === 200) continue
        const answer = await native.request('thread.send', { message: `${tokens}` })
        expect(answer).toMatchObject({ ok: false, error: { code: 'budget-exhausted' } })
      }
      await server.close(0)
    }
    await over(make(), [[60, 200]])
    vi.setSystemTime(Date.now() + DAY / 2)
    await over(make(), [
      [60, 200],
      [1, 429],
    ])
    vi.setSystemTime(Date.now() + DAY / 2 + 1)
    await over(make(), [
      [40, 200],
      [1, 429],
    ])
    vi.setSystemTime(Date.now() + DAY)
    await over(make(), [[1, 200]])
    await rm(folder, { recursive: true })
  })

  test('count while a run goes on, step by step', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent }, { limits: { user: { tokensPerDay: 100 } } })
    const client = await service.connect()
    client.chat('one', { userId: 'ada', runId: 'r1', sessionId: 'a' })
    const run = await agent.nextRun()
    await run.say({ type: 'step-start', step: 0 })
    const usage = { inputTokens: 99, outputTokens: 1 }
    await run.say({ type: 'step-finish', step: 0, finishReason: 'tool-calls', usage })
    client.chat('two', { userId: 'ada', runId: 'r2', sessionId: 'b' })
    expect(await client.next('error', 'r2')).toMatchObject({ code: 'budget-exhausted' })
    run.end()
    await client.next('done', 'r1')
  })

  test('of a run that is lost with its process count, as far as they were told', async () => {
    const store = durableStore()
    const agent = puppetAgent('puppet')
    const first = processOn(store, [agent])
    const message = { principal: ANONYMOUS, chargedTo: 'ada', thread: threadRef(ANONYMOUS, 't') }
    await first.gateway.runs.send({ ...message, payload: { message: 'hi', runId: 'r1' } })
    const run = await agent.nextRun()
    const usage = { inputTokens: 99, outputTokens: 1 }
    await run.say({ type: 'step-start', step: 0 })
    await run.say({ type: 'step-finish', step: 0, finishReason: 'tool-calls', usage })
    await expect.poll(() => store.runs.usage(ANONYMOUS.id, 0, 'ada')).toMatchObject(usage)
    first.die()
    const second = processOn(store, [agent])
    await second.gateway.open()
    await expect.poll(async () => (await store.runs.find(ANONYMOUS.id, 'r1'))?.state).toBe('failed')
    expect(await store.runs.usage(ANONYMOUS.id, 0, 'ada')).toMatchObject({ runs: 1, ...usage })
  })
})

describe('runs at once', () => {
  test('are counted over sockets; one that ends makes room, and what waits behind it does not count', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent }, { limits: { user: { concurrentRuns: 1 } } })
    const [one, two] = [await service.connect(), await service.connect()]
    one.chat('one', { userId: 'ada', runId: 'r1' })
    const run = await agent.nextRun()
    one.chat('behind it', { userId: 'ada', runId: 'r2' })
    two.chat('beside it', { userId: 'ada', runId: 'r3' })
    expect(await two.next('error', 'r3')).toMatchObject({
      code: 'too-many-runs',
      retryAfterMs: expect.any(Number),
    })
    two.chat('of another', { userId: 'bob', runId: 'r4' })
    const other = await agent.nextRun()
    expect(other.input.text).toBe('of another')
    run.end()
    const behind = await agent.nextRun()
    expect(behind.input.text).toBe('behind it')
    behind.end()
    other.end()
    await one.next('done', 'r2')
    await two.next('done', 'r4')
  })

  test('may be more than the gateway lets by itself, for who has authenticated', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent }, { auth, limits: { user: { concurrentRuns: 7 } } })
    const client = await service.connect('/ws', { headers: asAda })
    for (let n = 1; n <= 8; n++) client.chat('hi', { sessionId: `s${n}`, runId: `r${n}` })
    expect(await client.next('error')).toMatchObject({ code: 'too-many-runs', runId: 'r8' })
  })
})

describe('whose budget it is', () => {
  test('is that of who has authenticated, whatever user a chat names', async () => {
    await using service = await serveChat({ spender }, { auth, limits: { user: { runsPerMinute: 1 } } })
    const client = await service.connect('/ws', { headers: asAda })
    client.chat('1', { userId: 'bob', runId: 'r1' })
    await client.next('done', 'r1')
    client.chat('1', { userId: 'eve', runId: 'r2' })
    expect(await client.next('error', 'r2')).toMatchObject({ code: 'rate-limited' })
    const asBob = { authorization: 'Bearer bob' }
    expect((await service.chat('spender', { message: '1' }, asBob)).status).toBe(200)
  })

  test("is nobody's where nobody is named", async () => {
    await using service = await serveChat({ spender }, { limits: { user: { runsPerMinute: 1 } } })
    for (let n = 0; n < 3; n++) expect((await service.chat('spender', { message: '1' })).status).toBe(200)
  })

  test.each(['anonymous', '__proto__', 'constructor', '["anonymous",""]'])(
    'may be called "%s"',
    async (userId) => {
      await using service = await serveChat({ spender }, { limits: { user: { runsPerMinute: 1 } } })
      const ask = (body: object): Promise<Response> => service.chat('spender', { message: '1', ...body })
      expect((await ask({ userId })).status).toBe(200)
      expect((await ask({ userId })).status).toBe(429)
      expect((await ask({})).status).toBe(200)
      expect((await ask({ userId: 'ada' })).status).toBe(200)
    },
  )

  test.each([-1, 1.5, Number.NaN, Infinity])(
    'has numbers that can be counted to, not %d',
    (runsPerMinute) => {
      expect(() => testGateway([], { budget: { runsPerMinute } })).toThrow(RangeError)
    },
  )

  test('is without bounds where those are 0', async () => {
    const none = { runsPerMinute: 0, tokensPerDay: 0, concurrentRuns: 0 }
    await using service = await serveChat({ counter: countingAgent() }, { limits: { user: none } })
    for (let n = 0; n < 3; n++) {
      expect((await service.chat('counter', { message: '2', userId: 'ada' })).status).toBe(200)
    }
  })
})
