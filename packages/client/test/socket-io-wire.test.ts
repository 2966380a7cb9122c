import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { defineAgent } from '@turnpike/agents'
import { type Client, type ClientOptions, createClient } from '@turnpike/client'
import { socketIo } from '@turnpike/client/socket-io'
import { Gateway } from '@turnpike/gateway'
import { MemoryLog } from '@turnpike/gateway/memory-log'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { createThreadStream } from '@turnpike/gateway/thread-stream'
import { GatewayError } from '@turnpike/protocol'
import { startChaosProxy } from '@turnpike/testkit'
import { Server } from 'socket.io'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../src/clock.ts'
import type { Link } from '../src/wire.ts'

const WORDS = 400

/** Counts, a few words each turn of the event loop. */
const counter = defineAgent({
  name: 'counter',
  register: false,
  async *run(_, { signal }) {
    for (let n = 1; n <= WORDS && !signal.aborted; n++) {
      yield `${n} `
      if (n % 4 === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    }
  },
})
const COUNTED = Array.from({ length: WORDS }, (_, n) => `${n + 1} `).join('')

interface Served extends AsyncDisposable {
  readonly gateway: Gateway
  readonly port: number
}

async function serve(authenticate?: (token: string) => Promise<{ id: string } | null>): Promise<Served> {
  const store = sqliteStore()
  const gateway = new Gateway({
    log: new MemoryLog({ numbering: store.numbering }),
    store,
    agents: [counter],
    ...(authenticate && { authenticate }),
  })
  await gateway.open()
  const server = createServer()
  const threads = createThreadStream({ server, gateway })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    gateway,
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      await threads.close()
      await gateway.drain(0)
      server.closeAllConnections()
      server.close()
    },
  }
}

type Transports = readonly ('polling' | 'websocket')[] | undefined

function clientAt(
  port: number,
  transports: Transports,
  options: ClientOptions = {},
): Client & { connects: () => number } {
  const wire = socketIo(transports ? { transports } : {})
  const client = createClient({ url: `http://127.0.0.1:${port}`, wires: [wire], ...options })
  let connects = 0
  client.connection.onChange(({ status }) => void (connects += Number(status === 'open')))
  return Object.assign(client, { connects: () => connects })
}

async function read(client: Client, onEvent: () => void = () => {}): Promise<string> {
  const stream = await client.threads.stream({ threadId: 't', message: 'Count' })
  let text = ''
  for await (const event of stream) {
    if (event.type === 'text-delta') text += event.delta
    onEvent()
  }
  return text
}

describe.each([
  ['WebSocket', ['websocket']],
  ['long-polling', ['polling']],
  ['both, one after the other', undefined],
] satisfies [string, Transports][])('over Socket.IO by %s', (_, transports) => {
  test('a run is read whole', async () => {
    await using server = await serve()
    await using client = clientAt(server.port, transports)
    expect(await read(client)).toBe(COUNTED)
    expect(client.connection.state).toEqual({ status: 'open', wire: 'socket.io' })
  })

  test('a run is read whole however often its connection is cut', async () => {
    await using server = await serve()
    await using proxy = await startChaosProxy({ target: { port: server.port }, seed: 7 })
    await using client = clientAt(proxy.port, transports)
    let cutting: NodeJS.Timeout | undefined
    // Long-polling has a connection only now and then; one that is cut amid each handshake would wait longer and longer.
    const isDue = (): boolean => client.connects() < 3 && client.connection.state.status === 'open'
    const text = await read(client, () => {
      cutting ??= setInterval(() => isDue() && proxy.cutAll(), 20)
    })
    clearInterval(cutting)
    expect(text).toBe(COUNTED)
    expect(client.connects()).toBeGreaterThan(1)
  })

  test('a token that is refused is asked for once more, and what is wrong for good closes the client', async () => {
    await using server = await serve(async (token) => (token === 'good' ? { id: 'me' } : null))
    const tokens = ['stale', 'good']
    await using client = clientAt(server.port, transports, { getToken: () => tokens.shift() })
    expect(await read(client)).toBe(COUNTED)
    await using stranger = clientAt(server.port, transports, { token: 'bad' })
    await expect(read(stranger)).rejects.toMatchObject({ code: 'unauthorized' })
    expect(stranger.connection.state).toMatchObject({ status: 'closed', error: { code: 'unauthorized' } })
  })

  test('what the server says no to is an error of that command, and the connection stays', async () => {
    await using server = await serve()
    await using client = clientAt(server.port, transports)
    await expect(client.runs.cancel('nothing')).rejects.toMatchObject({ code: 'unknown-run' })
    expect(await read(client)).toBe(COUNTED)
    expect(client.connects()).toBe(1)
  })
})

/** A server of Socket.IO that answers commands as it likes. */
async function serveAnswering(...answer: unknown[]): Promise<AsyncDisposable & { readonly url: string }> {
  const http = createServer()
  const io = new Server(http, { path: '/streaming' })
  io.on('connection', (socket) => {
    socket.onAny((...[, , ack]: [string, unknown, (...args: unknown[]) => void]) => ack(...answer))
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () => io.close(),
  }
}

/** What becomes of a command on a link of its own, in order. */
async function toldOf({ url }: { readonly url: string }): Promise<string[]> {
  const told: string[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  const link: Link = socketIo({ transports: ['websocket'] }).open(
    { url, token: undefined, ticket: undefined, clock: systemClock },
    {
      onOpen() {
        link.request('thread.unsubscribe', { threadId: 't' }, (outcome) => {
          const error = 'error' in outcome ? outcome.error : undefined
          told.push(error instanceof GatewayError ? error.code : String(error?.name))
          resolve()
        })
      },
      onFrame: () => {},
      onEnd: () => told.push('end'),
    },
  )
  await promise
  link.close()
  return told
}

test.each([
  ['nothing', []],
  ['null', [null]],
  ['text', ['ok']],
])('a server that answers with %s is as good as gone', async (_, answer) => {
  await using server = await serveAnswering(...answer)
  expect(await toldOf(server)).toEqual(['LinkLost', 'end'])
})

test.each([[{ ok: false }], [{ ok: false, error: null }], [{ ok: false, error: { code: 5 } }], [{}]])(
  'a refusal that does not say why, %j, is internal',
  async (answer) => {
    await using server = await serveAnswering(answer)
    expect(await toldOf(server)).toEqual(['internal'])
  },
)
