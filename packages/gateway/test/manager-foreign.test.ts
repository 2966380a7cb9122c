import { once } from 'node:events'
import { Inbox } from '@turnpike/testkit'
import { expect, test, vi } from 'vitest'
import { type WebSocket as ServerSocket, WebSocketServer } from 'ws'
import {
  type ManagedSocket,
  type WebSocketData,
  WebSocketConnectionError,
  WebSocketConnectionManager,
  WebSocketError,
} from '../src/manager/index.ts'
import { lineWith, startModule } from './documented-code.ts'
import { recordingLogger } from './harness.ts'
import { openClient, serveManager } from './manager-server.ts'

interface ForeignSocket extends ManagedSocket {
  readonly sent: unknown[]
  readonly closed: unknown[]
}

function foreignSocket(more: Partial<ManagedSocket> = {}): ForeignSocket {
  const sent: unknown[] = []
  const closed: unknown[] = []
  return { sent, closed, send: (data) => sent.push(data), close: (...args) => closed.push(args), ...more }
}

/** One whose close is told of before it returns. */
function promptSocket(manager: WebSocketConnectionManager): ForeignSocket & { id: string } {
  const socket = { ...foreignSocket(), id: '', close: () => manager.handleClose(socket.id, 1_000, '') }
  return socket
}

const quiet = (): { logger: ReturnType<typeof recordingLogger> } => ({ logger: recordingLogger() })

/** As the standard has it. */
function closeOfBrowsers(closed: unknown[]): (code?: number, reason?: string) => void {
  return (code, reason) => {
    if (code !== undefined && code !== 1_000 && (code < 3_000 || code > 4_999)) {
      throw new DOMException('The close code is neither 1000 nor 3000 to 4999.', 'InvalidAccessError')
    }
    closed.push([code, reason])
  }
}

test.each([
  [1_000, 1_000],
  [1_001, 4_510],
  [1_007, 4_400],
  [1_009, 4_400],
  [1_011, 4_500],
  [1_012, 4_510],
  [4_409, 4_409],
])('a socket with the interface of browsers that is to be closed with %d is, with %d', (code, sent) => {
  const manager = new WebSocketConnectionManager()
  const closed: unknown[] = []
  const { id } = manager.handleConnection(foreignSocket({ close: closeOfBrowsers(closed) }), '/ws')
  manager.close(id, code, 'why')
  expect(closed).toEqual([[sent, 'why']])
})

test('a socket that closes without a code alone is closed', () => {
  const manager = new WebSocketConnectionManager()
  const closed: unknown[] = []
  const close = (...args: unknown[]): void => {
    if (args.length > 0) throw new TypeError('No code, please.')
    closed.push('closed')
  }
  const { id } = manager.handleConnection(foreignSocket({ close }), '/ws')
  manager.close(id, 1_012)
  expect(closed).toEqual(['closed'])
})

test('a drain closes the sockets of the runtime itself', async () => {
  const sockets = new WebSocketServer({ port: 0 })
  await once(sockets, 'listening')
  const peer = new Promise<ServerSocket>((resolve) => sockets.once('connection', resolve))
  const address = sockets.address()
  const native = new globalThis.WebSocket(
    `ws://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
  )
  await once(native, 'open')
  const manager = new WebSocketConnectionManager()
  const { id } = manager.handleConnection(native, '/ws')
  native.addEventListener('close', ({ code, reason }) => manager.handleClose(id, code, reason))
  const closed = once(await peer, 'close')
  await manager.drain({ windowMs: 0 })
  expect((await closed)[0]).toBe(4_510)
  expect(native.readyState).toBe(WebSocket.CLOSED)
  sockets.close()
})

test('bytes that the server takes back after the call are kept as they came', async () => {
  const gate = Promise.withResolvers<{ id: string }>()
  const seen = new Inbox<string | ArrayBuffer>()
  const manager = new WebSocketConnectionManager({
    auth: { strategy: 'bearer', validate: () => gate.promise },
  })
  manager.registerHandler('/ws', { onMessage: (_connection, { data }) => seen.push(data) })
  const { id } = manager.handleConnection(foreignSocket(), '/ws')
  manager.handleMessage(id, '{"type":"auth","token":"t"}', false)
  const bytes = Uint8Array.from([1, 2, 3]).buffer
  manager.handleMessage(id, bytes, true)
  structuredClone(bytes, { transfer: [bytes] })
  gate.resolve({ id: 'ada' })
  const kept = await seen.next()
  expect(typeof kept === 'string' ? kept : [...new Uint8Array(kept)]).toEqual([1, 2, 3])
})

const askingForAdmins = {
  strategy: 'bearer' as const,
  roles: ['admin'],
  validate: () => null,
}

test.each<[string, object]>([
  ['with roles as text', { id: 'ada', roles: 'administrator' }],
  ['that has expired', { id: 'ada', roles: ['admin'], expiresAt: 1 }],
  ['without the role', { id: 'ada', roles: ['editor'] }],
  ['without an id', { roles: ['admin'] }],
])('a user %s is not let in by handleConnection', (_title, user) => {
  const manager = new WebSocketConnectionManager({ auth: askingForAdmins, ...quiet() })
  const known = user as { id: string }
  expect(() => manager.handleConnection(foreignSocket(), '/ws', known)).toThrow(WebSocketConnectionError)
  expect(manager.getConnectionCount()).toBe(0)
})

test('a user of handleConnection stays who it was, for as long as it says', async () => {
  const manager = new WebSocketConnectionManager()
  const user = { id: 'ada', expiresAt: Date.now() + 60_000, password: 'x' }
  const { id, user: known } = manager.handleConnection(foreignSocket(), '/ws', user)
  expect(known).toEqual({ id: 'ada' })
  user.id = 'bob'
  expect(manager.getConnectionsByUser('ada')).toHaveLength(1)
  manager.handleClose(id, 1_000, '')
  expect(manager.getConnectionsByUser('ada')).toEqual([])
  const closed = Promise.withResolvers<unknown>()
  const close = (...args: unknown[]): void => closed.resolve(args)
  manager.handleConnection(foreignSocket({ close }), '/ws', { id: 'ada', expiresAt: Date.now() + 100 })
  // Neither the socket nor the wheel keeps a process alive.
  const keepAlive = setInterval(() => {}, 1_000)
  expect(await closed.promise).toEqual([4_501, 'token-expired'])
  clearInterval(keepAlive)
})

test('who makes room and lets another one in meanwhile does not have one too many', () => {
  const manager = new WebSocketConnectionManager({
    maxConnectionsPerUser: 1,
    whenUserFull: 'close-oldest',
    maxConnections: 2,
  })
  const open = (): void => {
    const socket = promptSocket(manager)
    socket.id = manager.handleConnection(socket, '/ws', { id: 'ada' }).id
  }
  let again = true
  manager.registerHandler('/ws', {
    onClose() {
      if (again) {
        again = false
        open()
      }
    },
  })
  open()
  expect(open).toThrow(WebSocketConnectionError)
  expect(manager.getConnectionsByUser('ada')).toHaveLength(1)
})

test('who is closed while room is made for it is not let in after all', async () => {
  const told: string[] = []
  const manager = new WebSocketConnectionManager({
    maxConnectionsPerUser: 1,
    whenUserFull: 'close-oldest',
    auth: { strategy: 'bearer', validate: () => ({ id: 'ada' }) },
  })
  const gone = Promise.withResolvers<void>()
  manager.registerHandler('/ws', {
    onOpen: () => told.push('open'),
    onClose() {
      told.push('close')
      void manager.closeAll().then(gone.resolve)
    },
  })
  const [first, second] = [promptSocket(manager), promptSocket(manager)]
  first.id = manager.handleConnection(first, '/ws', { id: 'ada' }).id
  second.id = manager.handleConnection(second, '/ws').id
  manager.handleMessage(second.id, '{"type":"auth","token":"t"}', false)
  await gone.promise
  expect([told, manager.getConnectionCount()]).toEqual([['open', 'close'], 0])
})

function invalid(): never {
  throw new Error('Invalid access of closed socket')
}

test.each(['readyState', 'bufferedAmount'])(
  'a %s that throws harms neither broadcasts nor pings',
  async (name) => {
    const manager = new WebSocketConnectionManager({ pingInterval: 100, pongTimeout: 100, ...quiet() })
    let isDead = false
    const dead = foreignSocket({ send: () => isDead && invalid() })
    Object.defineProperty(dead, name, { get: () => isDead && invalid() })
    const closes = new Inbox<string>()
    manager.registerHandler('/ws', { onClose: ({ id }) => closes.push(id) })
    const { id } = manager.handleConnection(dead, '/ws')
    const alive = foreignSocket()
    manager.handleConnection(alive, '/ws')
    isDead = true
    expect(manager.broadcast('x')).toBe(1)
    expect(alive.sent).toEqual(['x'])
    const keepAlive = setInterval(() => {}, 1_000)
    expect(await closes.next()).toBe(id)
    clearInterval(keepAlive)
  },
)

test('what a socket rejects with later reaches nobody', async () => {
  const rejections = vi.fn()
  process.on('unhandledRejection', rejections)
  const failing = (): Promise<void> => Promise.reject(new Error('gone'))
  const manager = new WebSocketConnectionManager()
  const { id } = manager.handleConnection(
    foreignSocket({ send: failing, close: failing, ping: failing }),
    '/ws',
  )
  manager.send(id, 'x')
  manager.close(id)
  for (let i = 0; i < 5; i++) await new Promise(setImmediate)
  process.off('unhandledRejection', rejections)
  expect(rejections).not.toHaveBeenCalled()
})

test.each<[string, unknown]>([
  ['nothing', undefined],
  ['a function', () => {}],
  ['a symbol', Symbol('x')],
  ['what becomes nothing as JSON', { toJSON: () => undefined }],
  ['a bigint', { big: 1n }],
  ['shared memory', new SharedArrayBuffer(4)],
  ['a blob', new Blob(['x'])],
])('%s cannot be sent, and nothing is', async (_title, data) => {
  await using server = await serveManager()
  const { manager } = server
  const sendable = data as WebSocketData
  await using client = await openClient(server.url)
  const { connection } = await server.told.next()
  const socket = foreignSocket()
  const foreign = manager.handleConnection(socket, '/other')
  for (const { id } of [connection, foreign]) expect(() => manager.send(id, sendable)).toThrow(WebSocketError)
  expect(() => manager.broadcast(sendable)).toThrow(expect.objectContaining({ code: 'invalid-payload' }))
  expect(socket.sent).toEqual([])
  manager.send(connection.id, 'after')
  expect(await client.inbox.next()).toBe('after')
  manager.handleClose(foreign.id, 1_000, '')
})

test('whom a filter closes is sent nothing, and not counted', () => {
  const manager = new WebSocketConnectionManager()
  const [first, second] = [foreignSocket(), foreignSocket()]
  manager.handleConnection(first, '/ws')
  const { id } = manager.handleConnection(second, '/ws')
  expect(manager.broadcast('hi', () => manager.close(id) || true)).toBe(1)
  expect([first.sent, second.sent]).toEqual([['hi'], []])
})

test.each(['closeAll()', 'drain({ windowMs: 0 })'])(
  'a program that has nothing but sockets of others waits for %s',
  async (call) => {
    await using program = await startModule(
      `manager-${call.slice(0, 5)}`,
      `import { WebSocketConnectionManager } from '../src/manager/index.ts'
      const manager = new WebSocketConnectionManager()
      manager.handleConnection({ send() {}, close() {} }, '/ws')
      await manager.${call}
      console.log('done')`,
    )
    expect(await lineWith(program.lines, 'done')).toBe('done')
  },
)
