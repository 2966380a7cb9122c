import { once } from 'node:events'
import { type Socket, connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { startChaosProxy } from '@turnpike/testkit'
import * as fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { type Identity, createHttpService } from '@turnpike/gateway'
import { createGatewayServer } from '@turnpike/gateway/server'
import { type ManagedSocket, WebSocketConnectionManager } from '../src/manager/index.ts'
import {
  type Client,
  type ManagerUnderTest,
  frame,
  framesIn,
  openClient,
  rawSocket,
  serveManager,
  upgradeHead,
} from './manager-server.ts'

const KIB = 1_024
const MIB = 1_024 * KIB
const PING = 9
const auth = {
  strategy: 'bearer' as const,
  validate: async (token: string): Promise<Identity | null> => (token === 'ada' ? { id: 'ada' } : null),
}

/** Somebody who does nothing wrong, and gets answers all the while. */
async function healthy(
  server: ManagerUnderTest,
  query = '',
): Promise<Client & { check: () => Promise<void> }> {
  const client = await openClient(server.url + query)
  let count = 0
  const check = async (): Promise<void> => {
    client.send(`still ${++count}`)
    await server.told.until(({ data }) => data === `still ${count}`)
  }
  await check()
  return { ...client, check }
}

test('upgrades that come drop by drop are cut by the server, and harm nobody', async () => {
  const server = { headersTimeout: 300, requestTimeout: 300, connectionsCheckingInterval: 50 }
  await using under = await serveManager({ server })
  await using good = await healthy(under)
  const sockets = Array.from({ length: 50 }, () => {
    const socket = connect(under.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.resume()
    return socket
  })
  const dripping = setInterval(() => sockets.forEach((socket) => socket.writable && socket.write('G')), 50)
  const silent = connect(under.port, '127.0.0.1').resume()
  await Promise.all([...sockets, silent].map((socket) => once(socket, 'close')))
  clearInterval(dripping)
  await good.check()
})

test('half-open sockets are cut after the pong time-out, and healthy ones stay', async () => {
  await using server = await serveManager({ pingInterval: 300, pongTimeout: 150 })
  await using good = await healthy(server)
  await using proxy = await startChaosProxy({ target: { port: server.port }, seed: 1 })
  const gone = await Promise.all(
    Array.from({ length: 100 }, () => openClient(`ws://127.0.0.1:${proxy.port}/ws`)),
  )
  expect(server.manager.getConnectionCount()).toBe(101)
  proxy.cutAll('half-open')
  await vi.waitFor(() => expect(server.manager.getConnectionCount()).toBe(1), { timeout: 5_000 })
  await good.check()
  for (const client of gone) client.socket.terminate()
})

test('a peer that answers no ping is cut, however it came; one that says anything at all lives', async () => {
  await using server = await serveManager({ pingInterval: 200, pongTimeout: 100 })
  await using mute = await openClient(server.url, { autoPong: false })
  await using talking = await openClient(server.url, { autoPong: false })
  const talk = setInterval(() => talking.send('hi'), 30)
  await using quiet = await openClient(server.url)
  let pings = 0
  quiet.socket.on('ping', () => pings++)
  expect([1_006, 4_510]).toContain((await mute.closed).code)
  await server.told.until(({ what }) => what === 'close')
  await vi.waitFor(() => expect(pings).toBeGreaterThan(3), { timeout: 5_000 })
  clearInterval(talk)
  expect([talking.socket.readyState, quiet.socket.readyState]).toEqual([1, 1])
})

test('with a ping interval of 0 nobody is pinged', async () => {
  await using server = await serveManager({ pingInterval: 0, pongTimeout: 20 })
  await using mute = await openClient(server.url, { autoPong: false })
  await using other = await serveManager({ pingInterval: 50, pongTimeout: 50 })
  await using cut = await openClient(other.url, { autoPong: false })
  await cut.closed
  expect(mute.socket.readyState).toBe(1)
})

test('other frameworks are pinged natively where they can, else in JSON, and cut where nothing comes', async () => {
  const manager = new WebSocketConnectionManager({ pingInterval: 100, pongTimeout: 100 })
  const closed: unknown[] = []
  const make = (more: object = {}): ManagedSocket & { sent: unknown[] } => {
    const sent: unknown[] = []
    const socket = {
      sent,
      send: (data: unknown) => sent.push(data),
      close: (code?: number) => closed.push(code),
    }
    return Object.assign(socket, more)
  }
  const ping = vi.fn()
  const native = make({ ping })
  const { id } = manager.handleConnection(native, '/')
  const json = make()
  const { id: pongs } = manager.handleConnection(json, '/')
  const answering = setInterval(() => {
    manager.handlePong(id)
    manager.handleMessage(pongs, '{"type":"pong","timestamp":1}', false)
  }, 20)
  await vi.waitFor(() => expect(ping.mock.calls.length).toBeGreaterThan(2), { timeout: 5_000 })
  expect(native.sent).toEqual([])
  expect(JSON.parse(String(json.sent[0]))).toEqual({ type: 'ping', timestamp: expect.any(Number) })
  expect(closed).toEqual([])
  clearInterval(answering)
  await vi.waitFor(() => expect(closed).toEqual([4_510, 4_510]), { timeout: 5_000 })
  expect(manager.getConnectionCount()).toBe(0)
})

test('a flood of pings is cut, one that comes slowly enough is answered', async () => {
  await using server = await serveManager({ messagesPerSecond: 50 })
  await using good = await healthy(server)
  const ping = frame({ opcode: PING })
  const atOnce = await rawSocket(server.port)
  atOnce.socket.write(Buffer.concat(Array.from({ length: 10_000 }, () => ping)))
  await atOnce.ended
  const oneByOne = await rawSocket(server.port)
  let sent = 0
  while (!oneByOne.socket.destroyed && sent++ < 10_000) {
    oneByOne.socket.write(ping)
    await new Promise(setImmediate)
  }
  const frames = framesIn(await oneByOne.ended)
  expect(frames.at(-1)).toBe('close:4529')
  expect(frames.filter((text) => text === 'pong:').length).toBeGreaterThan(90)
  await good.check()
  expect(server.manager.getConnectionCount()).toBe(1)
})

test('as many pings as may come at once are answered, however they are cut into reads', async () => {
  await using server = await serveManager({ messagesPerSecond: 500 })
  const { socket, received } = await rawSocket(server.port)
  socket.write(Buffer.concat(Array.from({ length: 900 }, () => frame({ opcode: PING }))))
  await vi.waitFor(() => expect(framesIn(received())).toEqual(Array.from({ length: 900 }, () => 'pong:')))
  expect(server.manager.getConnectionCount()).toBe(1)
  socket.destroy()
})

test('a server that a preset makes gives no request longer than it needs', async () => {
  for (const made of [createHttpService({ agents: {} }), createGatewayServer({ agents: [] })]) {
    const { headersTimeout, requestTimeout } = made.server
    expect({ headersTimeout, requestTimeout }).toEqual({ headersTimeout: 10_000, requestTimeout: 30_000 })
    await made.close(0)
  }
})

test('a peer that sends as fast as it may, and is pinged meanwhile, is not cut', async () => {
  await using server = await serveManager({ messagesPerSecond: 50, pingInterval: 100, pongTimeout: 100 })
  await using busy = await openClient(server.url)
  for (let i = 0; i < 130; i++) busy.send(`${i}`)
  busy.socket.ping()
  await server.told.until(({ data }) => data === '129')
  expect(busy.socket.readyState).toBe(1)
})

/** The beginning of one long message: its head says more than follows. */
const halfMessage = (bytes: number): Buffer => frame({ payload: 'x'.repeat(bytes), length: BigInt(MIB - 1) })

test('a message that never ends is cut before admission, at the early limit', async () => {
  await using server = await serveManager({ auth, limits: { earlyBytes: 64 * KIB } })
  const { socket, ended } = await rawSocket(server.port)
  socket.write(halfMessage(200 * KIB))
  expect(framesIn(await ended).at(-1)).toBe('close:4429')
})

test.each([
  ['messages', 65, 10],
  ['bytes', 10, 50_000],
])('too many %s while the verdict is out are cut with 4429', async (_title, count, size) => {
  const validate = (): Promise<null> => new Promise(() => {})
  await using server = await serveManager({ auth: { ...auth, validate } })
  await using client = await openClient(`${server.url}?token=ada`)
  for (let i = 0; i < count; i++) client.send('x'.repeat(size))
  expect((await client.closed).code).toBe(4_429)
})

test.each([
  ['messages', 65, 10],
  ['bytes', 6, 50_000],
])('too many %s are cut with 4429 on sockets of other frameworks, too', (_title, count, size) => {
  const validate = (): Promise<null> => new Promise(() => {})
  const manager = new WebSocketConnectionManager({ auth: { ...auth, validate } })
  const closed: unknown[] = []
  const socket = { send: () => {}, close: (code?: number) => closed.push(code) }
  const { id } = manager.handleConnection(socket, '/')
  manager.handleMessage(id, '{"type":"auth","token":"ada"}', false)
  for (let i = 0; i < count - 1; i++) manager.handleMessage(id, 'x'.repeat(size), false)
  expect(closed).toEqual([])
  manager.handleMessage(id, 'x'.repeat(size), false)
  expect(closed).toEqual([4_429])
  expect(manager.getConnectionCount()).toBe(0)
})

test('so many may wait for a verdict; another is refused before the handshake', async () => {
  await using server = await serveManager({ auth, limits: { earlyConnections: 2 } })
  await using waiting = await openClient(server.url)
  await using leaving = await openClient(server.url)
  await expect(openClient(`${server.url}?token=ada`)).rejects.toThrow('503')
  await leaving[Symbol.asyncDispose]()
  await using next = await vi.waitFor(() => openClient(`${server.url}?token=ada`))
  expect(await server.told.next()).toMatchObject({ what: 'open' })
  // Who was admitted waits no more.
  await using more = await openClient(`${server.url}?token=ada`)
  expect([waiting, next, more].map(({ socket }) => socket.readyState)).toEqual([1, 1, 1])
})

test('who was cut before admission and sends on is not kept in memory', async () => {
  await using server = await serveManager({ auth, limits: { earlyBytes: 64 * KIB } })
  await using good = await healthy(server, '?token=ada')
  const [half, more] = [halfMessage(128 * KIB), Buffer.alloc(800 * KIB)]
  const before = await keptBytes()
  const sockets = await Promise.all(
    Array.from({ length: 60 }, async () => {
      const { socket } = await rawSocket(server.port, { allowHalfOpen: true })
      socket.write(half)
      await once(socket, 'data')
      socket.write(more)
      return socket
    }),
  )
  for (let i = 0; i < 10; i++) await good.check()
  expect(((await keptBytes()) - before) / MIB).toBeLessThan(25)
  for (const socket of sockets) socket.destroy()
})

test('a flood of half messages costs bounded memory, and who is known is served meanwhile', async () => {
  const limits = { earlyConnections: 50, earlyBytes: 64 * KIB }
  await using server = await serveManager({ auth, limits })
  await using good = await healthy(server, '?token=ada')
  let refused = 0
  const flood = (half: Buffer): Socket => {
    const socket = connect(server.port, '127.0.0.1', () => socket.write(upgradeHead()))
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => chunk.toString('latin1').includes(' 101 ') && socket.write(half))
    socket.on('close', () => refused++)
    return socket
  }
  const [over, under] = [halfMessage(200 * KIB), halfMessage(48 * KIB)]
  const sockets = Array.from({ length: 200 }, () => [flood(under), flood(over)]).flat()
  await vi.waitFor(
    async () => {
      await good.check()
      expect(refused).toBeGreaterThanOrEqual(sockets.length - 50)
    },
    { timeout: 10_000 },
  )
  for (const socket of sockets) socket.destroy()
  await vi.waitFor(async () => (await openClient(`${server.url}?token=ada`)).socket.terminate())
})

test('resets during the handshake and odd targets harm nobody', async () => {
  await using server = await serveManager({ auth })
  for (let i = 0; i < 20; i++) {
    const socket = connect(server.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.write(upgradeHead('/ws?token=ada'))
    socket.resetAndDestroy()
  }
  for (const target of ['//', '/%', '/ws%00', '/ws?token=%']) {
    const socket = connect(server.port, '127.0.0.1', () => socket.write(upgradeHead(target)))
    expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1\.1 (404|101)/)
    socket.destroy()
  }
  await using good = await healthy(server, '?token=ada')
  await good.check()
  await vi.waitFor(() => expect(server.manager.getConnectionCount()).toBe(1))
})

test('whatever comes when: opening first, then every message once and in order, then the close', async () => {
  const Step = fc.oneof(
    fc.record({ send: fc.integer({ min: 1, max: 5 }) }),
    fc.constant('ping' as const),
    fc.constant('decide' as const),
    fc.constant('turn' as const),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(Step, { maxLength: 12 }),
      fc.constantFrom('header', 'message', 'none'),
      async (...run) => {
        const [steps, place] = run
        const gate = Promise.withResolvers<void>()
        const validate = async (id: string): Promise<Identity> => {
          await gate.promise
          return { id }
        }
        const strategy = place === 'none' ? 'none' : 'bearer'
        await using server = await serveManager({ auth: { strategy, validate } })
        const headers = place === 'header' ? { authorization: 'Bearer ada' } : {}
        await using client = await openClient(server.url, { headers })
        if (place === 'message') client.send({ type: 'auth', token: 'ada' })
        const expected: string[] = ['open']
        for (const step of steps) {
          if (step === 'ping') client.socket.ping()
          else if (step === 'decide') gate.resolve()
          else if (step === 'turn') await new Promise(setImmediate)
          else for (let i = 0; i < step.send; i++) client.send(`${expected.push(`${expected.length}`) - 1}`)
        }
        gate.resolve()
        client.socket.close(1_000)
        const calls = await server.told.until(({ what }) => what === 'close')
        expect(calls.map(({ what, data }) => (what === 'message' ? data : what))).toEqual([
          ...expected,
          'close',
        ])
      },
    ),
    { numRuns: 40 },
  )
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
