import { createAgent } from '@turnpike/agents'
import { demoModel } from '@turnpike/agents/demo'
import { type Server, createServer } from 'node:http'
import { expect, test } from 'vitest'
import { attachWebSocketTransport } from '@turnpike/gateway'
import { type WebSocketAuth, WebSocketConnectionManager } from '../src/manager/index.ts'
import { recordingLogger, testGateway } from './harness.ts'
import { shareGateway } from '../src/presets/shared-gateway.ts'
import { framesIn, openClient, rawSocket, serveManager } from './manager-server.ts'

interface Listening extends AsyncDisposable {
  readonly server: Server
  readonly url: string
}

async function listening(): Promise<Listening> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    server,
    url: `ws://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const bearer: WebSocketAuth = {
  strategy: 'bearer',
  validate: (token) => (token === 'good' ? { id: 'ada' } : null),
}

/** Says its name to who comes. */
function managerCalled(
  name: string,
  paths: readonly string[],
  auth?: WebSocketAuth,
): WebSocketConnectionManager {
  const manager = new WebSocketConnectionManager({ logger: recordingLogger(), ...(auth && { auth }) })
  for (const path of paths) manager.registerHandler(path, { onOpen: ({ socket }) => socket.send(name) })
  return manager
}

/** Who serves a path, if somebody does. */
async function whoServes(url: string): Promise<unknown> {
  await using client = await openClient(url)
  return client.inbox.next()
}

test.each(['first', 'last'])(
  'a manager with a handler at /ws has it, though it is attached %s',
  async (turn) => {
    await using at = await listening()
    const guarded = managerCalled('guarded', ['/ws'], bearer)
    const other = managerCalled('other', ['/other'])
    for (const manager of turn === 'first' ? [guarded, other] : [other, guarded]) manager.attach(at.server)
    expect(await whoServes(`${at.url}/ws?token=good`)).toBe('guarded')
    expect(await whoServes(`${at.url}/other`)).toBe('other')
    await using stranger = await openClient(`${at.url}/ws`)
    stranger.send({ type: 'auth', token: 'bad' })
    expect((await stranger.closed).code).toBe(4_401)
    expect([guarded, other].map((manager) => manager.getConnectionCount())).toEqual([0, 0])
  },
)

test.each(['first', 'last'])(
  'chat JSON keeps its /ws beside a manager of other paths, attached %s',
  async (turn) => {
    await using at = await listening()
    const attachChat = (): void =>
      attachWebSocketTransport(at.server, {
        helper: createAgent({ name: 'helper', model: demoModel(), register: false }),
      })
    const rooms = managerCalled('rooms', ['/rooms'])
    if (turn === 'last') attachChat()
    rooms.attach(at.server)
    if (turn === 'first') attachChat()
    expect(await whoServes(`${at.url}/rooms`)).toBe('rooms')
    await using chat = await openClient(`${at.url}/ws`)
    chat.send({ type: 'chat', message: '' })
    expect(await chat.inbox.next()).toMatchObject({ type: 'error' })
    if (turn === 'first') return
    expect(() => managerCalled('more', ['/v1/ws']).attach(at.server)).toThrow(TypeError)
  },
)

test('two handlers at one path of one server are refused, and those that were there stay', async () => {
  await using at = await listening()
  const first = managerCalled('first', ['/ws', '/a'])
  first.attach(at.server)
  const second = managerCalled('second', ['/b', '/a'])
  expect(() => second.attach(at.server)).toThrow(/^"\/a" is served by something else/)
  await expect(openClient(`${at.url}/b`)).rejects.toThrow('404')
  const third = managerCalled('third', ['/c'])
  third.attach(at.server)
  expect(() => third.registerHandler('/ws', {})).toThrow('"/ws"')
  expect(third.getHandler('/ws')).toBeUndefined()
  // Nor does another wire take a path away, or keep those it had got before it came to that one.
  const helper = createAgent({ name: 'helper', model: demoModel(), register: false })
  expect(() => attachWebSocketTransport(at.server, helper, { paths: ['/d', '/a'] })).toThrow('"/a"')
  await expect(openClient(`${at.url}/d`)).rejects.toThrow('404')
  expect(await whoServes(`${at.url}/a`)).toBe('first')
  // One's own is replaced as before.
  first.registerHandler('/a', { onOpen: ({ socket }) => socket.send('again') })
  expect(await whoServes(`${at.url}/a`)).toBe('again')
  expect(await whoServes(`${at.url}/ws`)).toBe('first')
  expect(await whoServes(`${at.url}/c`)).toBe('third')
})

const helper = createAgent({ name: 'helper', model: demoModel(), register: false })

/** What chat JSON answers to an empty message. */
async function chatCode(url: string): Promise<unknown> {
  await using chat = await openClient(url)
  chat.send({ type: 'chat', message: '' })
  const answer = await chat.inbox.next()
  return answer
}

test('a path of a wire is anybody’s once its gateway drains, and nobody’s before', async () => {
  await using at = await listening()
  const [first, second] = [testGateway([]), testGateway([])]
  attachWebSocketTransport(at.server, helper, { gateway: first })
  expect(() => attachWebSocketTransport(at.server, helper, { gateway: second })).toThrow('"/"')
  await first.drain(0)
  await expect(openClient(`${at.url}/ws`)).rejects.toThrow('503')
  managerCalled('it', ['/ws']).attach(at.server)
  attachWebSocketTransport(at.server, helper, { gateway: second, paths: ['/', '/v1/ws'] })
  expect(await whoServes(`${at.url}/ws`)).toBe('it')
  for (const path of ['/', '/v1/ws']) {
    expect(await chatCode(`${at.url}${path}`)).toMatchObject({ code: 'invalid-payload' })
  }
  expect(() => attachWebSocketTransport(at.server, helper, { gateway: second })).toThrow(TypeError)
  await second.drain(0)
})

test('a path that is named twice is served once, and is the gateway’s as long as that lasts', async () => {
  await using at = await listening()
  const gateway = testGateway([])
  attachWebSocketTransport(at.server, helper, { gateway, paths: ['/a', '/b', '/a'] })
  for (const path of ['/a', '/b']) {
    expect(await chatCode(`${at.url}${path}`)).toMatchObject({ code: 'invalid-payload' })
  }
  await gateway.drain(0)
})

test('a wire that cannot be put on a server holds no gateway', async () => {
  await using at = await listening()
  const held = shareGateway()
  managerCalled('it', ['/a']).attach(at.server)
  expect(() => attachWebSocketTransport(at.server, helper, { paths: ['/b', '/a'] })).toThrow(TypeError)
  expect(() => attachWebSocketTransport(at.server, JSON.parse('null'))).toThrow(TypeError)
  await held.release()
  expect(held.gateway.isDraining).toBe(true)
})

test('a path that was nobody’s is taken back by nobody who comes later without a handler', async () => {
  await using at = await listening()
  const early = managerCalled('early', [])
  early.attach(at.server)
  const owner = managerCalled('owner', ['/ws'])
  owner.attach(at.server)
  expect(() => early.registerHandler('/ws', {})).toThrow(TypeError)
  expect(await whoServes(`${at.url}/ws`)).toBe('owner')
})

test('what takes an attachment off takes no later one off', async () => {
  await using at = await listening()
  const manager = managerCalled('it', ['/ws'])
  const detach = manager.attach(at.server)
  detach()
  await expect(openClient(`${at.url}/ws`)).rejects.toThrow('404')
  manager.attach(at.server)
  detach()
  expect(await whoServes(`${at.url}/ws`)).toBe('it')
})

test('who brings a credential that may wait has to find room for that before the handshake', async () => {
  await using server = await serveManager({
    auth: { strategy: 'bearer', required: false, validate: () => new Promise(() => {}) },
    limits: { earlyConnections: 1 },
  })
  await using waiting = await openClient(`${server.url}?token=a`)
  await expect(openClient(`${server.url}?token=b`)).rejects.toThrow('503')
  await using other = await openClient(server.url)
  expect(await server.told.next()).toMatchObject({ what: 'open' })
  expect([waiting, other].map(({ socket }) => socket.readyState)).toEqual([1, 1])
})

test('a drain tells those that wait for a verdict, too', async () => {
  await using server = await serveManager({
    auth: { strategy: 'bearer', validate: () => new Promise(() => {}) },
  })
  const { ended } = await rawSocket(server.port, { path: '/ws?token=t' })
  await server.manager.drain({ windowMs: 100, retryAfterMs: 2_500 })
  expect(framesIn(await ended)).toEqual(['text:{"type":"shutdown","retryAfterMs":2500}', 'close:1012'])
})
