import { once } from 'node:events'
import { type ServerOptions, createServer } from 'node:http'
import { type Socket, connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { Inbox } from '@turnpike/testkit'
import { type ClientOptions, WebSocket } from 'ws'
import {
  type ConnectionManagerConfig,
  type HandlerOptions,
  type WebSocketConnection,
  type WebSocketHandler,
  WebSocketConnectionManager,
} from '../src/manager/index.ts'
import { recordingLogger } from './harness.ts'

export interface ManagerUnderTest extends AsyncDisposable {
  readonly manager: WebSocketConnectionManager
  readonly port: number
  readonly url: string
  readonly errors: readonly object[]
  /** What handlers were told, in order. */
  readonly told: Inbox<Told>
}

/** One call of a handler. */
export interface Told {
  readonly what: 'open' | 'message' | 'close' | 'error'
  readonly connection: WebSocketConnection
  readonly data?: unknown
}

interface ServeManagerOptions extends ConnectionManagerConfig {
  readonly handler?: WebSocketHandler
  readonly handlerOptions?: HandlerOptions
  readonly server?: ServerOptions
}

/** A manager on a free port, whose handler at `/ws` tells what it is told. */
export async function serveManager(options: ServeManagerOptions = {}): Promise<ManagerUnderTest> {
  const { handler, handlerOptions, server: serverOptions = {}, ...config } = options
  const logger = recordingLogger()
  const manager = new WebSocketConnectionManager({ logger, ...config })
  const told = new Inbox<Told>({ name: 'calls of a handler' })
  manager.registerHandler('/ws', handler ?? tellingHandler(told), handlerOptions)
  const server = createServer(serverOptions)
  manager.attach(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  return {
    manager,
    port,
    url: `ws://127.0.0.1:${port}/ws`,
    errors: logger.errors,
    told,
    async [Symbol.asyncDispose]() {
      await manager.closeAll()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export function tellingHandler(told: Inbox<Told>): WebSocketHandler {
  return {
    onOpen: (connection) => told.push({ what: 'open', connection }),
    onMessage: (connection, { data }) => told.push({ what: 'message', connection, data }),
    onClose: (connection, code, reason) => told.push({ what: 'close', connection, data: { code, reason } }),
    onError: (connection, error) => told.push({ what: 'error', connection, data: error }),
  }
}

/** Sends back what comes. */
export const echoing: WebSocketHandler = {
  onMessage: ({ socket }, { data }) => socket.send(typeof data === 'string' ? data : new Uint8Array(data)),
}

/** A stock client. */
export interface Client extends AsyncDisposable {
  readonly socket: WebSocket
  readonly inbox: Inbox<unknown>
  readonly closed: Promise<{ code: number; reason: string }>
  send(data: unknown): void
}

/** Opens a stock client; text that is JSON arrives parsed. */
export async function openClient(url: string, options: ClientOptions = {}): Promise<Client> {
  const socket = new WebSocket(url, { perMessageDeflate: false, ...options })
  const inbox = new Inbox<unknown>({ name: `messages of ${url}` })
  socket.on('message', (data: Buffer, isBinary) => inbox.push(isBinary ? data : parsed(data.toString())))
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on('close', (code, reason) => {
      inbox.end()
      resolve({ code, reason: reason.toString() })
    })
  })
  const opened = Promise.withResolvers<void>()
  socket.once('open', opened.resolve)
  socket.on('error', opened.reject)
  await opened.promise
  return {
    socket,
    inbox,
    closed,
    send: (data) =>
      socket.send(typeof data === 'string' || data instanceof Uint8Array ? data : JSON.stringify(data)),
    async [Symbol.asyncDispose]() {
      socket.terminate()
      await closed
    },
  }
}

/** Somebody who does nothing wrong, and asks for one echo after the other all the while. */
export interface SteadyPeer extends AsyncDisposable {
  /** Rejects where an echo was not the one that was due, or none came. */
  readonly echoes: (more: number) => Promise<void>
}

const STEADY_MS = 5

export async function steadyPeer(url: string): Promise<SteadyPeer> {
  const client = await openClient(url)
  let [count, isOver] = [0, false]
  const turns = async (): Promise<void> => {
    while (!isOver) {
      client.send(count)
      const echo = await client.inbox.next()
      if (echo !== count) throw new Error(`The echo of ${count} is ${JSON.stringify(echo)}.`)
      count++
      await delay(STEADY_MS)
    }
  }
  const running = turns()
  // Who waits for echoes is told; until then nobody has to.
  running.catch(() => {})
  return {
    async echoes(more) {
      const enough = count + more
      while (count < enough) await Promise.race([running, delay(STEADY_MS)])
    },
    async [Symbol.asyncDispose]() {
      isOver = true
      await running
      await client[Symbol.asyncDispose]()
    },
  }
}

const BATCH = 100

/** Does something many times, some of it at once: as many connects at once would wait for each other. */
export async function inBatches<T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = []
  while (results.length < count) {
    const size = Math.min(BATCH, count - results.length)
    const from = results.length
    results.push(...(await Promise.all(Array.from({ length: size }, (_, index) => work(from + index)))))
  }
  return results
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** The head of an upgrade by hand. */
export function upgradeHead(path = '/ws', headers = ''): string {
  return (
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${headers}\r\n`
  )
}

/** A socket that was upgraded by hand, so that it can do what no client does. */
export interface RawSocket {
  readonly socket: Socket
  /** What came behind the head of the answer. */
  readonly received: () => Buffer
  /** The same, once the socket is closed. */
  readonly ended: Promise<Buffer>
}

export async function rawSocket(
  port: number,
  options: { path?: string; headers?: string; allowHalfOpen?: boolean } = {},
): Promise<RawSocket> {
  const { allowHalfOpen = false } = options
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen }, () =>
    socket.write(upgradeHead(options.path, options.headers)),
  )
  socket.on('error', () => {})
  socket.setNoDelay(true)
  let bytes = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => (bytes = Buffer.concat([bytes, chunk])))
  const received = (): Buffer => bytes.subarray(bytes.indexOf('\r\n\r\n') + 4)
  const ended = once(socket, 'close').then(received)
  await once(socket, 'data')
  return { socket, received, ended }
}

export interface FrameParts {
  readonly fin?: boolean
  readonly rsv?: number
  readonly opcode?: number
  readonly payload?: string | Uint8Array
  readonly masked?: boolean
  /** What the head says, where that is not what follows. */
  readonly length?: bigint
  /** How many bytes the head says it with. */
  readonly lengthBytes?: 1 | 2 | 8
}

const MASK = Buffer.from([0x12, 0x34, 0x56, 0x78])

/** One frame of a client, right or wrong. */
export function frame(parts: FrameParts = {}): Buffer {
  const { fin = true, rsv = 0, opcode = 1, masked = true } = parts
  const payload = Buffer.from(parts.payload ?? '')
  const length = parts.length ?? BigInt(payload.length)
  const lengthBytes = parts.lengthBytes ?? (length > 65_535n ? 8 : length > 125n ? 2 : 1)
  const head = Buffer.alloc(2 + (lengthBytes === 1 ? 0 : lengthBytes))
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode
  head[1] = (masked ? 0x80 : 0) | (lengthBytes === 1 ? Number(length) : lengthBytes === 2 ? 126 : 127)
  if (lengthBytes === 2) head.writeUInt16BE(Number(length), 2)
  if (lengthBytes === 8) head.writeBigUInt64BE(length, 2)
  if (!masked) return Buffer.concat([head, payload])
  return Buffer.concat([head, MASK, payload.map((byte, index) => byte ^ (MASK[index % 4] ?? 0))])
}

/** A close frame of a client. */
export function closeFrame(code: number, reason: string | Uint8Array = ''): Buffer {
  const head = Buffer.alloc(2)
  head.writeUInt16BE(code)
  return frame({ opcode: 8, payload: Buffer.concat([head, Buffer.from(reason)]) })
}

/** Reads what a server sent: `text:hi`, `pong:x`, `close:1002`. Its frames are neither masked nor fragmented. */
export function framesIn(bytes: Buffer): string[] {
  const frames: string[] = []
  for (let at = 0; at + 2 <= bytes.length;) {
    const short = (bytes[at + 1] ?? 0) & 0x7f
    const header = short === 127 ? 10 : short === 126 ? 4 : 2
    const length =
      short === 127
        ? Number(bytes.readBigUInt64BE(at + 2))
        : short === 126
          ? bytes.readUInt16BE(at + 2)
          : short
    const payload = bytes.subarray(at + header, at + header + length)
    frames.push(describe((bytes[at] ?? 0) & 0x0f, payload))
    at += header + length
  }
  return frames
}

function describe(opcode: number, payload: Buffer): string {
  if (opcode === 8) return payload.length < 2 ? 'close' : `close:${payload.readUInt16BE(0)}`
  const name = { 1: 'text', 2: 'binary', 9: 'ping', 10: 'pong' }[opcode] ?? `${opcode}`
  return `${name}:${payload.length > 100 ? payload.length : payload.toString()}`
}
