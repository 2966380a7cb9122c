import { Inbox } from '@turnpike/testkit'
import { expect, test, vi } from 'vitest'
import {
  type ManagedSocket,
  type WebSocketConnection,
  WebSocketConnectionManager,
  WebSocketMessageRouter,
} from '../src/manager/index.ts'
import { recordingLogger } from './harness.ts'
import { echoing, frame, framesIn, openClient, rawSocket, serveManager } from './manager-server.ts'

const KIB = 1_024
const textOf = (data: string | ArrayBuffer): string => (typeof data === 'string' ? data : 'bytes')
const nextTurn = (): Promise<void> => new Promise(setImmediate)

/** Comes back once `count` does not grow any more while somebody else is served. */
async function settledCount(url: string, count: () => number): Promise<number> {
  await using other = await openClient(url)
  for (let before = -1; before < count();) {
    before = count()
    for (let i = 0; i < 50; i++) {
      other.send(i)
      await other.inbox.next()
    }
  }
  return count()
}

/** Many requests in one write. */
const requests = (count: number, type: string): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, id) => frame({ payload: JSON.stringify({ type, id }) })))

test('who does not read its replies has but a few of its requests worked on, and gets all of them later', async () => {
  let handled = 0
  const router = new WebSocketMessageRouter().route('big', async () => {
    handled++
    await nextTurn()
    return 'x'.repeat(100 * KIB)
  })
  await using server = await serveManager({
    messagesPerSecond: 0,
    handler: { onMessage: (connection, message) => router.handle(connection, message) },
  })
  server.manager.registerHandler('/echo', echoing)
  await using client = await openClient(server.url)
  client.socket.pause()
  for (let id = 0; id < 500; id++) client.send({ type: 'big', id })
  // The kernel takes some of them.
  expect(await settledCount(server.url.replace('/ws', '/echo'), () => handled)).toBeLessThan(350)
  const [connection] = server.manager.getConnectionsByPath('/ws')
  expect(connection?.socket.bufferedAmount).toBeLessThan(512 * KIB)
  client.socket.resume()
  for (let i = 0; i < 500; i++) await client.inbox.next()
  expect(handled).toBe(500)
})

test('messages that were read ahead wait for a promise to settle, and come in order', async () => {
  const begun = new Inbox<string>()
  const gates: (() => void)[] = []
  await using server = await serveManager({
    maxPending: 2,
    handler: {
      onMessage(_connection, { data }) {
        begun.push(textOf(data))
        return new Promise<void>((resolve) => gates.push(resolve))
      },
    },
  })
  server.manager.registerHandler('/echo', echoing)
  const { socket } = await rawSocket(server.port)
  socket.write(Buffer.concat(['a', 'b', 'c', 'd', 'e'].map((payload) => frame({ payload }))))
  expect([await begun.next(), await begun.next()]).toEqual(['a', 'b'])
  expect(await settledCount(server.url.replace('/ws', '/echo'), () => begun.size)).toBe(0)
  for (const next of ['c', 'd', 'e']) {
    gates.shift()?.()
    expect(await begun.next()).toBe(next)
    expect(begun.size).toBe(0)
  }
  for (const open of gates.splice(0)) open()
  socket.write(frame({ payload: 'f' }))
  expect(await begun.next()).toBe('f')
  socket.destroy()
})

test('what a peer sent before its close comes before onClose, even where it had to wait', async () => {
  const told = new Inbox<string>()
  await using server = await serveManager({
    maxPending: 1,
    handler: {
      onMessage(_connection, { data }) {
        told.push(textOf(data))
        return new Promise(() => {})
      },
      onClose: () => told.push('close'),
    },
  })
  const { socket } = await rawSocket(server.port)
  socket.write(Buffer.concat([...['a', 'b', 'c'].map((payload) => frame({ payload })), frame({ opcode: 8 })]))
  for (const next of ['a', 'b', 'c', 'close']) expect(await told.next()).toBe(next)
})

test('a peer that is not read while its requests are worked on is not cut for saying nothing', async () => {
  const begun = new Inbox<string>()
  const gate = Promise.withResolvers<void>()
  await using server = await serveManager({
    maxPending: 1,
    pingInterval: 100,
    pongTimeout: 100,
    handler: {
      onMessage: (_connection, { data }) => {
        begun.push(textOf(data))
        return gate.promise
      },
    },
  })
  await using busy = await openClient(server.url)
  busy.send('first')
  busy.send('second')
  expect(await begun.next()).toBe('first')
  const pings = new Inbox<string>()
  busy.socket.on('ping', () => pings.push('ping'))
  for (let i = 0; i < 5; i++) await pings.next()
  gate.resolve()
  expect(await begun.next()).toBe('second')
  expect(busy.socket.readyState).toBe(1)
})

test('so many generators of a peer run at once, though nobody waits for what they resolve with', async () => {
  let [live, most, asked] = [0, 0, 0]
  const router = new WebSocketMessageRouter().route('endless', async function* () {
    most = Math.max(most, ++live)
    try {
      for (; ; asked++) {
        await nextTurn()
        yield 'x'.repeat(KIB)
      }
    } finally {
      live--
    }
  })
  await using server = await serveManager({
    maxPending: 20,
    messagesPerSecond: 0,
    handler: { onMessage: (connection, message) => void router.handle(connection, message) },
  })
  server.manager.registerHandler('/echo', echoing)
  const { socket } = await rawSocket(server.port)
  socket.pause()
  socket.write(requests(1_000, 'endless'))
  await settledCount(server.url.replace('/ws', '/echo'), () => asked)
  expect([live, most]).toEqual([20, 20])
  const [connection] = server.manager.getConnectionsByPath('/ws')
  expect(connection?.socket.bufferedAmount).toBeLessThan(512 * KIB)
  socket.destroy()
  await vi.waitFor(() => expect(live).toBe(0))
})

/** A socket of another framework that tells how much waits, but not whether it is open. */
function foreignSocket(): ManagedSocket & { sent: unknown[]; closed: unknown[]; bufferedAmount: number } {
  const [sent, closed]: unknown[][] = [[], []]
  return {
    sent: sent ?? [],
    closed: closed ?? [],
    bufferedAmount: 0,
    send: (data) => sent?.push(typeof data === 'string' ? JSON.parse(data) : data),
    close: (...args) => closed?.push(args),
  }
}

test('nothing is asked of a generator, and no reply or error sent, before there is room', async () => {
  const asked = vi.fn()
  const router = new WebSocketMessageRouter()
    .route('count', async function* () {
      asked()
      yield 1
      yield 2
    })
    .route('now', () => 'now')
  const socket = foreignSocket()
  const manager = new WebSocketConnectionManager()
  const done = new Inbox<unknown>()
  manager.registerHandler('/ws', {
    onMessage: async (connection, message) =>
      done.push(await router.handle(connection, message).catch(String)),
  })
  const { id } = manager.handleConnection(socket, '/ws')
  socket.bufferedAmount = 300 * KIB
  for (const type of ['count', 'now', 'unknown']) manager.handleMessage(id, JSON.stringify({ type }), false)
  for (let i = 0; i < 10; i++) await nextTurn()
  expect([asked.mock.calls.length, socket.sent, done.size]).toEqual([0, [], 0])
  socket.bufferedAmount = 0
  const outcomes = [await done.next(), await done.next(), await done.next()]
  expect(outcomes).toEqual(
    expect.arrayContaining([2, 'now', 'WebSocketError: Unknown message type: unknown']),
  )
  expect(socket.sent).toEqual(
    expect.arrayContaining([
      { type: 'count', payload: 1 },
      { type: 'count', payload: 2 },
      { type: 'now', payload: 'now' },
      { type: 'error', error: 'Unknown message type: unknown', code: 'unknown-command' },
    ]),
  )
})

test('what comes of a socket that cannot wait is kept, and nothing of a burst is lost', async () => {
  const seen: unknown[] = []
  const router = new WebSocketMessageRouter().route(
    'say',
    async (_connection, payload) => void seen.push(payload),
  )
  const manager = new WebSocketConnectionManager({ messagesPerSecond: 0 })
  manager.registerHandler('/ws', { onMessage: (connection, message) => router.handle(connection, message) })
  const { id } = manager.handleConnection(foreignSocket(), '/ws')
  const payloads = Array.from({ length: 1_000 }, (_, index) => index)
  for (const payload of payloads) manager.handleMessage(id, JSON.stringify({ type: 'say', payload }), false)
  await vi.waitFor(() => expect(seen).toEqual(payloads))
})

test('a socket that cannot wait is told that too much is worked on, and closed where it goes on', async () => {
  const gates: (() => void)[] = []
  // What waits to be taken up is one message.
  const manager = new WebSocketConnectionManager({ maxPending: 2, maxBufferedBytes: 150 })
  const seen: string[] = []
  manager.registerHandler('/ws', {
    onMessage(_connection, { data }) {
      seen.push(textOf(data))
      return new Promise<void>((resolve) => gates.push(resolve))
    },
  })
  const socket = foreignSocket()
  const { id } = manager.handleConnection(socket, '/ws')
  for (const text of ['a', 'b', 'kept', 'c', 'd']) manager.handleMessage(id, text, false)
  expect(seen).toEqual(['a', 'b'])
  const refused = { type: 'error', code: 'rate-limited', error: expect.any(String), retryAfterMs: 1_000 }
  expect(socket.sent).toEqual([refused, refused])
  for (const open of gates.splice(0)) open()
  await nextTurn()
  expect(seen).toEqual(['a', 'b', 'kept'])
  for (const text of ['e', 'kept, too', 'f', 'g']) manager.handleMessage(id, text, false)
  expect([seen.at(-1), socket.closed]).toEqual(['e', []])
  manager.handleMessage(id, 'h', false)
  expect(socket.closed).toEqual([[4_529, 'rate-limited']])
  expect(manager.getConnectionCount()).toBe(0)
})

test.each(['ends with its peer', 'that waits for something is told that its peer has gone'])(
  'a generator %s, and the request with it',
  async (title) => {
    const isWaiting = title.startsWith('that')
    const told = new Inbox<string>()
    const router = new WebSocketMessageRouter().route(
      'watch',
      async function* (_connection, _payload, { signal }) {
        signal.addEventListener('abort', () => told.push('aborted'))
        try {
          yield 'first'
          while (isWaiting) await new Promise((resolve) => signal.addEventListener('abort', resolve))
          for (;;) {
            await nextTurn()
            yield 'more'
          }
        } finally {
          told.push('ended')
        }
      },
    )
    await using server = await serveManager({
      handler: {
        async onMessage(connection, message) {
          await router.handle(connection, message)
          told.push('handled')
        },
      },
    })
    await using client = await openClient(server.url)
    client.send({ type: 'watch' })
    expect(await client.inbox.next()).toEqual({ type: 'watch', payload: 'first' })
    client.socket.terminate()
    const expected = ['aborted', 'handled', ...(isWaiting ? [] : ['ended'])]
    const calls = await Promise.all(expected.map(() => told.next()))
    expect(calls.toSorted()).toEqual(expected.toSorted())
  },
)

test('an endless generator of a socket that does not tell its state ends with handleClose', async () => {
  const ended = Promise.withResolvers<void>()
  const router = new WebSocketMessageRouter().route('endless', async function* () {
    try {
      for (;;) {
        await nextTurn()
        yield 'x'
      }
    } finally {
      ended.resolve()
    }
  })
  const manager = new WebSocketConnectionManager()
  manager.registerHandler('/ws', { onMessage: (connection, message) => router.handle(connection, message) })
  const socket = foreignSocket()
  const { id } = manager.handleConnection(socket, '/ws')
  manager.handleMessage(id, '{"type":"endless"}', false)
  await vi.waitFor(() => expect(socket.sent.length).toBeGreaterThan(3))
  manager.handleClose(id, 1_006, '')
  const before = socket.sent.length
  await ended.promise
  for (let i = 0; i < 10; i++) await nextTurn()
  expect(socket.sent).toHaveLength(before)
})

test('where the client cannot be told, handle rejects with what was wrong', async () => {
  const connection: WebSocketConnection = {
    id: 'c',
    metadata: {},
    createdAt: 0,
    lastActivity: 0,
    socket: {
      close: () => {},
      send: () => {
        throw new Error('EPIPE')
      },
    },
  }
  const router = new WebSocketMessageRouter()
  const outcome = router.handle(connection, { type: 'text', data: 'no json', timestamp: 0 })
  await expect(outcome).rejects.toMatchObject({ name: 'WebSocketError', message: 'Message is not JSON' })
})

test.each<[string, () => unknown]>([
  ['throws an object without a prototype', () => Object.create(null)],
  [
    'throws an object whose text throws',
    () => ({
      toString() {
        throw new Error('no text')
      },
    }),
  ],
])('a handler that %s reaches onError, and the connection lives', async (_title, thrown) => {
  const errors = new Inbox<Error>()
  const logger = recordingLogger()
  await using server = await serveManager({
    logger,
    handler: {
      onMessage(_connection, { data }) {
        if (data === 'later') return Promise.reject(thrown())
        throw thrown()
      },
      onError: (_connection, error) => errors.push(error),
    },
  })
  await using client = await openClient(server.url)
  for (const when of ['now', 'later']) {
    client.send(when)
    expect(await errors.next()).toMatchObject({ name: 'WebSocketError', code: 'internal' })
  }
  expect(server.manager.getConnectionCount()).toBe(1)
})

test('a pong in JSON is for the manager alone, before the verdict, too', async () => {
  const gate = Promise.withResolvers<{ id: string }>()
  await using server = await serveManager({ auth: { strategy: 'bearer', validate: () => gate.promise } })
  const { socket, received } = await rawSocket(server.port, { path: '/ws?token=t' })
  const pong = frame({ payload: '{"type":"pong","timestamp":1}' })
  socket.write(Buffer.concat([pong, frame({ payload: 'early' }), pong]))
  await expect(openClient(`${server.url}/none`)).rejects.toThrow('404')
  gate.resolve({ id: 'ada' })
  expect(await server.told.next()).toMatchObject({ what: 'open' })
  socket.write(frame({ payload: 'late' }))
  expect(await server.told.next()).toMatchObject({ data: 'early' })
  expect(await server.told.next()).toMatchObject({ data: 'late' })
  expect(framesIn(received())).toEqual([])
  socket.destroy()
})
