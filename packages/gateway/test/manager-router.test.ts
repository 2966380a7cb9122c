import { Inbox } from '@turnpike/testkit'
import { GatewayError } from '@turnpike/protocol'
import * as fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import {
  type WebSocketConnection,
  type WebSocketMessage,
  WebSocketError,
  WebSocketMessageRouter,
} from '../src/manager/index.ts'
import { openClient, serveManager } from './manager-server.ts'

function connectionOf(more: object = {}): WebSocketConnection & { sent: unknown[] } {
  const sent: unknown[] = []
  const socket = { send: (data: unknown) => sent.push(JSON.parse(String(data))), close: () => {}, ...more }
  return { id: 'c', socket, metadata: { path: '/' }, createdAt: 0, lastActivity: 0, sent }
}

const text = (data: string): WebSocketMessage => ({ type: 'text', data, timestamp: 0 })
const message = (fields: object): WebSocketMessage => text(JSON.stringify(fields))

test('a message goes to the route of its type, and what that gives is the reply', async () => {
  const seen = vi.fn()
  const router = new WebSocketMessageRouter()
    .route('add', async (connection, payload) => {
      seen(connection, payload)
      return { sum: 3 }
    })
    .route('rename', () => ({ type: 'renamed', payload: 'x' }))
    .route('quiet', () => undefined)
    .route('text', () => 'done')
  const connection = connectionOf()
  expect(await router.handle(connection, message({ type: 'add', payload: [1, 2] }))).toEqual({ sum: 3 })
  for (const type of ['rename', 'quiet', 'text']) await router.handle(connection, message({ type }))
  expect(seen).toHaveBeenCalledExactlyOnceWith(connection, [1, 2])
  expect(connection.sent).toEqual([
    { type: 'add', payload: { sum: 3 } },
    { type: 'renamed', payload: 'x' },
    { type: 'text', payload: 'done' },
  ])
  expect(router.getRoutes()).toEqual(['add', 'rename', 'quiet', 'text'])
})

test('a type has one route', async () => {
  const router = new WebSocketMessageRouter().route('a', () => 1)
  expect(() => router.route('a', () => 2)).toThrow(TypeError)
  expect(await router.handle(connectionOf(), message({ type: 'a' }))).toBe(1)
  expect(router.getRoutes()).toEqual(['a'])
})

test.each<[string, WebSocketMessage, string, string]>([
  [
    'binary',
    { type: 'binary', data: new ArrayBuffer(1), timestamp: 0 },
    'Message is not text',
    'invalid-frame',
  ],
  ['no JSON', text('{"type"'), 'Message is not JSON', 'invalid-frame'],
  ['empty', text(''), 'Message is not JSON', 'invalid-frame'],
  ['a number', text('7'), 'Message is not an object', 'invalid-frame'],
  ['null', text('null'), 'Message is not an object', 'invalid-frame'],
  ['an array', text('[{"type":"a"}]'), 'Message is not an object', 'invalid-frame'],
  ['without a type', message({ payload: 1 }), 'Message has no type', 'invalid-frame'],
  ['with an empty type', message({ type: '' }), 'Message has no type', 'invalid-frame'],
  ['with a type that is no text', message({ type: ['a'] }), 'Message has no type', 'invalid-frame'],
  ['of an unknown type', message({ type: 'b' }), 'Unknown message type: b', 'unknown-command'],
  [
    'of a type of every object',
    message({ type: 'constructor' }),
    'Unknown message type: constructor',
    'unknown-command',
  ],
  [
    'of the type __proto__',
    text('{"type":"__proto__"}'),
    'Unknown message type: __proto__',
    'unknown-command',
  ],
  [
    'too deep',
    text(`{"type":"a","payload":${'['.repeat(40)}${']'.repeat(40)}}`),
    'JSON may be nested',
    'too-deep',
  ],
])('a message that is %s is rejected, and its client told', async (...row) => {
  const [, bad, words, code] = row
  const route = vi.fn()
  const router = new WebSocketMessageRouter().route('a', route)
  const connection = connectionOf()
  const error = await router.handle(connection, bad).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(WebSocketError)
  expect(error).toMatchObject({ message: expect.stringContaining(words), code, connectionId: 'c' })
  expect(connection.sent).toEqual([{ type: 'error', error: expect.stringContaining(words), code }])
  expect(route).not.toHaveBeenCalled()
})

test('a schema decides what a payload may be, and makes of it what the route gets', async () => {
  const router = new WebSocketMessageRouter().route(
    'add',
    { payload: z.object({ a: z.number(), b: z.coerce.number().default(1) }) },
    (_connection, { a, b }) => a + b,
  )
  const connection = connectionOf()
  expect(await router.handle(connection, message({ type: 'add', payload: { a: 1, b: '2' } }))).toBe(3)
  expect(await router.handle(connection, message({ type: 'add', payload: { a: 1, more: true } }))).toBe(2)
  const wrong = router.handle(connection, message({ type: 'add', id: 7, payload: { a: 'x' } }))
  await expect(wrong).rejects.toMatchObject({ name: 'WebSocketError', code: 'invalid-payload' })
  expect(connection.sent.at(-1)).toEqual({
    type: 'error',
    error: expect.stringContaining('"payload.a"'),
    code: 'invalid-payload',
    id: 7,
  })
})

test('a schema that decides later is waited for', async () => {
  const payload = z.string().refine(async (word) => word === 'open')
  const router = new WebSocketMessageRouter().route('door', { payload }, (_connection, word) => word)
  expect(await router.handle(connectionOf(), message({ type: 'door', payload: 'open' }))).toBe('open')
  await expect(router.handle(connectionOf(), message({ type: 'door', payload: 'x' }))).rejects.toThrow(
    'payload',
  )
})

test('an async generator replies with each yield, under the id of the request', async () => {
  const router = new WebSocketMessageRouter().route('count', async function* (_connection, payload) {
    for (let i = 1; i <= Number(payload); i++) yield i
    yield { type: 'counted' }
  })
  const connection = connectionOf()
  expect(await router.handle(connection, message({ type: 'count', payload: 2, requestId: 'r' }))).toEqual({
    type: 'counted',
  })
  expect(connection.sent).toEqual([
    { type: 'count', payload: 1, requestId: 'r' },
    { type: 'count', payload: 2, requestId: 'r' },
    { type: 'counted', requestId: 'r' },
  ])
})

test.each([
  ['an id', { id: 1 }, { id: 1 }],
  ['another name for it', { requestId: 'r' }, { requestId: 'r' }],
  ['both', { id: 'a', requestId: 'b' }, { id: 'a', requestId: 'b' }],
  ['an id that is none', { id: { a: 1 } }, {}],
  ['an endless id', { id: 'x'.repeat(257) }, {}],
])('%s is echoed, on replies and on errors', async (_title, ids, echoed) => {
  const router = new WebSocketMessageRouter().route('a', () => 'x')
  const connection = connectionOf()
  await router.handle(connection, message({ type: 'a', ...ids }))
  await expect(router.handle(connection, message({ type: 'b', ...ids }))).rejects.toThrow()
  expect(connection.sent).toEqual([
    { type: 'a', payload: 'x', ...echoed },
    { type: 'error', error: 'Unknown message type: b', code: 'unknown-command', ...echoed },
  ])
})

test.each([
  [
    'an error of its own',
    new Error('the password is 123'),
    'internal',
    'Something went wrong on the server.',
  ],
  [
    'one that may be shown',
    new GatewayError('unknown-agent', 'No such agent.'),
    'unknown-agent',
    'No such agent.',
  ],
  ['one of the manager', new WebSocketError('Not now', { code: 'forbidden' }), 'forbidden', 'Not now'],
])('a route that throws %s rejects, and its client learns what may be shown', async (...row) => {
  const [, thrown, code, error] = row
  const router = new WebSocketMessageRouter()
    .route('a', () => Promise.reject(thrown))
    // oxlint-disable-next-line require-yield
    .route('b', async function* () {
      throw thrown
    })
  const connection = connectionOf()
  for (const type of ['a', 'b']) {
    await expect(router.handle(connection, message({ type }))).rejects.toThrow(thrown.message)
    expect(connection.sent.pop()).toEqual({ type: 'error', error, code })
  }
})

test('a generator whose peer has gone is ended', async () => {
  const ended = vi.fn()
  const socket = { readyState: 1 }
  const router = new WebSocketMessageRouter().route('count', async function* () {
    try {
      for (let i = 0; ; i++) yield i
    } finally {
      ended()
    }
  })
  const connection = connectionOf()
  const sent: unknown[] = []
  const closing = {
    get readyState() {
      return socket.readyState
    },
    close: () => {},
    send: (data: unknown) => {
      if (sent.push(data) === 3) socket.readyState = 3
    },
  }
  await router.handle({ ...connection, socket: closing }, message({ type: 'count' }))
  expect(ended).toHaveBeenCalledTimes(1)
  expect(sent).toHaveLength(3)
})

test('a generator waits for a slow peer, and goes on where it was', async () => {
  const asked = { count: 0 }
  const router = new WebSocketMessageRouter().route('flood', async function* () {
    for (; asked.count < 2_000; asked.count++) yield 'x'.repeat(16_384)
    yield { type: 'end' }
  })
  const done = new Inbox<void>()
  await using server = await serveManager({
    handler: {
      onMessage: async (connection, received) => {
        await router.handle(connection, received)
        done.push()
      },
    },
  })
  await using client = await openClient(server.url)
  client.socket.pause()
  client.send({ type: 'flood' })
  const [connection] = await vi.waitFor(() => {
    const all = server.manager.getAllConnections()
    expect(all[0]?.socket.bufferedAmount).toBeGreaterThan(262_144)
    return all
  })
  expect(connection?.socket.bufferedAmount).toBeLessThan(1_048_576)
  expect(asked.count).toBeLessThan(2_000)
  client.socket.resume()
  const replies = await client.inbox.until((reply) => (reply as { type: string }).type === 'end')
  expect(replies).toHaveLength(2_001)
  await done.next()
})

test('on a manager, what is wrong is told to client and onError, and the next message is served', async () => {
  const errors = new Inbox<Error>()
  const router = new WebSocketMessageRouter().route('echo', (_connection, payload) => payload)
  await using server = await serveManager({
    handler: {
      onMessage: (connection, received) => router.handle(connection, received),
      onError: (_connection, error) => errors.push(error),
    },
  })
  await using client = await openClient(server.url)
  client.send('{')
  client.send({ type: 'echo', id: 1, payload: 'hi' })
  expect(await client.inbox.next()).toEqual({
    type: 'error',
    error: 'Message is not JSON',
    code: 'invalid-frame',
  })
  expect(await client.inbox.next()).toEqual({ type: 'echo', payload: 'hi', id: 1 })
  expect(await errors.next()).toMatchObject({ name: 'WebSocketError', message: 'Message is not JSON' })
})

test('whatever JSON comes, it is either routed or rejected with a WebSocketError', async () => {
  const router = new WebSocketMessageRouter().route('a', () => 'ok')
  const Any = fc.oneof(
    fc.jsonValue(),
    fc.record({ type: fc.constantFrom('a', 'b', 1), payload: fc.jsonValue() }),
  )
  await fc.assert(
    fc.asyncProperty(Any, async (value) => {
      const outcome = await router
        .handle(connectionOf(), text(JSON.stringify(value)))
        .catch((thrown: unknown) => thrown)
      const isRouted =
        typeof value === 'object' && value !== null && !Array.isArray(value) && value['type'] === 'a'
      if (isRouted && !(outcome instanceof WebSocketError && outcome.code === 'too-deep'))
        expect(outcome).toBe('ok')
      else expect(outcome).toBeInstanceOf(WebSocketError)
    }),
  )
})
