import { connectWebSocket, countingAgent, openEventStream } from '@turnpike/testkit'
import { afterEach, expect, test, vi } from 'vitest'
import { defineAgent } from '@turnpike/agents'
import type { Identity } from '@turnpike/gateway'
import { scheduleAt } from '../src/timing/expiry.ts'
import { TimerWheel } from '../src/timing/timer-wheel.ts'
import { serve } from './server.ts'

const SOON_MS = 400
const agents = [countingAgent()]
const wsOf = (baseUrl: string): string => `${baseUrl.replace('http', 'ws')}/stream`
const as = (token: string): { headers: { authorization: string } } => ({
  headers: { authorization: `Bearer ${token}` },
})

/** Lets in `<name>` for good, and `<name>@<time>` until then. */
const authenticate = async (token: string): Promise<Identity | null> => {
  const [id, expiresAt] = token.split('@')
  if (!id || id === 'nobody') return null
  return expiresAt === undefined ? { id } : { id, expiresAt: Number(expiresAt) }
}

const soon = (name: string): string => `${name}@${Date.now() + SOON_MS}`

afterEach(() => {
  vi.useRealTimers()
})

test('a connection is closed when its credential expires, and told so', async () => {
  await using server = await serve(agents, { authenticate })
  const token = soon('ada')
  await using byHeader = await connectWebSocket({ url: wsOf(server.baseUrl), ...as(token) })
  await using byMessage = await connectWebSocket({ url: wsOf(server.baseUrl) })
  expect(await byMessage.request('auth', { token })).toMatchObject({ ok: true })
  for (const client of [byHeader, byMessage]) {
    expect(await client.inbox.next()).toEqual({ type: 'goodbye', code: 'token-expired' })
    expect(await client.closed).toMatchObject({ code: 4501, reason: 'token-expired' })
  }
  await using again = await connectWebSocket({ url: wsOf(server.baseUrl), ...as(token) })
  expect((await again.closed).code).toBe(4401)
})

test('an event stream ends when its credential expires; the run it shows goes on', async () => {
  const gate = Promise.withResolvers<void>()
  const patient = defineAgent({
    name: 'patient',
    register: false,
    async *run() {
      yield 'one '
      await gate.promise
      yield 'two'
    },
  })
  await using server = await serve([patient], { authenticate })
  const { baseUrl } = server
  await using sent = await openEventStream({
    url: `${baseUrl}/agents/patient/chat/stream`,
    body: { message: 'm', threadId: 't' },
    ...as(soon('ada')),
  })
  await sent.events.until(({ event }) => event === 'text-delta')
  await using followed = await openEventStream({ url: `${baseUrl}/threads/t/events`, ...as(soon('ada')) })
  await using lasting = await openEventStream({ url: `${baseUrl}/threads/t/events`, ...as('ada') })
  await expect(sent.events.until(({ event }) => event === 'finish')).rejects.toThrow()
  await expect(followed.events.next()).rejects.toThrow()
  gate.resolve()
  const finish = await lasting.events.until(({ event }) => event === 'finish')
  expect(JSON.stringify(finish)).toContain('one two')
})

test('a newer token keeps the connection open past the end of the older one', async () => {
  await using server = await serve(agents, { authenticate })
  const token = soon('ada')
  await using renewed = await connectWebSocket({ url: wsOf(server.baseUrl), ...as(token) })
  await using moved = await connectWebSocket({ url: wsOf(server.baseUrl), ...as(token) })
  expect(await renewed.request('auth', { token: 'ada' })).toMatchObject({ ok: true })
  const later = Date.now() + 2 * SOON_MS
  expect(await moved.request('auth', { token: `ada@${later}` })).toMatchObject({ ok: true })
  await using witness = await connectWebSocket({ url: wsOf(server.baseUrl), ...as(token) })
  expect((await witness.closed).code).toBe(4501)
  expect(await renewed.request('thread.send', { message: '1' })).toMatchObject({ ok: true })
  expect((await moved.closed).code).toBe(4501)
  expect(Date.now()).toBeGreaterThanOrEqual(later)
  expect(await renewed.request('thread.send', { message: '1' })).toMatchObject({ ok: true })
})

test.each([
  ['a refused token', 'nobody', 'unauthorized'],
  ['an expired token', 'ada@1', 'unauthorized'],
  ['a token of another user', 'bob', 'forbidden'],
])('a renewal with %s leaves the connection as it was, until its own end', async (_title, token, code) => {
  await using server = await serve(agents, { authenticate })
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl), ...as(soon('ada')) })
  expect(await client.request('auth', { token })).toMatchObject({ ok: false, error: { code } })
  expect(await client.request('thread.send', { message: '1' })).toMatchObject({ ok: true })
  expect(await client.closed).toMatchObject({ code: 4501 })
})

test('a renewal that has no verdict when the end comes is too late', async () => {
  const asked = Promise.withResolvers<void>()
  await using server = await serve(agents, {
    authenticate: (token) => {
      if (token !== 'slow') return authenticate(token)
      asked.resolve()
      return new Promise(() => {})
    },
  })
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl), ...as(soon('ada')) })
  const answer = client.request('auth', { token: 'slow' })
  await asked.promise
  expect((await client.closed).code).toBe(4501)
  await expect(answer).rejects.toThrow('4501')
})

test.each([
  ['no end', undefined],
  ['an end beyond the range of timers', Date.now() + 2 ** 31 + 1],
  ['the last safe moment', Number.MAX_SAFE_INTEGER],
  ['a number beyond all time', 1e300],
  ['an infinite end', Infinity],
])('a credential with %s does not expire', async (_title, expiresAt) => {
  const identity: Identity = { id: 'ada', ...(expiresAt !== undefined && { expiresAt }) }
  await using server = await serve(agents, {
    authenticate: async (token) => (token === 'lasting' ? identity : authenticate(token)),
  })
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl), ...as('lasting') })
  await using witness = await connectWebSocket({ url: wsOf(server.baseUrl), ...as(soon('ada')) })
  expect((await witness.closed).code).toBe(4501)
  expect(await client.request('thread.send', { message: '1' })).toMatchObject({ ok: true })
})

test('a time far ahead is met as exactly as one that is near, and can be taken back on the way', () => {
  vi.useFakeTimers({ now: 0 })
  const wheel = new TimerWheel()
  const [kept, taken] = [vi.fn(), vi.fn()]
  scheduleAt(wheel, 1_000_000, kept)
  const stop = scheduleAt(wheel, 1_000_000, taken)
  vi.advanceTimersByTime(500_000)
  stop()
  vi.advanceTimersByTime(499_900)
  expect(kept).not.toHaveBeenCalled()
  vi.advanceTimersByTime(400)
  expect(kept).toHaveBeenCalledTimes(1)
  expect(taken).not.toHaveBeenCalled()
  expect(wheel.size).toBe(0)
})

test('a machine that slept finds what has expired meanwhile', () => {
  vi.useFakeTimers({ now: 0 })
  const wheel = new TimerWheel()
  const task = vi.fn()
  scheduleAt(wheel, 3_600_000, task)
  vi.setSystemTime(4_000_000)
  vi.advanceTimersByTime(61_000)
  expect(task).toHaveBeenCalledTimes(1)
  wheel.close()
})
