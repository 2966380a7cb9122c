import { once } from 'node:events'
import { type Socket, connect } from 'node:net'
import { queryObjects } from 'node:v8'
import { expect, test, vi } from 'vitest'
import type { Identity } from '@turnpike/gateway'
import { Peer } from '../src/manager/peer.ts'
import {
  type Client,
  echoing,
  frame,
  framesIn,
  inBatches,
  openClient,
  rawSocket,
  serveManager,
  steadyPeer,
  upgradeHead,
} from './manager-server.ts'

const MANY = 1_000
const PING = 9
const auth = {
  strategy: 'bearer' as const,
  validate: async (id: string): Promise<Identity> => ({ id }),
}

/** As many as the manager holds, `each` of one user. */
function openMany(url: string, each: number): Promise<Client[]> {
  return inBatches(MANY, (n) => openClient(`${url}?token=user-${Math.floor(n / each)}`))
}

async function terminateAll(clients: readonly Client[]): Promise<void> {
  await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()))
}

/** How many are alive, counted or not: what holds on to one is a leak. */
function peersAlive(): number {
  return queryObjects(Peer, { format: 'count' })
}

/** What has just closed is held for a moment by what tells of it. */
async function untilPeersAlive(most: number): Promise<void> {
  await vi.waitFor(() => expect(peersAlive()).toBeLessThanOrEqual(most), { timeout: 10_000, interval: 200 })
}

test('a thousand connections are all there are: one more is refused, and has its place when one has gone', async () => {
  await using server = await serveManager({ auth, handler: echoing })
  const clients = await openMany(server.url, 1)
  await vi.waitFor(() => expect(server.manager.getConnectionCount()).toBe(MANY))
  await expect(openClient(`${server.url}?token=more`)).rejects.toThrow('503')
  expect(server.manager.getConnectionsByUser('user-7')).toHaveLength(1)
  expect(server.manager.getConnectionsByPath('/ws')).toHaveLength(MANY)
  for (let n = 0; n < 5; n++) expect(server.manager.broadcast({ n })).toBe(MANY)
  for (const { inbox } of clients) {
    for (let n = 0; n < 5; n++) expect(await inbox.next()).toEqual({ n })
  }
  await clients.pop()?.[Symbol.asyncDispose]()
  await using more = await vi.waitFor(() => openClient(`${server.url}?token=more`))
  more.send('hi')
  expect(await more.inbox.next()).toBe('hi')
  await expect(openClient(`${server.url}?token=another`)).rejects.toThrow('503')
  await terminateAll(clients)
  await vi.waitFor(() => expect(server.manager.getConnectionCount()).toBe(1))
})

test('each of a hundred users has ten connections; an eleventh is refused, and the ten live', async () => {
  await using server = await serveManager({
    auth,
    handler: echoing,
    maxConnections: 2 * MANY,
    maxConnectionsPerUser: 10,
  })
  const clients = await openMany(server.url, 10)
  await vi.waitFor(() => expect(server.manager.getConnectionCount()).toBe(MANY))
  const more = await inBatches(100, (n) => openClient(`${server.url}?token=user-${n}`))
  const codes = await Promise.all(more.map(async ({ closed }) => (await closed).code))
  expect(new Set(codes)).toEqual(new Set([4_513]))
  expect(server.manager.getConnectionCount()).toBe(MANY)
  for (const { socket } of clients) expect(socket.readyState).toBe(1)
  await terminateAll(clients)
})

test('close-oldest keeps the ten newest of each of a hundred users, and tells the others why', async () => {
  await using server = await serveManager({
    auth,
    handler: echoing,
    maxConnections: 2 * MANY,
    maxConnectionsPerUser: 10,
    whenUserFull: 'close-oldest',
  })
  const [older, newer] = [await openMany(server.url, 10), await openMany(server.url, 10)]
  for (const { closed } of older) expect(await closed).toEqual({ code: 4_409, reason: 'entity-replaced' })
  expect(server.manager.getConnectionCount()).toBe(MANY)
  expect(server.manager.getConnectionsByUser('user-99')).toHaveLength(10)
  for (const { socket } of newer) expect(socket.readyState).toBe(1)
  await terminateAll(newer)
})

test('closeAll ends a thousand, those that do not answer included, and leaves nothing of them', async () => {
  const before = peersAlive()
  await using server = await serveManager({ auth, handler: echoing })
  const clients = await inBatches(MANY / 2, (n) => openClient(`${server.url}?token=user-${n}`))
  const mute = await inBatches(MANY / 2, (n) => rawSocket(server.port, { path: `/ws?token=mute-${n}` }))
  await vi.waitFor(() => expect(server.manager.getConnectionCount()).toBe(MANY))
  await server.manager.closeAll(1_001, 'bye')
  expect(server.manager.getConnectionCount()).toBe(0)
  for (const { closed } of clients) expect(await closed).toEqual({ code: 1_001, reason: 'bye' })
  for (const { ended } of mute) expect(framesIn(await ended)).toEqual(['close:1001'])
  await untilPeersAlive(before)
})

test('a thousand upgrades that come drop by drop, or not at all, are cut by the server', async () => {
  const http = { headersTimeout: 500, requestTimeout: 500, connectionsCheckingInterval: 50 }
  await using server = await serveManager({ handler: echoing, server: http })
  await using good = await steadyPeer(server.url)
  const sockets = await inBatches(MANY, (n) =>
    opened(server.port, n % 2 === 0 ? '' : upgradeHead().slice(0, 60)),
  )
  const dripping = setInterval(() => {
    for (const socket of sockets.slice(0, MANY / 4)) if (socket.writable) socket.write('G')
  }, 50)
  await Promise.all(sockets.map(untilClosed))
  clearInterval(dripping)
  await good.echoes(10)
  expect(server.manager.getConnectionCount()).toBe(1)
})

test('as many as may wait never say who they are: they are cut with 4408, and their places are free', async () => {
  const before = peersAlive()
  await using server = await serveManager({ auth, handler: echoing, limits: { earlyMs: 2_000 } })
  await using good = await steadyPeer(`${server.url}?token=ada`)
  const sockets = await inBatches(MANY, () => rawSocket(server.port))
  await expect(openClient(`${server.url}?token=bob`)).rejects.toThrow('503')
  await good.echoes(10)
  for (const { ended } of sockets) expect(framesIn(await ended).at(-1)).toBe('close:4408')
  await using next = await vi.waitFor(() => openClient(`${server.url}?token=bob`))
  expect(next.socket.readyState).toBe(1)
  await good.echoes(10)
  await untilPeersAlive(before + 2)
})

test('a thousand peers that answer no ping are cut, and one that does is not', async () => {
  const before = peersAlive()
  await using server = await serveManager({
    auth,
    handler: echoing,
    maxConnections: 2 * MANY,
    pingInterval: 1_000,
    pongTimeout: 500,
  })
  await using good = await steadyPeer(`${server.url}?token=ada`)
  await using quiet = await openClient(`${server.url}?token=bob`)
  const mute = await inBatches(MANY, (n) => rawSocket(server.port, { path: `/ws?token=mute-${n}` }))
  for (const { ended } of mute) expect(framesIn(await ended).at(-1)).toBe('close:4510')
  await good.echoes(10)
  expect(quiet.socket.readyState).toBe(1)
  await vi.waitFor(() => expect(server.manager.getConnectionCount()).toBe(2))
  await untilPeersAlive(before + 2)
})

test('pings of a hundred that never stop are cut with 4529, and cost the others nothing they would lose', async () => {
  const before = peersAlive()
  await using server = await serveManager({ handler: echoing })
  await using good = await steadyPeer(server.url)
  const pings = Buffer.concat(Array.from({ length: 500 }, () => frame({ opcode: PING })))
  const closes = await inBatches(100, async () => {
    const { socket, received, ended } = await rawSocket(server.port)
    const flood = (): void => void (socket.writable && socket.write(pings, () => setImmediate(flood)))
    flood()
    // What it sent and nobody read resets it, at times before it has seen the close.
    await ended.catch(() => {})
    return framesIn(received()).find((text) => text.startsWith('close'))
  })
  expect(closes.filter((close) => close !== undefined && close !== 'close:4529')).toEqual([])
  expect(closes).toContain('close:4529')
  await good.echoes(10)
  expect(server.manager.getConnectionCount()).toBe(1)
  await untilPeersAlive(before + 1)
})

/** A socket on which so much was sent, and nothing more is. */
async function opened(port: number, head: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.resume()
  await once(socket, 'connect')
  if (head !== '') socket.write(head)
  return socket
}

async function untilClosed(socket: Socket): Promise<void> {
  if (!socket.closed) await once(socket, 'close')
}
