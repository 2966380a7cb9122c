import type { Runnable } from '@turnpike/agents'
import type { GatewayServerOptions } from '@turnpike/gateway/server'
import { Inbox } from '@turnpike/testkit'
import { type Socket, io } from 'socket.io-client'
import { expect, test } from 'vitest'
import { createThreadStream } from '@turnpike/gateway/thread-stream'
import { serveEntities } from '../src/transports/socket-io-entities.ts'
import { callingAgent } from './calling-agent.ts'
import { serve } from './server.ts'

interface Served extends AsyncDisposable {
  readonly baseUrl: string
  readonly gateway: Awaited<ReturnType<typeof serve>>['gateway']
}

async function serveSockets(
  agents: readonly Runnable[],
  options: GatewayServerOptions = {},
): Promise<Served> {
  const server = await serve(agents, options)
  const { server: http, gateway, baseUrl } = server
  const stream = createThreadStream({
    server: http,
    gateway,
    namespaces: (sockets) => serveEntities(gateway, sockets),
  })
  return {
    baseUrl,
    gateway,
    async [Symbol.asyncDispose]() {
      await stream.close()
      await server.close(0)
    },
  }
}

interface Told {
  readonly name: string
  readonly payload: Readonly<Record<string, unknown>>
}

/** The stock client of Socket.IO in the namespace of entities. */
class SocketEntity implements AsyncDisposable {
  readonly inbox = new Inbox<Told>({ name: 'events of an entity' })
  readonly socket: Socket
  readonly disconnected: Promise<string>

  constructor({ baseUrl }: Served, auth: object, transports = ['websocket']) {
    const more = { path: '/streaming', reconnection: false, forceNew: true }
    this.socket = io(`${baseUrl}/connections`, { ...more, auth, transports })
    this.socket.onAny((name: string, payload: Told['payload']) => this.inbox.push({ name, payload }))
    this.disconnected = new Promise((resolve) => this.socket.once('disconnect', resolve))
  }

  async request(command: string, payload: unknown): Promise<Readonly<Record<string, unknown>>> {
    return (await this.socket.timeout(10_000).emitWithAck(command, payload)) as Record<string, unknown>
  }

  register(...names: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
    return this.request('tool.register', { tools: names.map((name) => ({ name, description: name })) })
  }

  async call(): Promise<Told['payload'] & { callId: string }> {
    const calls = await this.inbox.until(({ name }) => name === 'tool.call')
    const { payload = {} } = calls.at(-1) ?? {}
    return { ...payload, callId: String(payload['callId']) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.disconnect()
  }
}

/** The calls of a run, as they ended. */
async function runOn({ baseUrl }: Served): Promise<unknown[]> {
  const body = JSON.stringify({ message: 'go' })
  const response = await fetch(`${baseUrl}/agents/caller/chat/stream`, { method: 'POST', body })
  const lines = (await response.text()).split('\n').filter((line) => line.startsWith('data: '))
  const events = lines.map((line) => JSON.parse(line.slice(6)) as Readonly<Record<string, unknown>>)
  return events.flatMap(({ type, result, error }) => {
    if (type === 'tool-call-result') return [result]
    return type === 'tool-call-error' ? [(error as { code: string }).code] : []
  })
}

test.each([['websocket'], ['polling']])('over %s, an agent calls a tool of an entity', async (transport) => {
  const agent = callingAgent([{ tool: 'shop_status', args: { order: 'A1' } }, 'Done.'], ['shop.*'])
  await using server = await serveSockets([agent])
  await using shop = new SocketEntity(server, { entity: 'shop' }, [transport])
  expect(await shop.register('status', 'refund')).toEqual({ ok: true, tools: 2, entity: 'shop' })
  expect(await shop.request('heartbeat', {})).toEqual({ ok: true })
  const run = runOn(server)
  const { callId, ...call } = await shop.call()
  expect(call).toMatchObject({ tool: 'status', args: { order: 'A1' }, user: 'anonymous' })
  expect(await shop.request('tool.result', { callId, result: { shipped: true } })).toEqual({ ok: true })
  expect(await run).toEqual([{ shipped: true }])
})

test('an error of the entity is the error of the call', async () => {
  const agent = callingAgent([{ tool: 'shop_status', args: {} }, 'Done.'], ['shop.status'])
  await using server = await serveSockets([agent])
  await using shop = new SocketEntity(server, { entity: 'shop' })
  await shop.register('status')
  const run = runOn(server)
  const { callId } = await shop.call()
  await shop.request('tool.error', { callId, error: 'No such order.' })
  expect(await run).toEqual(['tool-failed'])
})

test('an entity that disconnects ends its calls', async () => {
  const agent = callingAgent([{ tool: 'shop_status', args: {} }, 'Done.'], ['shop.*'])
  await using server = await serveSockets([agent])
  await using shop = new SocketEntity(server, { entity: 'shop' })
  await shop.register('status')
  const run = runOn(server)
  await shop.call()
  shop.socket.disconnect()
  expect(await run).toEqual(['entity-gone'])
  expect(server.gateway.entityTools.size).toBe(0)
})

test('a newer connection takes over from the older one, whatever wire that is on', async () => {
  await using server = await serveSockets([])
  await using older = new SocketEntity(server, { entity: 'shop' })
  await older.register('status')
  await using newer = new SocketEntity(server, { entity: 'shop' })
  await newer.register('status')
  expect(await older.inbox.next()).toMatchObject({ name: 'goodbye', payload: { code: 'entity-replaced' } })
  expect(await older.disconnected).toBe('io server disconnect')
  expect(server.gateway.entityTools.size).toBe(1)
})

test('a result from another socket is ignored, and without an ack that is told as an event', async () => {
  const agent = callingAgent([{ tool: 'shop_status', args: {} }, 'Done.'], ['shop.*'])
  await using server = await serveSockets([agent])
  await using shop = new SocketEntity(server, { entity: 'shop' })
  await shop.register('status')
  await using thief = new SocketEntity(server, { entity: 'thief' })
  await thief.register('status')
  const run = runOn(server)
  const { callId } = await shop.call()
  expect(await thief.request('tool.result', { callId, result: 'forged' })).toMatchObject({
    ok: false,
    error: { code: 'unknown-call' },
  })
  thief.socket.emit('tool.result', { callId, result: 'forged' })
  expect(await thief.inbox.next()).toMatchObject({
    name: 'command.error',
    payload: { command: 'tool.result', code: 'unknown-call' },
  })
  await shop.request('tool.result', { callId, result: 'true' })
  expect(await run).toEqual(['true'])
})

test('an entity is its token’s subject; without a good token it is not let in', async () => {
  const authenticate = async (token: string): Promise<{ id: string } | null> =>
    token === 'good' ? { id: 'warehouse' } : null
  await using server = await serveSockets([], { authenticate })
  await using shop = new SocketEntity(server, { token: 'good', entity: 'shop' })
  expect(await shop.register('status')).toMatchObject({ entity: 'warehouse' })
  await using refused = new SocketEntity(server, { token: 'bad' })
  const error = await new Promise<Error & { data?: unknown }>((resolve) =>
    refused.socket.once('connect_error', resolve),
  )
  expect(error.data).toMatchObject({ code: 'unauthorized' })
})

test('without a name, an entity is called by its connection', async () => {
  await using server = await serveSockets([])
  await using entity = new SocketEntity(server, {})
  const { entity: name } = await entity.register('status')
  expect(name).toBe(entity.socket.id)
  await using odd = new SocketEntity(server, { entity: { name: 'shop' } })
  expect(await odd.register('status')).toMatchObject({ error: { code: 'invalid-payload' } })
})

test('the commands of threads are not served here', async () => {
  await using server = await serveSockets([])
  await using shop = new SocketEntity(server, { entity: 'shop' })
  expect(await shop.request('thread.send', { message: 'hi' })).toMatchObject({
    error: { code: 'unknown-command' },
  })
})
