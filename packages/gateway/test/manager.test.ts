import { Inbox } from '@turnpike/testkit'
import { expect, test, vi } from 'vitest'
import {
  type ManagedSocket,
  WebSocketConnectionError,
  WebSocketConnectionManager,
  WebSocketError,
} from '../src/manager/index.ts'
import { recordingLogger } from './harness.ts'
import { type Told, openClient, serveManager, tellingHandler } from './manager-server.ts'

/** A socket of some other framework. */
function foreignSocket(): ManagedSocket & { sent: unknown[]; closed: unknown[] } {
  const sent: unknown[] = []
  const closed: unknown[] = []
  return { sent, closed, send: (data) => sent.push(data), close: (...args) => closed.push(args) }
}

test('a handler is told of opening, messages in order, and the close', async () => {
  await using server = await serveManager()
  await using client = await openClient(server.url)
  const { connection } = await server.told.next()
  client.send('one')
  client.send(Buffer.from([1, 2, 3]))
  client.socket.close(4_000, 'bye')
  const calls = [await server.told.next(), await server.told.next(), await server.told.next()]
  expect(calls.map(({ what, data }) => [what, data])).toEqual([
    ['message', 'one'],
    ['message', Uint8Array.from([1, 2, 3]).buffer],
    ['close', { code: 4_000, reason: 'bye' }],
  ])
  expect(calls.every((call) => call.connection === connection)).toBe(true)
  expect(server.manager.getConnectionCount()).toBe(0)
})

test('a connection has just these fields', async () => {
  await using server = await serveManager()
  const before = Date.now()
  await using client = await openClient(server.url)
  const { connection } = await server.told.next()
  expect(Object.keys(connection).sort()).toEqual(['createdAt', 'id', 'lastActivity', 'metadata', 'socket'])
  expect(connection.metadata).toEqual({ path: '/ws' })
  expect(connection.createdAt).toBeGreaterThanOrEqual(before)
  expect(connection.lastActivity).toBe(connection.createdAt)
  client.send('x')
  await server.told.next()
  expect(connection.lastActivity).toBeGreaterThanOrEqual(connection.createdAt)
  connection.metadata['note'] = 'kept'
  expect(server.manager.getConnection(connection.id)?.metadata).toEqual({ path: '/ws', note: 'kept' })
})

test('a message has a type, data and a time', async () => {
  const messages = new Inbox<unknown>()
  await using server = await serveManager({
    handler: { onMessage: (_connection, message) => messages.push(message) },
  })
  await using client = await openClient(server.url)
  client.send('hi')
  client.send(Buffer.from('hi'))
  expect(await messages.next()).toEqual({ type: 'text', data: 'hi', timestamp: expect.any(Number) })
  expect(await messages.next()).toEqual({
    type: 'binary',
    data: Uint8Array.from(Buffer.from('hi')).buffer,
    timestamp: expect.any(Number),
  })
})

test('connections are found by id, by path and by user', async () => {
  const manager = new WebSocketConnectionManager()
  const ada = manager.handleConnection(foreignSocket(), '/a', { id: 'ada' })
  const more = manager.handleConnection(foreignSocket(), '/b', { id: 'ada' })
  const nobody = manager.handleConnection(foreignSocket(), '/b')
  expect(manager.getConnection(ada.id)).toBe(ada)
  expect(manager.getConnection('constructor')).toBeUndefined()
  expect(manager.getAllConnections()).toEqual([ada, more, nobody])
  expect(manager.getConnectionsByUser('ada')).toEqual([ada, more])
  expect(manager.getConnectionsByUser('bob')).toEqual([])
  expect(manager.getConnectionsByPath('/b')).toEqual([more, nobody])
  expect(manager.getConnectionCount()).toBe(3)
  manager.handleClose(more.id, 1_000, '')
  expect(manager.getConnectionsByUser('ada')).toEqual([ada])
  expect(manager.getConnectionCount()).toBe(2)
})

test('handlers are found by their path, and names of every object are none', () => {
  const manager = new WebSocketConnectionManager()
  const [first, second] = [{}, {}]
  manager.registerHandler('/a', first)
  expect(manager.getHandler('/a')).toBe(first)
  manager.registerHandler('/a', second)
  expect(manager.getHandler('/a')).toBe(second)
  expect(manager.getHandler('__proto__')).toBeUndefined()
})

test('one is sent text, bytes and objects; an unknown one throws', async () => {
  await using server = await serveManager()
  await using client = await openClient(server.url)
  const { connection } = await server.told.next()
  const { manager } = server
  const bytes = Uint8Array.from([1, 2, 3])
  for (const data of ['text', bytes, bytes.buffer, { a: 1 }, 'x'.repeat(200), 'ü'.repeat(70_000), '']) {
    expect(manager.send(connection.id, data)).toBe(true)
  }
  for (const expected of [
    'text',
    Buffer.from(bytes),
    Buffer.from(bytes),
    { a: 1 },
    'x'.repeat(200),
    'ü'.repeat(70_000),
    '',
  ]) {
    expect(await client.inbox.next()).toEqual(expected)
  }
  expect(() => manager.send('nobody', 'x')).toThrow(WebSocketError)
  expect(() => manager.send('nobody', 'x')).toThrow(expect.objectContaining({ connectionId: 'nobody' }))
})

test('all are sent to, or those of a filter', async () => {
  await using server = await serveManager()
  const clients = await Promise.all(Array.from({ length: 3 }, () => openClient(server.url)))
  const connections = [await server.told.next(), await server.told.next(), await server.told.next()]
  const [first] = connections
  expect(server.manager.broadcast({ to: 'all' })).toBe(3)
  expect(server.manager.broadcast('some', (connection) => connection !== first?.connection)).toBe(2)
  expect(server.manager.broadcast(Buffer.from('end'))).toBe(3)
  let some = 0
  for (const client of clients) {
    expect(await client.inbox.next()).toEqual({ to: 'all' })
    const next = await client.inbox.next()
    if (next === 'some') some++
    expect(next === 'some' ? await client.inbox.next() : next).toEqual(Buffer.from('end'))
    await client[Symbol.asyncDispose]()
  }
  expect(some).toBe(2)
})

test('a handler that throws or rejects reaches onError, and the connection lives', async () => {
  const errors = new Inbox<Error>()
  await using server = await serveManager({
    handler: {
      onOpen() {
        throw new Error('open')
      },
      async onMessage(_connection, { data }) {
        await Promise.resolve()
        throw data === 'text' ? 'no error' : new Error('message')
      },
      onError: (_connection, error) => errors.push(error),
    },
  })
  await using client = await openClient(server.url)
  expect(await errors.next()).toMatchObject({ message: 'open' })
  client.send('text')
  expect(await errors.next()).toMatchObject({ name: 'WebSocketError', message: 'no error' })
  client.send('more')
  expect(await errors.next()).toMatchObject({ message: 'message' })
  expect(server.manager.getConnectionCount()).toBe(1)
})

test.each([
  ['without onError', {}],
  [
    'whose onError throws',
    {
      onError: () => {
        throw new Error('worse')
      },
    },
  ],
  ['whose onError rejects', { onError: () => Promise.reject(new Error('worse')) }],
])('a failing handler %s is logged, and nobody is harmed', async (_title, more) => {
  await using server = await serveManager({
    handler: { onMessage: () => Promise.reject(new Error('bad')), ...more },
  })
  await using client = await openClient(server.url)
  client.send('x')
  await vi.waitFor(() => expect(server.errors).toHaveLength(1))
  expect(server.errors[0]).toMatchObject({ path: '/ws', error: expect.any(Error) })
  expect(server.manager.getConnectionCount()).toBe(1)
})

test('a handler may close, send and look around in each of its calls', async () => {
  await using server = await serveManager({ messagesPerSecond: 0 })
  const { manager } = server
  manager.registerHandler('/self', {
    onOpen: ({ id }) => manager.send(id, 'welcome'),
    onMessage: ({ id }, { data }) => manager.close(id, 4_001, typeof data === 'string' ? data : ''),
    onClose: ({ id }) => expect(manager.getConnection(id)).toBeUndefined(),
  })
  await using client = await openClient(server.url.replace('/ws', '/self'))
  expect(await client.inbox.next()).toBe('welcome')
  client.send('first')
  client.send('second')
  expect(await client.closed).toEqual({ code: 4_001, reason: 'first' })
})

test('close takes one out at once, and onClose is called once', async () => {
  await using server = await serveManager()
  await using client = await openClient(server.url)
  const { connection } = await server.told.next()
  expect(server.manager.close(connection.id, 1_000, 'bye')).toBe(true)
  expect(server.manager.getConnection(connection.id)).toBeUndefined()
  expect(() => server.manager.send(connection.id, 'x')).toThrow(WebSocketError)
  expect(await client.closed).toEqual({ code: 1_000, reason: 'bye' })
  expect(await server.told.next()).toMatchObject({ what: 'close', data: { code: 1_000, reason: 'bye' } })
  expect(server.manager.close(connection.id)).toBe(false)
  expect(server.told.size).toBe(0)
})

test.each([
  [999, ''],
  [1_005, ''],
  [1_006, ''],
  [2_000, ''],
  [5_000, ''],
  [1_000.5, ''],
  [1_000, 'x'.repeat(124)],
])('a close with %d and a reason like "%s" is refused, and closes nothing', async (code, reason) => {
  const manager = new WebSocketConnectionManager()
  const { id } = manager.handleConnection(foreignSocket(), '/')
  expect(() => manager.close(id, code, reason)).toThrow(WebSocketError)
  await expect(manager.closeAll(code, reason)).rejects.toThrow(WebSocketError)
  expect(manager.getConnectionCount()).toBe(1)
})

test('sockets of other frameworks are served by the low-level methods', async () => {
  const told = new Inbox<Told>()
  const manager = new WebSocketConnectionManager()
  manager.registerHandler('/x', tellingHandler(told))
  const socket = foreignSocket()
  const { id } = manager.handleConnection(socket, '/x', { id: 'ada' })
  manager.handleMessage(id, 'text', false)
  manager.handleMessage(id, Buffer.from('bytes as text'), false)
  manager.handleMessage(id, [Buffer.from('in '), Buffer.from('parts')], false)
  manager.handleMessage(id, Uint8Array.from([7]), true)
  manager.handleMessage(id, '{"type":"pong","timestamp":1}', false)
  manager.handleError(id, new Error('reset'))
  manager.send(id, { hello: 'you' })
  manager.handleClose(id, 1_001, 'left')
  manager.handleMessage(id, 'late', false)
  manager.handleClose(id, 1_001, 'left')
  const calls = await Promise.all(Array.from({ length: 7 }, () => told.next()))
  expect(calls.map(({ what, data }) => [what, data])).toEqual([
    ['open', undefined],
    ['message', 'text'],
    ['message', 'bytes as text'],
    ['message', 'in parts'],
    ['message', Uint8Array.from([7]).buffer],
    ['error', expect.objectContaining({ message: 'reset' })],
    ['close', { code: 1_001, reason: 'left' }],
  ])
  expect(told.size).toBe(0)
  expect(socket.sent).toEqual(['{"hello":"you"}'])
})

test('a message over the limit is refused with the connection it is of, and closed with 1009', () => {
  const manager = new WebSocketConnectionManager({ maxMessageSize: 10 })
  const socket = foreignSocket()
  const { id } = manager.handleConnection(socket, '/')
  manager.handleMessage(id, 'ü'.repeat(5), false)
  expect(() => manager.handleMessage(id, `${'ü'.repeat(5)}x`, false)).toThrow(
    expect.objectContaining({
      name: 'WebSocketError',
      message: 'Message exceeds max size (10 bytes)',
      connectionId: id,
      code: 'payload-too-large',
    }),
  )
  expect(socket.closed).toEqual([[1_009, 'payload-too-large']])
})

test('text that is no UTF-8 is refused, and closed with 1007', () => {
  const manager = new WebSocketConnectionManager()
  const socket = foreignSocket()
  const { id } = manager.handleConnection(socket, '/')
  expect(() => manager.handleMessage(id, Buffer.from([0xff]), false)).toThrow(WebSocketError)
  expect(socket.closed).toEqual([[1_007, 'invalid-frame']])
})

test('a socket that throws where it is closed harms nobody', async () => {
  const manager = new WebSocketConnectionManager({ logger: recordingLogger() })
  const dead = {
    send: () => {
      throw new Error('closed')
    },
    close: () => {
      throw new Error('closed')
    },
  }
  const { id } = manager.handleConnection(dead, '/')
  const alive = foreignSocket()
  manager.handleConnection(alive, '/')
  expect(manager.broadcast('x')).toBe(1)
  expect(manager.send(id, 'x')).toBe(false)
  const done = manager.closeAll(1_001, 'x')
  expect(manager.getConnectionCount()).toBe(0)
  await done
})

test('who is one too many is told how many there may be', () => {
  const manager = new WebSocketConnectionManager({ maxConnections: 2 })
  const connections = [1, 2].map(() => manager.handleConnection(foreignSocket(), '/'))
  const more = (): unknown => manager.handleConnection(foreignSocket(), '/')
  expect(more).toThrow(WebSocketConnectionError)
  expect(more).toThrow('Maximum connections (2) reached')
  expect(more).toThrow(WebSocketError)
  manager.handleClose(connections[0]?.id ?? '', 1_000, '')
  expect(more).not.toThrow()
})

test.each([
  { maxConnections: -1 },
  { pingInterval: Number.NaN },
  { maxMessageSize: 0 },
  { maxBufferedBytes: 0 },
  { auth: { strategy: 'bearer' as const, cookieName: 'a b' } },
  { auth: { strategy: 'bearer' as const, cookieName: 'a' }, allowedOrigins: '*' as const },
])('a configuration such as %o is refused', (config) => {
  expect(() => new WebSocketConnectionManager(config)).toThrow(TypeError)
})

test('a path is served from when it is registered, and nothing else is; config.path needs no handler', async () => {
  await using server = await serveManager({ path: '/news' })
  const base = server.url.replace('/ws', '')
  await expect(openClient(`${base}/later`)).rejects.toThrow('404')
  server.manager.registerHandler('/later', {})
  await using later = await openClient(`${base}/later`)
  await using news = await openClient(`${base}/news`)
  expect(server.manager.broadcast('hi')).toBe(2)
  expect([await later.inbox.next(), await news.inbox.next()]).toEqual(['hi', 'hi'])
  expect(server.manager.getPaths()).toEqual(['/news', '/ws', '/later'])
})
