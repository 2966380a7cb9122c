import { once } from 'node:events'
import { type Socket, connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { connectWebSocket, countingAgent } from '@turnpike/testkit'
import { expect, test, vi } from 'vitest'
import type { Identity } from '@turnpike/gateway'
import { serve } from './server.ts'

const agents = [countingAgent()]
const KIB = 1_024
const MIB = 1_024 * KIB
const wsOf = (baseUrl: string): string => `${baseUrl.replace('http', 'ws')}/stream`
const ada = { headers: { authorization: 'Bearer ada' } }

const authenticate = async (token: string): Promise<Identity | null> =>
  token === 'ada' ? { id: 'ada' } : null

const UPGRADE =
  'GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'

/** The beginning of one long text frame: its head says more than follows. */
function halfMessage(claimedBytes: number, sentBytes: number): Buffer {
  const head = Buffer.alloc(14)
  head[0] = 0x81
  head[1] = 0x80 | 127
  head.writeBigUInt64BE(BigInt(claimedBytes), 2)
  return Buffer.concat([head, Buffer.alloc(sentBytes, 'x')])
}

/** A socket that was upgraded by hand, so that it can do what no client does. */
async function rawSocket(port: number, allowHalfOpen = false): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen }, () => socket.write(UPGRADE))
  socket.on('error', () => {})
  await once(socket, 'data')
  return socket
}

/** What a peer got, up to the end. */
async function rest(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  await once(socket, 'close')
  return text
}

test('a message that never ends is cut before admission, at the limit and not at that of a message', async () => {
  await using server = await serve(agents, { authenticate, limits: { earlyBytes: 64 * KIB } })
  const socket = await rawSocket(server.port)
  const cut = rest(socket)
  socket.write(halfMessage(MIB - 1, 200 * KIB))
  expect(await cut).toContain('early-overflow')
})

test('a message of a great many small pieces is cut before admission', async () => {
  await using server = await serve(agents, { authenticate })
  const socket = await rawSocket(server.port)
  socket.setNoDelay(true)
  const cut = rest(socket)
  socket.write(halfMessage(MIB - 1, 0))
  let open = true
  socket.on('close', () => (open = false))
  let pieces = 0
  for (; open && pieces < 20_000; pieces++) {
    socket.write('x')
    await new Promise(setImmediate)
  }
  expect(await cut).toContain('early-overflow')
  expect(pieces).toBeLessThan(20_000)
})

test('who was cut and sends on is not kept in memory', async () => {
  await using server = await serve(agents, { authenticate, limits: { earlyBytes: 64 * KIB } })
  const half = halfMessage(MIB - 1, 128 * KIB)
  const more = Buffer.alloc(800 * KIB)
  const before = await keptBytes()
  const sockets = await Promise.all(Array.from({ length: 60 }, () => rawSocket(server.port, true)))
  await Promise.all(
    sockets.map(async (socket) => {
      socket.write(half)
      await once(socket, 'data')
      await new Promise((resolve) => socket.write(more, resolve))
    }),
  )
  // The server has its time to read it all.
  for (let i = 0; i < 20; i++) expect((await fetch(`${server.baseUrl}/healthz`)).status).toBe(200)
  expect(((await keptBytes()) - before) / MIB).toBeLessThan(25)
  expect(server.gateway.connectionCount).toBe(0)
  for (const socket of sockets) socket.destroy()
})

test('who is admitted may send what is longer than the early limit', async () => {
  await using server = await serve(agents, { authenticate, limits: { earlyBytes: 64 * KIB } })
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl), ...ada })
  const message = 'x'.repeat(300 * KIB)
  expect(await client.request('thread.unsubscribe', { threadId: 't' })).toMatchObject({ ok: true })
  expect(await client.request('thread.send', { message, agent: 'counter' })).toMatchObject({ ok: true })
})

test('so many may wait for a verdict; another is refused before the handshake and told when to come back', async () => {
  await using server = await serve(agents, { authenticate, limits: { earlyConnections: 2 } })
  await using waiting = await connectWebSocket({ url: wsOf(server.baseUrl) })
  await using leaving = await connectWebSocket({ url: wsOf(server.baseUrl) })
  for (const options of [{}, ada]) {
    await expect(connectWebSocket({ url: wsOf(server.baseUrl), ...options })).rejects.toMatchObject({
      status: 503,
      body: expect.stringContaining('"retryAfterMs":1000'),
    })
  }
  // Nobody who only asks is shut out by those.
  expect((await fetch(`${server.baseUrl}/agents`, ada)).status).toBe(200)
  await leaving.close()
  const next = await vi.waitFor(() => connectWebSocket({ url: wsOf(server.baseUrl), ...ada }))
  expect(await next.request('thread.unsubscribe', { threadId: 't' })).toMatchObject({ ok: true })
  // Who was admitted waits no more.
  await (await connectWebSocket({ url: wsOf(server.baseUrl), ...ada })).close()
  expect(await waiting.request('auth', { token: 'ada' })).toMatchObject({ ok: true })
  await next.close()
})

test('so many requests may wait for a verdict', async () => {
  const asked = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  await using server = await serve(agents, {
    limits: { earlyConnections: 1 },
    async authenticate(token) {
      asked.resolve()
      await gate.promise
      return authenticate(token)
    },
  })
  const first = fetch(`${server.baseUrl}/agents`, ada)
  await asked.promise
  const second = await fetch(`${server.baseUrl}/agents`, ada)
  expect([second.status, second.headers.get('retry-after')]).toEqual([503, '1'])
  gate.resolve()
  expect((await first).status).toBe(200)
  expect((await fetch(`${server.baseUrl}/agents`, ada)).status).toBe(200)
})

test('a flood of half messages costs bounded memory, and who is known is served meanwhile', async () => {
  const [each, room] = [600, 100]
  const limits = { earlyConnections: room, earlyBytes: 64 * KIB }
  await using server = await serve(agents, { authenticate, limits })
  await using known = await connectWebSocket({ url: wsOf(server.baseUrl), ...ada })
  const [over, under] = [halfMessage(MIB - 1, 200 * KIB), halfMessage(MIB - 1, 48 * KIB)]
  const before = usedBytes()
  let peak = before
  const sampling = setInterval(() => (peak = Math.max(peak, usedBytes())), 5)

  const outcomes: string[] = []
  const flood = (half: Buffer): Socket => {
    const socket = connect(server.port, '127.0.0.1', () => socket.write(UPGRADE))
    socket.on('error', () => {})
    socket.once('data', (chunk: Buffer) => chunk.toString().includes(' 101 ') && socket.write(half))
    void rest(socket).then((text) => outcomes.push(text))
    return socket
  }
  const sockets = Array.from({ length: each }, () => [flood(under), flood(over)]).flat()
  // Some stay below the limit and keep their places; all others are gone soon.
  await vi.waitFor(
    async () => {
      expect(await known.request('thread.unsubscribe', { threadId: 't' })).toMatchObject({ ok: true })
      expect(outcomes.length).toBeGreaterThanOrEqual(sockets.length - room)
    },
    { timeout: 10_000 },
  )
  clearInterval(sampling)
  expect(outcomes.filter((text) => text.startsWith('HTTP/1.1 503')).length).toBeGreaterThan(room)
  expect((peak - before) / MIB).toBeLessThan(130)
  for (const socket of sockets) socket.destroy()
  await using later = await vi.waitFor(() => connectWebSocket({ url: wsOf(server.baseUrl), ...ada }))
  expect(await later.request('thread.unsubscribe', { threadId: 't' })).toMatchObject({ ok: true })
})

/** What buffers hold when all that is not needed is gone; what is swept is told a turn later. */
async function keptBytes(): Promise<number> {
  setFlagsFromString('--expose-gc')
  for (let i = 0; i < 3; i++) {
    runInNewContext('gc')()
    await new Promise(setImmediate)
  }
  return process.memoryUsage().arrayBuffers
}

function usedBytes(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
