import { EventEmitter } from 'node:events'
import { Registry, defineAgent } from '@turnpike/agents'
import { type ServedAgents, createAgentWebSocketHandler } from '@turnpike/gateway'
import { WebSocketConnectionManager } from '@turnpike/gateway/manager'
import { countingAgent, puppetAgent } from '@turnpike/testkit'
import { describe, expect, test } from 'vitest'
import { type Told, chunksOf, serveAgents, until } from './agent-socket-server.ts'
import { testGateway } from './harness.ts'

describe('what is served', () => {
  test('may be one agent, several by name, a list, or a registry that grows', async () => {
    const registry = new Registry([countingAgent('first')])
    const given: readonly (readonly [ServedAgents, readonly string[]])[] = [
      [countingAgent('only'), ['only']],
      [{ a: countingAgent('x'), b: countingAgent('y') }, ['a', 'b']],
      [
        [countingAgent('x'), countingAgent('y')],
        ['x', 'y'],
      ],
      [registry, ['first', 'second']],
    ]
    for (const [agents, names] of given) {
      await using served = await serveAgents(agents)
      if (agents === registry) registry.add(countingAgent('second'))
      await using client = await served.connect()
      client.send({ type: 'generate', payload: { prompt: 'to 1' } })
      expect(await until(client, 'response')).toMatchObject([{ agent: names[0] }])
      for (const agent of names) {
        client.send({ type: 'generate', payload: { prompt: 'to 1', options: { agent } } })
        expect(await until(client, 'response')).toMatchObject([{ agent }])
      }
      client.send({ type: 'generate', payload: { prompt: 'hi', options: { agent: 'constructor' } } })
      expect(await until(client, 'response', 'error')).toMatchObject([{ code: 'unknown-agent' }])
    }
  })
})

describe('who somebody is', () => {
  const users = new Map([
    ['a', { id: 'ada' }],
    ['b', { id: 'bob' }],
  ])
  const auth = { strategy: 'apiKey' as const, validate: async (key: string) => users.get(key) ?? null }

  test('is what the manager says: sessions are of users', async () => {
    await using served = await serveAgents(countingAgent(), { auth })
    await using ada = await served.connect('?apiKey=a')
    ada.send({ type: 'generate', payload: { prompt: 'to 1', options: { sessionId: 'mine' } } })
    await until(ada, 'response')
    await using bob = await served.connect('?apiKey=b')
    bob.send({ type: 'generate', payload: { prompt: 'to 1', options: { sessionId: 'mine' } } })
    expect(await until(bob, 'response', 'error')).toMatchObject([{ type: 'response' }])
    const { gateway } = served
    for (const id of ['ada', 'bob']) {
      const thread = await gateway.access.threadToRead({ id }, 'mine')
      expect(thread.owner).toBe(id)
    }
  })

  test('where a gateway wants a credential, somebody whom the manager does not know has to bring one', async () => {
    const gateway = testGateway([], {
      authenticate: async (token) => (token === 'good' ? { id: 'ada' } : null),
    })
    await using served = await serveAgents(countingAgent(), { gateway })
    await using bad = await served.connect()
    bad.send({ type: 'auth', token: 'bad' })
    expect(await until(bad, 'error')).toMatchObject([{ code: 'unauthorized' }])
    expect(await bad.closed).toMatchObject({ code: 4401 })
    await using good = await served.connect()
    good.send({ type: 'auth', token: 'good' })
    good.send({ type: 'generate', payload: { prompt: 'to 1' } })
    expect(await until(good, 'response', 'error')).toMatchObject([{ type: 'response' }])
  })
})

test('a stranger who says nothing to a gateway that wants a credential does not stay', async () => {
  const gateway = testGateway([], { authenticate: async () => null, limits: { earlyMs: 50 } })
  await using served = await serveAgents(countingAgent(), { gateway })
  await using client = await served.connect()
  expect(await until(client, 'error')).toMatchObject([{ code: 'auth-timeout' }])
  expect(await client.closed).toMatchObject({ code: 4408 })
})

test('a user who is named by the first message is who asks, and not who was there before', async () => {
  const auth = { strategy: 'bearer' as const, required: false, validate: async (id: string) => ({ id }) }
  await using served = await serveAgents(countingAgent(), { auth })
  await using client = await served.connect()
  client.send({ type: 'auth', token: 'ada' })
  client.send({ type: 'generate', payload: { prompt: 'to 1', options: { sessionId: 's' } } })
  await until(client, 'response')
  const { access, sessions } = served.gateway
  expect(await access.threadToRead({ id: 'ada' }, 's')).toMatchObject({ owner: 'ada' })
  expect(sessions.list({ id: 'ada' })).toHaveLength(1)
})

describe('what is wrong', () => {
  test.each([
    ['no JSON', 'hello', 'invalid-frame'],
    ['no object', '[]', 'invalid-frame'],
    ['no type', '{"payload":{}}', 'invalid-frame'],
    ['an unknown type', '{"type":"__proto__"}', 'unknown-command'],
    ['no payload', '{"type":"generate"}', 'invalid-payload'],
    ['no prompt', '{"type":"stream","payload":{}}', 'invalid-payload'],
    ['an empty prompt', '{"type":"stream","payload":{"prompt":""}}', 'invalid-payload'],
    [
      'a warm model',
      '{"type":"stream","payload":{"prompt":"x","options":{"temperature":9}}}',
      'invalid-payload',
    ],
    [
      'half a token',
      '{"type":"stream","payload":{"prompt":"x","options":{"maxTokens":0.5}}}',
      'invalid-payload',
    ],
    [
      'an id that is an object',
      '{"type":"generate","payload":{"prompt":"x","requestId":{}}}',
      'invalid-payload',
    ],
    ['no tool', '{"type":"tool_call","payload":{}}', 'invalid-payload'],
    ['nothing to cancel', '{"type":"cancel","payload":{"requestId":"x"}}', 'unknown-run'],
    ['a depth', `{"type":"generate","payload":${'['.repeat(200)}${']'.repeat(200)}}`, 'too-deep'],
    ['bytes', Buffer.from('{"type":"generate"}'), 'invalid-frame'],
  ])('%s is told, and the next request is answered', async (_what, message, code) => {
    await using served = await serveAgents(countingAgent())
    await using client = await served.connect()
    client.send(message)
    expect(await until(client, 'error')).toMatchObject([{ type: 'error', error: expect.any(String), code }])
    client.send({ type: 'generate', payload: { prompt: 'to 1' } })
    expect(await until(client, 'response')).toMatchObject([{ content: '1 ' }])
  })

  test('is told with the id of its request, where that can be read', async () => {
    await using served = await serveAgents(countingAgent())
    await using client = await served.connect()
    client.send({ type: 'generate', payload: { prompt: '', requestId: 'r' } })
    expect(await until(client, 'error')).toMatchObject([{ code: 'invalid-payload', requestId: 'r' }])
  })

  test('an agent that fails tells nothing of why', async () => {
    await using served = await serveAgents(failingAgent)
    await using client = await served.connect()
    client.send({ type: 'stream', payload: { prompt: 'x', requestId: 1 } })
    expect(await until(client, 'error', 'stream_complete')).toEqual([
      expect.objectContaining({ type: 'stream_start' }),
      { type: 'error', error: 'The agent failed.', code: 'agent-failed', requestId: 1 },
    ])
  })
})

describe('connections', () => {
  test('a run outlives the connection that asked for it', async () => {
    const puppet = puppetAgent('puppet')
    await using served = await serveAgents(puppet)
    const client = await served.connect()
    client.send({ type: 'stream', payload: { prompt: 'x', options: { sessionId: 's' } } })
    const run = await puppet.nextRun()
    await client[Symbol.asyncDispose]()
    await run.say('still here')
    run.end()
    await using next = await served.connect()
    next.send({ type: 'generate', payload: { prompt: 'y', options: { sessionId: 's' } } })
    const second = await puppet.nextRun()
    expect(second.input.history.at(-1)).toMatchObject({
      role: 'assistant',
      status: 'done',
      parts: [{ type: 'text', text: 'still here' }],
    })
    second.end()
  })

  test('are told when the gateway goes', async () => {
    const served = await serveAgents(countingAgent())
    await using client = await served.connect()
    client.send({ type: 'generate', payload: { prompt: 'to 1' } })
    await until(client, 'response')
    await served.gateway.drain(0)
    expect(await until(client, 'error')).toMatchObject([{ code: 'draining' }])
    expect(await client.closed).toMatchObject({ code: 1012 })
    await served.manager.closeAll()
  })

  test('that say nothing are told, too, when the gateway goes', async () => {
    const served = await serveAgents(countingAgent())
    await using client = await served.connect()
    await client.inbox.next()
    await served.gateway.drain(0)
    expect(await until(client, 'error')).toMatchObject([{ code: 'draining' }])
    expect(await client.closed).toMatchObject({ code: 1012 })
    await served.manager.closeAll()
  })

  test('one more than the gateway takes is told so, and closed', async () => {
    const gateway = testGateway([], { limits: { connections: 1 } })
    await using served = await serveAgents(countingAgent(), { gateway })
    await using first = await served.connect()
    await first.inbox.next()
    await using second = await served.connect()
    expect(await until(second, 'error')).toMatchObject([{ code: 'too-many-connections' }])
    expect(await second.closed).toMatchObject({ code: 4513 })
  })

  test('a socket of another framework that was sent away is sent away once, and is served no more', async () => {
    const gateway = testGateway([], {
      authenticate: async (token) => (token === 'good' ? { id: 'ada' } : null),
    })
    const manager = new WebSocketConnectionManager({ pingInterval: 0 })
    manager.registerHandler('/ws', createAgentWebSocketHandler(countingAgent(), { gateway }))
    const socket = new ForeignSocket()
    const { id } = manager.handleConnection(socket, '/ws')
    const say = (message: object): void => manager.handleMessage(id, JSON.stringify(message), false)
    say({ type: 'auth', token: 'bad' })
    await socket.until('error')
    const told = socket.told.length
    for (let times = 0; times < 3; times++) say({ type: 'auth', token: 'good' })
    say({ type: 'generate', payload: { prompt: 'to 1' } })
    await new Promise(setImmediate)
    expect(socket.told).toHaveLength(told)
    expect(gateway.runs.count()).toMatchObject({ running: 0, queued: 0 })
    manager.handleClose(id, 4401, '')
    await gateway.drain(0)
  })

  test('a socket of another framework works as well, and is waited for', async () => {
    const gateway = testGateway([], { limits: { highWaterBytes: 65_536 } })
    const manager = new WebSocketConnectionManager({ pingInterval: 0 })
    manager.registerHandler(
      '/ws',
      createAgentWebSocketHandler(countingAgent('counter', 100_000), { gateway }),
    )
    const socket = new ForeignSocket()
    const { id } = manager.handleConnection(socket, '/ws')
    manager.handleMessage(id, JSON.stringify({ type: 'stream', payload: { prompt: 'to 30000' } }), false)
    await socket.until('stream_complete')
    expect(chunksOf(socket.told)).toBe(Array.from({ length: 30_000 }, (_, index) => `${index + 1} `).join(''))
    manager.handleClose(id, 1000, '')
    await gateway.drain(0)
  })
})

/** A socket that takes what it was sent only once nothing is sent and somebody looks again and again. */
class ForeignSocket extends EventEmitter {
  readonly told: Told[] = []
  #buffered = 0
  #looks = 0

  get bufferedAmount(): number {
    if (++this.#looks > 20) this.#buffered = 0
    return this.#buffered
  }

  send(data: string | Uint8Array): void {
    this.#buffered += data.length
    this.#looks = 0
    this.told.push(JSON.parse(String(data)) as Told)
    this.emit('told')
  }

  close(): void {}

  async until(type: string): Promise<void> {
    while (this.told.at(-1)?.type !== type) {
      await new Promise((resolve) => this.once('told', resolve))
    }
  }
}

const failingAgent = defineAgent({
  name: 'failing',
  register: false,
  // eslint-disable-next-line require-yield
  async *run() {
    throw new Error('a secret')
  },
})
