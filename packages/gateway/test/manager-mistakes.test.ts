import { Inbox } from '@turnpike/testkit'
import { type ErrorCode, GatewayError } from '@turnpike/protocol'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import {
  type WebSocketConnectionManager,
  WebSocketError,
  WebSocketMessageRouter,
} from '../src/manager/index.ts'
import { frame, openClient, rawSocket, serveManager } from './manager-server.ts'

const gone = '00000000-0000-4000-8000-000000000000'

function routerOf(manager: () => WebSocketConnectionManager): WebSocketMessageRouter {
  return new WebSocketMessageRouter()
    .route('say', { payload: z.string() }, () => 'said')
    .route('refuse', () => {
      throw new GatewayError('forbidden', 'Not you.')
    })
    .route('refuse-too', () => Promise.reject(new WebSocketError('Not you.', { code: 'forbidden' })))
    .route('fail', () => Promise.reject(new Error('no database')))
    .route('internal', () => Promise.reject(new WebSocketError('no database')))
    .route('send-to-nobody', () => manager().send(gone, 'x'))
    .route('send-nothing', ({ id }) => manager().send(id, new Blob([])))
}

test.each<[string, string, ErrorCode]>([
  ['no JSON', '{', 'invalid-frame'],
  ['no type', '{}', 'invalid-frame'],
  ['too deep', `{"type":"say","payload":${'['.repeat(40)}${']'.repeat(40)}}`, 'too-deep'],
  ['an unknown type', '{"type":"what"}', 'unknown-command'],
  ['a payload that its schema does not take', '{"type":"say","payload":1}', 'invalid-payload'],
  ['what a route refuses', '{"type":"refuse"}', 'forbidden'],
  ['what a route refuses later', '{"type":"refuse-too"}', 'forbidden'],
])('%s is told to its client, and is no error of the server', async (_title, sent, ...[code]) => {
  const router = routerOf(() => server.manager)
  await using server = await serveManager({
    handler: { onMessage: (connection, message) => router.handle(connection, message) },
  })
  await using client = await openClient(server.url)
  client.send(sent)
  expect(await client.inbox.next()).toMatchObject({ type: 'error', code })
  client.send('{"type":"say","payload":"x"}')
  expect(await client.inbox.next()).toMatchObject({ type: 'say' })
  expect(server.errors).toEqual([])
})

test.each<[string, string]>([
  ['fail', 'no database'],
  ['internal', 'no database'],
  ['send-to-nobody', `Connection ${gone} not found`],
  ['send-nothing', 'What is sent has to be text'],
])('what a route does wrong itself is logged: %s', async (type, words) => {
  const router = routerOf(() => server.manager)
  await using server = await serveManager({
    handler: { onMessage: (connection, message) => router.handle(connection, message) },
  })
  await using client = await openClient(server.url)
  client.send({ type })
  await client.inbox.next()
  await vi.waitFor(() => expect(server.errors).toHaveLength(1))
  expect(server.errors).toMatchObject([{ error: { message: expect.stringContaining(words) } }])
})

test('an error of which no client was told is logged, whatever its code', async () => {
  await using server = await serveManager({
    handler: { onMessage: () => Promise.reject(new GatewayError('forbidden', 'Not you.')) },
  })
  await using client = await openClient(server.url)
  client.send('x')
  await vi.waitFor(() => expect(server.errors).toMatchObject([{ error: { code: 'forbidden' } }]))
})

test.each([
  ['a message over the limit', frame({ payload: 'x'.repeat(200) })],
  ['what is not RFC 6455', frame({ payload: 'x', rsv: 7 })],
  ['text that is not UTF-8', frame({ payload: Uint8Array.from([0xff]) })],
])('%s reaches onError, and is no error of the server where there is none', async (_title, bytes) => {
  const errors = new Inbox<Error>()
  await using server = await serveManager({ maxMessageSize: 100, handler: {} })
  server.manager.registerHandler('/told', { onError: (_connection, error) => errors.push(error) })
  const quiet = await rawSocket(server.port)
  quiet.socket.write(bytes)
  await quiet.ended
  const told = await rawSocket(server.port, { path: '/told' })
  told.socket.write(bytes)
  expect(await errors.next()).toMatchObject({ name: 'WebSocketError' })
  await told.ended
  expect(server.errors).toEqual([])
})
