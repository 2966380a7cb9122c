import { openEventStream, connectWebSocket, countingAgent } from '@turnpike/testkit'
import { expect, test, vi } from 'vitest'
import type { Identity, Store } from '@turnpike/gateway'
import type { TicketRecord, TicketStore } from '@turnpike/gateway/store'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { Tickets } from '../src/access/tickets.ts'
import { recordingLogger } from './harness.ts'
import { serve } from './server.ts'

const agents = [countingAgent()]
const limits = { ticketMs: 30_000, resumeTicketMs: 120_000, ticketsPerMinute: 60 }
const SOMEBODY_S = 'A'.repeat(43)

/** Lets in `user:<name>`, and `brief:<name>` for so long. */
const authenticate = async (token: string): Promise<Identity | null> => {
  const [kind, id, lifeMs] = token.split(':')
  if (kind === 'user' && id) return { id, roles: ['reader'] }
  if (kind === 'brief' && id) return { id, expiresAt: Date.now() + Number(lifeMs) }
  return null
}

/** Tickets in a map, and what was asked of it. */
function mapTickets(): TicketStore & { readonly saved: Map<string, TicketRecord>; readonly taken: string[] } {
  const saved = new Map<string, TicketRecord>()
  const taken: string[] = []
  return {
    saved,
    taken,
    async save(digest, ticket) {
      saved.set(digest, ticket)
    },
    async take(digest) {
      taken.push(digest)
      const ticket = saved.get(digest)
      saved.delete(digest)
      return ticket
    },
  }
}

/** A store in memory, with other tickets; they are good beyond the process. */
function storeWith(tickets: TicketStore): Store {
  const store = sqliteStore()
  const { threads, numbering, runs, approvals } = store
  return {
    isDurable: true,
    threads,
    numbering,
    runs,
    approvals,
    tickets,
    artifacts: (thread) => store.artifacts(thread),
    memories: (thread, principalId) => store.memories(thread, principalId),
    close: () => store.close(),
  }
}

const as = (token: string): { headers: { authorization: string } } => ({
  headers: { authorization: `Bearer ${token}` },
})
const wsOf = (baseUrl: string, ticket: string): string =>
  `${baseUrl.replace('http', 'ws')}/stream?ticket=${ticket}`

async function buy(baseUrl: string, token = 'user:ada'): Promise<{ ticket: string; expiresAt: number }> {
  const response = await fetch(`${baseUrl}/tickets`, { method: 'POST', ...as(token) })
  expect(response.status).toBe(200)
  expect(response.headers.get('cache-control')).toBe('no-store')
  return (await response.json()) as { ticket: string; expiresAt: number }
}

test('a ticket carries the whole identity, and the store has a digest of it only', async () => {
  const store = mapTickets()
  const tickets = new Tickets({ store, limits })
  const principal = { id: 'ada', email: 'ada@example.com', roles: ['admin'], permissions: ['read'] }
  const credentialExpiresAt = Date.now() + 3_600_000
  const { ticket } = await tickets.issue({ principal, expiresAt: credentialExpiresAt })
  expect(ticket).toMatch(/^[\w-]{43}$/)
  expect(JSON.stringify([...store.saved])).not.toContain(ticket)
  expect(await tickets.redeem(ticket)).toEqual({ principal, expiresAt: credentialExpiresAt })
  expect(await tickets.redeem(ticket)).toBe('unknown ticket')
  const lasting = await tickets.issue({ principal })
  expect(await tickets.redeem(lasting.ticket)).toEqual({ principal })
})

test('no two tickets are alike', async () => {
  const tickets = new Tickets({ store: mapTickets(), limits: { ...limits, ticketsPerMinute: 1_000 } })
  const issued = await Promise.all(
    Array.from({ length: 500 }, () => tickets.issue({ principal: { id: 'a' } })),
  )
  expect(new Set(issued.map(({ ticket }) => ticket)).size).toBe(500)
})

test('a ticket ends after its time, and with the credential it was got with', async () => {
  const store = mapTickets()
  const tickets = new Tickets({ store, limits })
  vi.useFakeTimers({ toFake: ['Date'], now: 1_000_000 })
  try {
    const principal = { id: 'ada' }
    const long = await tickets.issue({ principal })
    const short = await tickets.issue({ principal, expiresAt: 1_005_000 })
    const back = await tickets.issueForReturn({ principal })
    expect([long.expiresAt, short.expiresAt, back.expiresAt]).toEqual([1_030_000, 1_005_000, 1_120_000])
    vi.setSystemTime(1_005_000)
    expect(await tickets.redeem(short.ticket)).toBe('expired ticket')
    vi.setSystemTime(1_030_000)
    expect(await tickets.redeem(long.ticket)).toBe('expired ticket')
    expect(await tickets.redeem(back.ticket)).toEqual({ principal })
  } finally {
    vi.useRealTimers()
  }
})

test.each([
  '',
  'x',
  'A'.repeat(42),
  'A'.repeat(44),
  `${'A'.repeat(42)}=`,
  `${'A'.repeat(42)}%`,
  `${'A'.repeat(42)}ä`,
])('a malformed ticket is refused without a look into the store: %j', async (ticket) => {
  const store = mapTickets()
  expect(await new Tickets({ store, limits }).redeem(ticket)).toBe('malformed ticket')
  expect(store.taken).toEqual([])
})

test('a ticket lets in once, over HTTP, as an event stream and over WebSocket', async () => {
  await using server = await serve(agents, { authenticate })
  const { baseUrl } = server
  const { ticket, expiresAt } = await buy(baseUrl)
  expect(expiresAt - Date.now()).toBeLessThanOrEqual(30_000)
  expect((await fetch(`${baseUrl}/threads?ticket=${ticket}`)).status).toBe(200)
  expect((await fetch(`${baseUrl}/threads?ticket=${ticket}`)).status).toBe(401)

  const second = await buy(baseUrl)
  await using client = await connectWebSocket({ url: wsOf(baseUrl, second.ticket) })
  expect(await client.request('thread.send', { message: '1', threadId: 't' })).toMatchObject({ ok: true })
  await using again = await connectWebSocket({ url: wsOf(baseUrl, second.ticket) })
  expect(await again.inbox.next()).toEqual({ type: 'goodbye', code: 'unauthorized' })
  expect((await again.closed).code).toBe(4401)

  const third = await buy(baseUrl)
  await using stream = await openEventStream({ url: `${baseUrl}/threads/t/events?ticket=${third.ticket}` })
  expect(stream.status).toBe(200)
  await using stale = await openEventStream({ url: `${baseUrl}/threads/t/events?ticket=${third.ticket}` })
  expect(stale.status).toBe(401)
})

test('of many who come with one ticket at once, one is let in', async () => {
  await using server = await serve(agents, { authenticate })
  const { ticket } = await buy(server.baseUrl)
  const tries = Array.from({ length: 20 }, () => fetch(`${server.baseUrl}/threads?ticket=${ticket}`))
  const statuses = (await Promise.all(tries)).map(({ status }) => status)
  expect(statuses.filter((status) => status === 200)).toHaveLength(1)
  expect(statuses.filter((status) => status === 401)).toHaveLength(19)
})

test.each([
  ['of nobody', SOMEBODY_S],
  ['that is empty', ''],
  ['that is malformed', 'x'],
])('a ticket %s is refused on both wires', async (_title, ticket) => {
  await using server = await serve(agents, { authenticate })
  const response = await fetch(`${server.baseUrl}/threads?ticket=${ticket}`)
  expect(response.status).toBe(401)
  expect(await response.json()).toMatchObject({ error: { code: 'unauthorized' } })
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl, ticket) })
  expect((await client.closed).code).toBe(4401)
})

test('an expired ticket is refused on both wires', async () => {
  await using server = await serve(agents, { authenticate, limits: { ticketMs: 0 } })
  const { ticket } = await buy(server.baseUrl)
  expect((await fetch(`${server.baseUrl}/threads?ticket=${ticket}`)).status).toBe(401)
  const other = await buy(server.baseUrl)
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl, other.ticket) })
  expect((await client.closed).code).toBe(4401)
})

test('a ticket buys no ticket', async () => {
  await using server = await serve(agents, { authenticate })
  const { ticket } = await buy(server.baseUrl)
  const response = await fetch(`${server.baseUrl}/tickets?ticket=${ticket}`, { method: 'POST' })
  expect(response.status).toBe(401)
  expect((await fetch(`${server.baseUrl}/tickets`, { method: 'POST' })).status).toBe(401)
})

test('a user gets so many tickets a minute; others are not concerned', async () => {
  await using server = await serve(agents, { authenticate, limits: { ticketsPerMinute: 2 } })
  await buy(server.baseUrl)
  await buy(server.baseUrl)
  const refused = await fetch(`${server.baseUrl}/tickets`, { method: 'POST', ...as('user:ada') })
  expect(refused.status).toBe(429)
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(await refused.json()).toMatchObject({ error: { code: 'rate-limited' } })
  await buy(server.baseUrl, 'user:bob')
})

test('where nobody has to authenticate a ticket is answered, and any is ignored', async () => {
  const tickets = mapTickets()
  await using server = await serve(agents, { store: storeWith(tickets) })
  const { ticket } = await buy(server.baseUrl)
  for (const given of [ticket, ticket, 'x', '']) {
    expect((await fetch(`${server.baseUrl}/threads?ticket=${given}`)).status).toBe(200)
    await using client = await connectWebSocket({ url: wsOf(server.baseUrl, given) })
    expect(await client.request('thread.unsubscribe', { threadId: 't' })).toMatchObject({ ok: true })
  }
  expect([tickets.saved.size, tickets.taken.length]).toEqual([0, 0])
})

test('a store that fails is no verdict: the client may try again', async () => {
  const fail = (): never => {
    throw new Error('the disk is full')
  }
  await using server = await serve(agents, { authenticate, store: storeWith({ save: fail, take: fail }) })
  expect((await fetch(`${server.baseUrl}/tickets`, { method: 'POST', ...as('user:ada') })).status).toBe(500)
  expect((await fetch(`${server.baseUrl}/threads?ticket=${SOMEBODY_S}`)).status).toBe(500)
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl, SOMEBODY_S) })
  expect((await client.closed).code).toBe(4500)
})

test('who is let in with a ticket stays as long as the credential it was got with', async () => {
  await using server = await serve(agents, { authenticate })
  const { ticket, expiresAt } = await buy(server.baseUrl, 'brief:ada:400')
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl, ticket) })
  expect((await client.closed).code).toBe(4501)
  expect(Date.now()).toBeGreaterThanOrEqual(expiresAt)
})

test('a drain gives who has to authenticate a ticket to come back with', async () => {
  const tickets = mapTickets()
  const leaving = await serve(agents, { authenticate, store: storeWith(tickets) })
  await using staying = await serve(agents, { authenticate, store: storeWith(tickets) })
  const url = `${leaving.baseUrl.replace('http', 'ws')}/stream`
  await using client = await connectWebSocket({ url, ...as('user:ada') })
  await using unknown = await connectWebSocket({ url })
  expect(await client.request('thread.unsubscribe', { threadId: 't' })).toMatchObject({ ok: true })
  const drained = leaving.close(0)
  const goodbye = await client.inbox.next()
  expect(goodbye).toMatchObject({ type: 'goodbye', code: 'draining', ticket: expect.any(String) })
  expect((await client.closed).code).toBe(1012)
  expect(await unknown.inbox.next()).not.toHaveProperty('ticket')
  await drained
  const { ticket = '' } = goodbye as { ticket?: string }
  await using back = await connectWebSocket({ url: wsOf(staying.baseUrl, ticket) })
  expect(await back.request('thread.unsubscribe', { threadId: 't' })).toMatchObject({ ok: true })
  const [record] = [...tickets.saved.values()]
  expect(record).toBeUndefined()
})

test.each<[string, () => Promise<void>]>([
  ['fails', () => Promise.reject(new Error('the disk is full'))],
  ['hangs', () => new Promise(() => {})],
])('a drain ends where the store %s', async (_title, save) => {
  const logger = recordingLogger()
  const store = storeWith({ save, take: async () => undefined })
  const server = await serve(agents, { authenticate, store, logger })
  const url = `${server.baseUrl.replace('http', 'ws')}/stream`
  await using client = await connectWebSocket({ url, ...as('user:ada') })
  expect(await client.request('thread.unsubscribe', { threadId: 't' })).toMatchObject({ ok: true })
  const drained = server.close(0)
  const goodbye = await client.inbox.next()
  expect(goodbye).toMatchObject({ type: 'goodbye', code: 'draining' })
  expect(goodbye).not.toHaveProperty('ticket')
  expect((await client.closed).code).toBe(1012)
  await drained
  expect(logger.errors).toHaveLength(1)
})

test('nobody gets a ticket from a drain where nobody has to authenticate', async () => {
  const server = await serve(agents)
  await using client = await connectWebSocket({ url: `${server.baseUrl.replace('http', 'ws')}/stream` })
  expect(await client.request('thread.unsubscribe', { threadId: 't' })).toMatchObject({ ok: true })
  const drained = server.close(0)
  expect(await client.inbox.next()).not.toHaveProperty('ticket')
  await drained
})
