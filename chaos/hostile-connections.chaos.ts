import { once } from 'node:events'
import { type Server, createServer } from 'node:http'
import { Socket, connect } from 'node:net'
import { queryObjects, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { attachWebSocketTransport, createHttpService } from '@turnpike/gateway'
import {
  type ConnectionManagerConfig,
  type HandlerOptions,
  WebSocketConnectionManager,
} from '@turnpike/gateway/manager'
import { createGatewayServer } from '@turnpike/gateway/server'
import { createThreadStream } from '@turnpike/gateway/thread-stream'
import { countingAgent, startChaosProxy } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { Peer } from '../packages/gateway/src/manager/peer.ts'
import {
  echoing,
  frame,
  framesIn,
  inBatches,
  openClient,
  rawSocket,
  steadyPeer,
  upgradeHead,
} from '../packages/gateway/test/manager-server.ts'
import { replay, report, scaled } from './dice.ts'

const SOCKETS = scaled(5_000, 200)
const PRESET_SOCKETS = scaled(1_250, 100)
const FLOODERS = scaled(500, 20)
/** Both ends are here, and that of a test has a buffer of what came, a promise and some closures. */
const BYTES_EACH = 32_768
const SLACK_BYTES = 4_000_000
const PING = 9
/** As the guide says. */
const HTTP = { headersTimeout: 10_000, connectionsCheckingInterval: 2_000 }
const auth = {
  strategy: 'bearer',
  validate: async (id: string): Promise<{ id: string }> => ({ id }),
} as const

interface Served extends AsyncDisposable {
  readonly manager: WebSocketConnectionManager
  readonly server: Server
  readonly port: number
  readonly url: string
}

/** Only what a guide would have: nothing of a test is told, so that nothing is kept for it. */
async function serve(config: ConnectionManagerConfig = {}, options: HandlerOptions = {}): Promise<Served> {
  const manager = new WebSocketConnectionManager({ maxConnections: SOCKETS + 100, ...config })
  manager.registerHandler('/ws', echoing, options)
  const server = createServer(HTTP)
  manager.attach(server)
  const port = await listening(server)
  return {
    manager,
    server,
    port,
    url: `ws://127.0.0.1:${port}/ws`,
    async [Symbol.asyncDispose]() {
      await manager.closeAll()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return typeof address === 'object' && address ? address.port : 0
}

const COUNTED = ['peers', 'sockets', 'timers'] as const

/** What is alive, whoever holds it: also what a timer of the manager holds. */
function counts({ server }: Served): Record<(typeof COUNTED)[number] | 'listeners', number> {
  const timer = setTimeout(() => {}, 0)
  clearTimeout(timer)
  const count = (kind: unknown): number => queryObjects(kind as new () => object, { format: 'count' })
  return {
    peers: count(Peer),
    sockets: count(Socket),
    timers: count(timer.constructor),
    listeners: server.eventNames().reduce((sum, name) => sum + server.listenerCount(name), 0),
  }
}

/** What is swept is told a turn later. */
async function bytesAlive(): Promise<number> {
  setFlagsFromString('--expose-gc')
  for (let i = 0; i < 3; i++) {
    runInNewContext('gc')()
    await new Promise(setImmediate)
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** An attack, with somebody beside it who does nothing wrong; whatever it is, nothing of it stays. */
async function attacked(
  title: string,
  served: Served,
  attack: (during: () => Promise<void>) => Promise<number>,
): Promise<void> {
  await using good = await steadyPeer(`${served.url}?token=good`)
  await good.echoes(10)
  // What is compiled and made once is made by a small one.
  await inBatches(50, async (n) => (await openClient(`${served.url}?token=warm-${n}`))[Symbol.asyncDispose]())
  const [before, bytesBefore] = [counts(served), await bytesAlive()]
  let most = 0
  const began = performance.now()
  const count = await attack(async () => {
    await good.echoes(10)
    most = Math.max(most, await bytesAlive())
  })
  const seconds = (performance.now() - began) / 1_000
  await good.echoes(10)
  await expect.poll(() => served.manager.getConnectionCount(), { timeout: 10_000 }).toBe(1)
  const [after, bytesAfter] = [counts(served), await bytesAlive()]
  report(`${title}: ${count}`, {
    seconds,
    'alive meanwhile, both ends, KB each': (most - bytesBefore) / count / 1_000,
    'alive, MB': `${(bytesBefore / 1e6).toFixed(2)} → ${(bytesAfter / 1e6).toFixed(2)}`,
    ...Object.fromEntries([...COUNTED].map((name) => [name, `${before[name]} → ${after[name]}`])),
  })
  expect(most).toBeLessThan(bytesBefore + SLACK_BYTES + count * BYTES_EACH)
  for (const name of COUNTED) expect(after[name], name).toBeLessThanOrEqual(before[name] + 5)
  expect(after.listeners).toBe(before.listeners)
  expect(bytesAfter).toBeLessThan(bytesBefore + SLACK_BYTES + 100 * count)
}

test(`requests that come drop by drop, or not at all, are cut by every server of ours (${replay})`, async () => {
  await using served = await serve()
  const agents = { counter: countingAgent() }
  const service = createHttpService({ agents })
  attachWebSocketTransport(service.server, agents)
  const gateway = createGatewayServer({ agents: [countingAgent()] })
  createThreadStream(gateway)
  const presets = [await service.listen(0), await gateway.listen(0)].map((url) => Number(new URL(url).port))
  await using chat = await asking(`ws://127.0.0.1:${presets[0]}/ws`, { type: 'cancel', runId: 'nobody' })
  await using stream = await asking(`ws://127.0.0.1:${presets[1]}/stream`, {
    id: 1,
    command: 'run.cancel',
    payload: { runId: 'nobody' },
  })
  await attacked('Half a handshake, or nothing', served, async (during) => {
    const targets = [
      ...Array.from({ length: SOCKETS }, () => served.port),
      ...presets.flatMap((port) => Array.from({ length: PRESET_SOCKETS }, () => port)),
    ]
    const sockets = await inBatches(targets.length, (n) => begun(targets[n] ?? 0, n))
    const closed = Promise.all(sockets.map(untilClosed))
    const dripping = setInterval(() => {
      for (let n = 0; n < sockets.length; n += 4) if (sockets[n]?.writable) sockets[n]?.write('G')
    }, 500)
    await during()
    await Promise.all([chat.answers(3), stream.answers(3)])
    await closed
    clearInterval(dripping)
    return targets.length
  })
  await Promise.all([chat.answers(3), stream.answers(3)])
  await Promise.all([service.close(0), gateway.close(0)])
})

test(`sockets that are upgraded and never say who they are lose their place (${replay})`, async () => {
  const limits = { earlyMs: scaled(10_000, 2_000), earlyConnections: SOCKETS }
  await using served = await serve({ auth, limits })
  await attacked('Never authenticated', served, async (during) => {
    const sockets = await inBatches(SOCKETS, () => rawSocket(served.port))
    await during()
    const closes = await Promise.all(sockets.map(async ({ ended }) => framesIn(await ended).at(-1)))
    expect(new Set(closes)).toEqual(new Set(['close:4408']))
    return SOCKETS
  })
  // As many as before may wait again.
  const again = await inBatches(SOCKETS, () => rawSocket(served.port))
  expect(again.map(({ socket }) => socket.destroyed)).not.toContain(true)
  for (const { socket } of again) socket.destroy()
})

test(`peers that answer no ping, or are gone without a word, are cut (${replay})`, async () => {
  await using served = await serve({
    auth,
    pingInterval: scaled(4_000, 1_000),
    pongTimeout: scaled(2_000, 500),
  })
  const half = Math.round(SOCKETS / 2)
  await using proxy = await startChaosProxy({ target: { port: served.port }, seed: 1 })
  await attacked('Silent', served, async (during) => {
    const mute = await inBatches(half, (n) => rawSocket(served.port, { path: `/ws?token=mute-${n}` }))
    const gone = await inBatches(half, (n) => openClient(`ws://127.0.0.1:${proxy.port}/ws?token=gone-${n}`))
    proxy.cutAll('half-open')
    await during()
    const closes = await Promise.all(mute.map(async ({ ended }) => framesIn(await ended).at(-1)))
    expect(new Set(closes)).toEqual(new Set(['close:4510']))
    await expect.poll(() => served.manager.getConnectionCount(), { timeout: 20_000 }).toBe(1)
    await Promise.all(gone.map((client) => client[Symbol.asyncDispose]()))
    await proxy.close()
    return 2 * half
  })
})

test(`floods of pings are cut with 4529 (${replay})`, async () => {
  await using served = await serve({ auth })
  const pings = Buffer.concat(Array.from({ length: 500 }, () => frame({ opcode: PING })))
  await attacked('Floods of pings', served, async (during) => {
    const flooding = Array.from({ length: FLOODERS }, async (_, n) => {
      const { socket, received, ended } = await rawSocket(served.port, { path: `/ws?token=flood-${n}` })
      const flood = (): void => void (socket.writable && socket.write(pings, () => setImmediate(flood)))
      flood()
      // What it sent and nobody read resets it, at times before it has seen the close.
      await ended.catch(() => {})
      return framesIn(received()).find((text) => text.startsWith('close'))
    })
    await during()
    const closes = await Promise.all(flooding)
    expect(closes.filter((close) => close !== undefined && close !== 'close:4529')).toEqual([])
    expect(closes).toContain('close:4529')
    return FLOODERS
  })
})

/** A socket that has sent half a handshake, or nothing. */
async function begun(port: number, n: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.resume()
  await once(socket, 'connect')
  if (n % 2 === 0) socket.write(upgradeHead().slice(0, 60))
  return socket
}

async function untilClosed(socket: Socket): Promise<void> {
  if (!socket.closed) await once(socket, 'close')
}

/** A client of another wire that asks for something that is not there, again and again: each time it is told so. */
async function asking(
  url: string,
  question: object,
): Promise<AsyncDisposable & { answers: (count: number) => Promise<void> }> {
  const client = await openClient(url)
  return {
    async answers(count) {
      for (let n = 0; n < count; n++) {
        client.send(question)
        await client.inbox.until((answer) => JSON.stringify(answer).includes('unknown-run'))
      }
    },
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  }
}
