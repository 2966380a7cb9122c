import { once } from 'node:events'
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { type ChaosProxyOptions, startChaosProxy } from '../src/chaos-proxy.ts'
import { Inbox } from '../src/inbox.ts'
import { createRandom } from '../src/random.ts'

async function startServer(onConnection: (socket: Socket) => void) {
  const sockets = new Inbox<Socket>({ name: 'connections' })
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    sockets.push(socket)
    onConnection(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    async [Symbol.asyncDispose]() {
      server.close()
      await once(server, 'close')
    },
  }
}

const startEcho = () => startServer((socket) => socket.pipe(socket))

function startProxy(
  port: number,
  options: Omit<ChaosProxyOptions, 'target' | 'seed'> & { seed?: number } = {},
) {
  return startChaosProxy({ target: { port }, seed: 7, ...options })
}

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' })
  await once(socket, 'connect')
  return socket
}

function bytes(length: number): Buffer {
  const random = createRandom(length)
  return Buffer.from(Array.from({ length }, () => random.int(0, 255)))
}

/** A number once it has stopped changing: what is to be shown is that it does. */
async function settled(read: () => number): Promise<number> {
  let before = Number.NaN
  while (before !== read()) {
    before = read()
    await new Promise((resolve) => setTimeout(resolve, 30))
  }
  return before
}

/** The error that ends a socket. */
async function failureOf(socket: Socket): Promise<string | undefined> {
  const [error] = (await once(
    socket.on('close', () => {}),
    'error',
  )) as [NodeJS.ErrnoException]
  return error.code
}

test('bytes arrive whole and in order, and ends are passed on', async () => {
  await using echo = await startEcho()
  await using proxy = await startProxy(echo.port)
  const client = await open(proxy.port)
  const sent = bytes(300_000)
  client.end(sent)
  expect((await buffer(client)).equals(sent)).toBe(true)
  expect(proxy.stats).toMatchObject({ connections: 1, bytesUp: 300_000, bytesDown: 300_000, resets: 0 })
})

test('slices arrive whole and in order, in many pieces', async () => {
  await using echo = await startEcho()
  await using proxy = await startProxy(echo.port, { faults: { sliceBytes: [1, 64] } })
  const client = await open(proxy.port)
  let pieces = 0
  client.on('data', () => pieces++)
  const sent = bytes(20_000)
  client.end(sent)
  expect((await buffer(client)).equals(sent)).toBe(true)
  expect(pieces).toBeGreaterThan(20)
})

test('stalls delay bytes and lose none', async () => {
  await using echo = await startEcho()
  await using proxy = await startProxy(echo.port, {
    faults: { sliceBytes: [1, 32], stallMs: [1, 5], stallEveryMs: [0, 3] },
  })
  const client = await open(proxy.port)
  const sent = bytes(20_000)
  client.end(sent)
  expect((await buffer(client)).equals(sent)).toBe(true)
  expect(proxy.stats.stalls).toBeGreaterThan(0)
})

test('a stalled proxy holds a bounded number of bytes, and goes on', async () => {
  const total = 16 * 1024 * 1024
  await using target = await startServer((socket) => socket.end(Buffer.alloc(total, 'x')))
  await using proxy = await startProxy(target.port)
  const release = await stalledFromTheStart()
  const server = await target.sockets.next()
  expect(await settled(() => server.writableLength)).toBeGreaterThan(0)
  expect(proxy.stats.bytesDown).toBe(0)
  release.go()
  expect((await buffer(release.client)).length).toBe(total)

  async function stalledFromTheStart() {
    const client = connect({ port: proxy.port, host: '127.0.0.1' })
    while (proxy.stats.connections === 0) await new Promise(setImmediate)
    const go = proxy.stallAll()
    return { client, go }
  }
})

test('a reader that does not read stops the sender', async () => {
  const total = 32 * 1024 * 1024
  await using target = await startServer((socket) => socket.end(Buffer.alloc(total, 'x')))
  await using proxy = await startProxy(target.port)
  const client = await open(proxy.port)
  client.pause()
  const server = await target.sockets.next()
  expect(await settled(() => proxy.stats.bytesDown)).toBeLessThan(total)
  expect(server.writableFinished).toBe(false)
  expect((await buffer(client)).length).toBe(total)
})

test('a reset reaches both sides as a reset', async () => {
  await using echo = await startEcho()
  await using proxy = await startProxy(echo.port)
  const client = await open(proxy.port)
  const server = await echo.sockets.next()
  const failures = Promise.all([failureOf(client), failureOf(server)])
  proxy.cutAll()
  expect(await failures).toEqual(['ECONNRESET', 'ECONNRESET'])
  expect(proxy.stats.resets).toBe(1)
})

test('a half-open connection says nothing more to either side, and is freed when the proxy closes', async () => {
  await using target = await startServer(() => {})
  const proxy = await startProxy(target.port)
  const client = await open(proxy.port)
  const server = await target.sockets.next()
  client.write('before')
  expect(String(await once(server, 'data'))).toBe('before')

  proxy.cutAll('half-open')
  const heard: string[] = []
  for (const name of ['data', 'end', 'close'] as const) server.on(name, () => heard.push(name))
  client.write('after')
  client.resetAndDestroy()
  await once(client, 'close')
  // A connection made later has gone all the way while nothing came of this one.
  const probe = await open(proxy.port)
  const other = await target.sockets.next()
  probe.write('probe')
  expect(String(await once(other, 'data'))).toBe('probe')
  expect(heard).toEqual([])
  expect(proxy.stats).toMatchObject({ halfOpens: 1, active: 2 })

  const gone = Promise.all([once(server, 'close'), once(other, 'close')])
  for (const socket of [server, other]) socket.once('end', () => socket.end())
  probe.on('error', () => {}).resume()
  await proxy.close()
  await gone
  expect(proxy.stats.active).toBe(0)
})

test('the reset of one side is passed on as a reset', async () => {
  await using echo = await startEcho()
  await using proxy = await startProxy(echo.port)
  const client = await open(proxy.port)
  const server = await echo.sockets.next()
  const failure = failureOf(server)
  client.resetAndDestroy()
  expect(await failure).toBe('ECONNRESET')
})

test('a target that is not there resets the client', async () => {
  const echo = await startEcho()
  await echo[Symbol.asyncDispose]()
  await using proxy = await startProxy(echo.port)
  expect(await failureOf(connect({ port: proxy.port, host: '127.0.0.1' }))).toBe('ECONNRESET')
})

test('connections are cut by their schedule, and the same seed draws the same cuts', async () => {
  const draw = async (seed: number) => {
    await using echo = await startEcho()
    await using proxy = await startProxy(echo.port, {
      seed,
      faults: { cutEveryMs: [1, 10], kinds: ['reset', 'half-open'] },
    })
    for (let i = 0; i < 12; i++) (await open(proxy.port)).on('error', () => {})
    while (proxy.stats.resets + proxy.stats.halfOpens < 12)
      await new Promise((resolve) => setTimeout(resolve, 1))
    return proxy.stats.resets
  }
  const [first, second] = [await draw(3), await draw(3)]
  expect(first).toBe(second)
  expect(first).toBeGreaterThan(0)
  expect(first).toBeLessThan(12)
})

test('random numbers repeat with their seed, and stay in their bounds', () => {
  const draw = (seed: number) => {
    const random = createRandom(seed)
    return Array.from({ length: 100 }, () => random.next())
  }
  expect(draw(1)).toEqual(draw(1))
  expect(draw(1)).not.toEqual(draw(2))
  const random = createRandom(5)
  const drawn = new Set(Array.from({ length: 200 }, () => random.int(2, 4)))
  expect([...drawn].toSorted((a, b) => a - b)).toEqual([2, 3, 4])
  expect(['a', 'b']).toContain(random.pick(['a', 'b']))
  expect(() => random.pick([])).toThrow(RangeError)
})
