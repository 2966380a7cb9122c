import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { Inbox } from '@turnpike/testkit'
import { expect, test, vi } from 'vitest'
import type { Identity } from '@turnpike/gateway'
import {
  type ManagedSocket,
  WebSocketConnectionError,
  WebSocketConnectionManager,
} from '../src/manager/index.ts'
import { type Client, framesIn, openClient, rawSocket, serveManager, upgradeHead } from './manager-server.ts'
import { Outgoing } from '../src/manager/outgoing.ts'

const KIB = 1_024
const MIB = 1_024 * KIB
const auth = {
  strategy: 'bearer' as const,
  validate: async (token: string): Promise<Identity | null> => (token === 'bad' ? null : { id: token }),
}

test('who is one too many is refused before the handshake and told when to come back', async () => {
  await using server = await serveManager({ maxConnections: 2 })
  await using first = await openClient(server.url)
  await using second = await openClient(server.url)
  const socket = connect(server.port, '127.0.0.1', () => socket.write(upgradeHead()))
  const answer = await text(socket)
  expect(answer).toMatch(/^HTTP\/1\.1 503 [^]*Retry-After: 1\r\n/)
  expect(answer).toContain('"code":"too-many-connections","message":"Maximum connections (2) reached"')
  await first[Symbol.asyncDispose]()
  await using third = await vi.waitFor(() => openClient(server.url))
  expect([second, third].map(({ socket }) => socket.readyState)).toEqual([1, 1])
})

test('a full manager closes who was waiting for a verdict with 4513', async () => {
  const gate = Promise.withResolvers<void>()
  const validate = async (id: string): Promise<Identity> => {
    await gate.promise
    return { id }
  }
  await using server = await serveManager({ maxConnections: 1, auth: { ...auth, validate } })
  await using first = await openClient(`${server.url}?token=a`)
  await using second = await openClient(`${server.url}?token=b`)
  gate.resolve()
  expect(await server.told.next()).toMatchObject({ what: 'open', connection: { user: { id: 'a' } } })
  expect(await second.inbox.next()).toEqual({
    type: 'error',
    error: 'Maximum connections (1) reached',
    code: 'too-many-connections',
    retryAfterMs: 1_000,
  })
  expect((await second.closed).code).toBe(4_513)
  expect(first.socket.readyState).toBe(1)
})

test('a user has so many connections, and others are not theirs', async () => {
  await using server = await serveManager({ auth, maxConnectionsPerUser: 2 })
  const clients = await Promise.all(
    ['ada', 'ada', 'bob'].map((id) => openClient(`${server.url}?token=${id}`)),
  )
  for (let i = 0; i < 3; i++) expect(await server.told.next()).toMatchObject({ what: 'open' })
  await using more = await openClient(`${server.url}?token=ada`)
  expect(await more.inbox.next()).toMatchObject({ error: 'Maximum connections per user (2) reached' })
  expect((await more.closed).code).toBe(4_513)
  expect(server.manager.getConnectionsByUser('ada')).toHaveLength(2)
  await clients[0]?.[Symbol.asyncDispose]()
  expect(await server.told.next()).toMatchObject({ what: 'close' })
  await using again = await openClient(`${server.url}?token=ada`)
  expect(await server.told.next()).toMatchObject({ what: 'open', connection: { user: { id: 'ada' } } })
  expect(again.inbox.size).toBe(0)
  for (const client of clients) await client[Symbol.asyncDispose]()
})

test('close-oldest makes room for a newer connection of the same user, with a code that is final', async () => {
  await using server = await serveManager({ auth, maxConnectionsPerUser: 2, whenUserFull: 'close-oldest' })
  const clients: Client[] = []
  for (let i = 0; i < 4; i++) {
    clients.push(await openClient(`${server.url}?token=ada`))
    await server.told.until(({ what }) => what === 'open')
  }
  for (const client of clients.slice(0, 2)) {
    expect(await client.closed).toEqual({ code: 4_409, reason: 'entity-replaced' })
  }
  expect(server.manager.getConnectionsByUser('ada')).toHaveLength(2)
  expect(clients.slice(2).map(({ socket }) => socket.readyState)).toEqual([1, 1])
  for (const client of clients) await client[Symbol.asyncDispose]()
})

test('the limit of a user counts for sockets of other frameworks, too', () => {
  const manager = new WebSocketConnectionManager({ maxConnectionsPerUser: 1 })
  const socket = { send: () => {}, close: () => {} }
  manager.handleConnection(socket, '/', { id: 'ada' })
  expect(() => manager.handleConnection(socket, '/', { id: 'ada' })).toThrow(WebSocketConnectionError)
  manager.handleConnection(socket, '/', { id: 'bob' })
})

/** A peer that opens and reads no more. */
async function stalled(server: { url: string }): Promise<Client> {
  const client = await openClient(server.url)
  client.socket.pause()
  return client
}

test('send says that a peer is too slow, keeps no more for it, and onDrain says when there is room', async () => {
  const drained = new Inbox<string>()
  const opened = new Inbox<string>()
  await using server = await serveManager({
    maxBufferedBytes: 256 * KIB,
    handler: { onOpen: ({ id }) => opened.push(id), onDrain: ({ id }) => drained.push(id) },
  })
  await using slow = await stalled(server)
  const id = await opened.next()
  const message = 'x'.repeat(64 * KIB)
  let sent = 0
  // The kernel takes some; then it is our turn to keep it, and then it is enough.
  for (; server.manager.send(id, message); sent++) await new Promise(setImmediate)
  for (let i = 0; i < 100; i++) expect(server.manager.send(id, message)).toBe(false)
  const { socket } = server.manager.getConnection(id) ?? {}
  expect(socket?.bufferedAmount).toBeLessThan(256 * KIB + 65 * KIB)
  slow.socket.resume()
  expect(await drained.next()).toBe(id)
  expect(drained.size).toBe(0)
  expect(server.manager.send(id, 'last')).toBe(true)
  for (let i = 0; i < sent; i++) await slow.inbox.next()
  expect(await slow.inbox.next()).toBe('last')
})

test.each(['skip', 'close'] as const)('a broadcast does not wait for slow peers: %s', async (whenSlow) => {
  await using server = await serveManager({ maxBufferedBytes: 64 * KIB, whenSlow })
  await using slow = await stalled(server)
  const { connection } = await server.told.next()
  await using healthy = await openClient(server.url)
  await server.told.next()
  const message = 'x'.repeat(256 * KIB)
  let rounds = 0
  while (server.manager.broadcast(message) === 2 && rounds < 200) {
    rounds++
    expect(await healthy.inbox.next()).toBe(message)
  }
  expect(await healthy.inbox.next()).toBe(message)
  expect(server.manager.getConnection(connection.id) === undefined).toBe(whenSlow === 'close')
  expect(server.manager.broadcast('more')).toBe(1)
  expect(await healthy.inbox.next()).toBe('more')
  slow.socket.resume()
  if (whenSlow === 'close') {
    expect((await slow.closed).code).toBe(4_510)
  } else {
    for (let i = 0; i < rounds; i++) await slow.inbox.next()
    expect(server.manager.broadcast('again')).toBeGreaterThan(0)
  }
})

test('who reads no answers gets to ask no more', async () => {
  let [asked, others] = [0, 0]
  await using server = await serveManager({
    maxBufferedBytes: 64 * KIB,
    messagesPerSecond: 0,
    handler: {
      onMessage({ socket }) {
        asked++
        socket.send('x'.repeat(64 * KIB))
      },
    },
  })
  await using greedy = await stalled(server)
  const question = 'q'.repeat(8 * KIB)
  for (let i = 0; i < 2_000; i++) greedy.send(question)
  await using other = await openClient(server.url)
  let [before, known] = [-1, 0]
  // It is asked less and less, and then no more: others have their turns meanwhile.
  while (known > before) {
    before = known
    for (let i = 0; i < 20; i++) {
      other.send('question')
      await other.inbox.next()
    }
    known = asked - (others += 20)
  }
  const [connection] = server.manager.getAllConnections()
  expect(connection?.socket.bufferedAmount).toBeLessThan(4 * MIB)
  expect(known).toBeLessThan(2_000)
  greedy.socket.resume()
  for (let i = 0; i < 2_000; i++) await greedy.inbox.next()
  expect(asked - others).toBe(2_000)
})

test('what a broadcast sends is framed once, and the same bytes for all', () => {
  const manager = new WebSocketConnectionManager()
  const sent: unknown[] = []
  const socket: ManagedSocket = { send: (data) => sent.push(data), close: () => {} }
  for (let i = 0; i < 3; i++) manager.handleConnection(socket, '/')
  const toJSON = vi.fn(() => 'once')
  expect(manager.broadcast({ toJSON })).toBe(3)
  expect(toJSON).toHaveBeenCalledTimes(1)
  manager.broadcast(Buffer.from('bytes'))
  expect(sent[3]).toBe(sent[5])
  const outgoing = new Outgoing('x')
  expect(outgoing.frame).toBe(outgoing.frame)
})

test('bytes that the sender writes to again are sent as they were', async () => {
  await using server = await serveManager()
  await using client = await openClient(server.url)
  await server.told.next()
  const bytes = Buffer.from('before')
  server.manager.broadcast(bytes)
  bytes.write('after!')
  expect(await client.inbox.next()).toEqual(Buffer.from('before'))
})

test('closeAll closes all at once within 2 s, those that wait and those that do not answer included', async () => {
  await using server = await serveManager({ auth: { ...auth, required: false } })
  const clients = await Promise.all(Array.from({ length: 50 }, () => openClient(server.url)))
  for (let i = 0; i < 50; i++) await server.told.next()
  server.manager.registerHandler('/waiting', {}, { auth: { required: true } })
  await using waiting = await openClient(server.url.replace('/ws', '/waiting'))
  const mute = await rawSocket(server.port)
  await server.told.next()
  const begun = performance.now()
  await server.manager.closeAll(1_001, 'bye')
  expect(performance.now() - begun).toBeLessThan(2_000)
  expect(server.manager.getConnectionCount()).toBe(0)
  for (const client of [...clients, waiting]) {
    expect(await client.closed).toEqual({ code: 1_001, reason: 'bye' })
  }
  expect(framesIn(await mute.ended)).toEqual(['close:1001'])
  for (let i = 0; i < 51; i++) expect(await server.told.next()).toMatchObject({ what: 'close' })
  expect(server.told.size).toBe(0)
})

test('drain tells all, closes them over the window with 1012, and lets nobody in meanwhile', async () => {
  await using server = await serveManager()
  const clients = await Promise.all(Array.from({ length: 10 }, () => openClient(server.url)))
  for (let i = 0; i < 10; i++) await server.told.next()
  const draining = server.manager.drain({ windowMs: 500, retryAfterMs: 2_500 })
  for (const client of clients)
    expect(await client.inbox.next()).toEqual({ type: 'shutdown', retryAfterMs: 2_500 })
  // Who is still there is served to the end.
  clients.at(-1)?.send('still')
  await server.told.until(({ data }) => data === 'still')
  await expect(openClient(server.url)).rejects.toThrow('503')
  const socket = { send: () => {}, close: () => {} }
  expect(() => server.manager.handleConnection(socket, '/ws')).toThrow(WebSocketConnectionError)
  const left: number[] = []
  clients.forEach(({ closed }, index) => void closed.then(() => left.push(index)))
  await draining
  for (const { closed } of clients) expect(await closed).toEqual({ code: 1_012, reason: 'draining' })
  expect(left).toHaveLength(10)
  expect(server.manager.getConnectionCount()).toBe(0)
  await expect(openClient(server.url)).rejects.toThrow('503')
})

test('a drain without connections, or without a window, is done at once', async () => {
  await using server = await serveManager()
  await server.manager.drain()
  await using other = await serveManager()
  await using client = await openClient(other.url)
  await other.told.next()
  await other.manager.drain({ windowMs: 0, retryAfterMs: 0 })
  expect((await client.closed).code).toBe(1_012)
})
