import { Inbox } from '@turnpike/testkit'
import { describe, expect, test } from 'vitest'
import { mintToken } from '../src/mint-token.ts'
import { serveTurnpike } from './start-turnpike.ts'

const FAST = { DEMO_TOKENS_PER_SECOND: '0' }
const TURNPIKE_TOKEN_SECRET = 'a secret of more than thirty-two bytes'

type Frame = Readonly<Record<string, unknown>> & { readonly type: string }

interface Client extends AsyncDisposable {
  readonly inbox: Inbox<Frame>
  readonly closed: Promise<number>
  send(frame: object): void
}

/** A stock WebSocket; resolves once it is open. */
async function open(url: string, path: string): Promise<Client> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`)
  const inbox = new Inbox<Frame>({ name: `frames of ${path}`, deadlineMs: 20_000 })
  socket.onmessage = ({ data }) => inbox.push(JSON.parse(String(data)) as Frame)
  const closed = new Promise<number>((resolve) => {
    socket.onclose = ({ code }) => resolve(code)
  })
  await new Promise((resolve, reject) => {
    socket.onopen = resolve
    socket.onerror = reject
  })
  return {
    inbox,
    closed,
    send: (frame) => socket.send(JSON.stringify(frame)),
    async [Symbol.asyncDispose]() {
      socket.close()
      await closed
    },
  }
}

const until = async (client: Client, type: string): Promise<Frame> =>
  (await client.inbox.until((frame) => frame.type === type)).at(-1) ?? { type: 'nothing' }

const get = async (url: string): Promise<unknown> => (await fetch(url)).json()

describe('turnpike serve', () => {
  test('has chat JSON over HTTP, with the agents and threads of the other wires', async () => {
    await using turnpike = await serveTurnpike(FAST)
    const { url } = turnpike
    const body = JSON.stringify({ message: 'Hello', sessionId: 's1' })
    const answer = await fetch(`${url}/v1/chat/demo`, { method: 'POST', body })
    expect(await answer.json()).toMatchObject({ agent: 'demo', sessionId: 's1', finishReason: 'stop' })
    expect(await get(`${url}/v1/agents`)).toEqual(await get(`${url}/agents`))
    const { messages } = (await get(`${url}/v1/sessions/s1`)) as { messages: unknown[] }
    expect(messages).toHaveLength(2)
    expect(await get(`${url}/threads/s1/messages`)).toMatchObject({ messages })
    for (const path of ['/health', '/healthz', '/readyz', '/agents', '/threads', '/metrics']) {
      expect((await fetch(`${url}${path}`)).status).toBe(200)
    }
    expect((await fetch(`${url}/v1/nothing`)).status).toBe(404)
    const headers = { origin: 'https://evil.example' }
    expect((await fetch(`${url}/v1/agents`, { headers })).status).toBe(403)
  })

  test('has the WebSocket of chat JSON', async () => {
    await using turnpike = await serveTurnpike(FAST)
    for (const path of ['/', '/ws', '/v1/ws']) {
      await using client = await open(turnpike.url, path)
      client.send({ type: 'chat', message: 'Hello' })
      expect(await until(client, 'done')).toMatchObject({ agent: 'demo', finishReason: 'stop' })
    }
  })

  test('has managed connections to the agents at /ws/agents, and tells how many', async () => {
    await using turnpike = await serveTurnpike(FAST)
    await using client = await open(turnpike.url, '/ws/agents')
    expect(await client.inbox.next()).toMatchObject({ type: 'connected' })
    client.send({ type: 'generate', payload: { prompt: 'Hello', options: { agent: 'demo' } } })
    expect(await until(client, 'response')).toMatchObject({ content: expect.stringMatching(/\w/) })
    expect(await get(`${turnpike.url}/health/websocket`)).toEqual({
      status: 'ok',
      connections: { total: 1, maxConnections: 1000, paths: { '/ws/agents': 1 } },
    })
  })

  test('asks on all of them who somebody is, where it asks at all', async () => {
    await using turnpike = await serveTurnpike({ ...FAST, TURNPIKE_TOKEN_SECRET })
    for (const path of ['/v1/agents', '/v1/sessions/s1']) {
      expect((await fetch(`${turnpike.url}${path}`)).status).toBe(401)
    }
    for (const path of ['/ws', '/ws/agents']) {
      await using client = await open(turnpike.url, path)
      client.send({ type: 'auth', token: 'none' })
      expect(await client.closed).toBe(4401)
    }
    const token = await mintToken({ TURNPIKE_TOKEN_SECRET }, { user: 'ada' })
    await using chat = await open(turnpike.url, '/ws')
    chat.send({ type: 'auth', token })
    chat.send({ type: 'chat', message: 'Hello', sessionId: 's1' })
    await until(chat, 'done')
    await using managed = await open(turnpike.url, '/ws/agents')
    managed.send({ type: 'auth', token })
    expect(await managed.inbox.next()).toMatchObject({ type: 'connected' })
    managed.send({ type: 'generate', payload: { prompt: 'Again', options: { sessionId: 's1' } } })
    await until(managed, 'response')
    const headers = { authorization: `Bearer ${token}` }
    const session = await fetch(`${turnpike.url}/v1/sessions/s1`, { headers })
    expect(((await session.json()) as { messages: unknown[] }).messages).toHaveLength(4)
  })
})

test.each([
  [10, {}],
  [2, { USER_CONNECTIONS: '2' }],
])('a user has room for %i connections over all wires, with %j', async (most, env) => {
  await using turnpike = await serveTurnpike({ ...FAST, TURNPIKE_TOKEN_SECRET, ...env })
  const token = await mintToken({ TURNPIKE_TOKEN_SECRET }, { user: 'ada' })
  await using clients = new AsyncDisposableStack()
  const come = async (path: string): Promise<Client> => {
    const client = clients.use(await open(turnpike.url, path))
    client.send({ type: 'auth', token })
    return client
  }
  for (let count = 0; count < most; count++) {
    const client = await come('/ws')
    client.send({ type: 'ping' })
    expect(await client.inbox.next()).toEqual({ type: 'pong' })
  }
  for (const path of ['/ws', '/ws/agents']) {
    const client = await come(path)
    expect(await until(client, 'error')).toMatchObject({ code: 'too-many-connections' })
    expect(await client.closed).toBe(4513)
  }
})

test('a user has room for any number of connections where that is wanted', async () => {
  const env = { ...FAST, TURNPIKE_TOKEN_SECRET, USER_CONNECTIONS: '0' }
  await using turnpike = await serveTurnpike(env)
  const token = await mintToken({ TURNPIKE_TOKEN_SECRET }, { user: 'service' })
  await using clients = new AsyncDisposableStack()
  for (let count = 0; count < 24; count++) {
    const client = clients.use(await open(turnpike.url, count % 2 ? '/ws' : '/ws/agents'))
    client.send({ type: 'auth', token })
    client.send(count % 2 ? { type: 'ping' } : { type: 'cancel', payload: { requestId: 1 } })
    if (count % 2) expect(await client.inbox.next()).toEqual({ type: 'pong' })
    else expect(await until(client, 'error')).toMatchObject({ code: 'unknown-run' })
  }
})

test('on SIGTERM, who waits on a socket still gets the whole answer, and the process ends', async () => {
  await using turnpike = await serveTurnpike({ DEMO_TOKENS_PER_SECOND: '60' })
  await using chat = await open(turnpike.url, '/ws')
  await using managed = await open(turnpike.url, '/ws/agents')
  await using idle = await open(turnpike.url, '/ws/agents')
  chat.send({ type: 'chat', message: 'Hello' })
  managed.send({ type: 'stream', payload: { prompt: 'Hello' } })
  await until(chat, 'chunk')
  await until(managed, 'chunk')
  const stopped = turnpike.stop('SIGTERM')
  expect(await until(chat, 'done')).toMatchObject({ finishReason: 'stop' })
  await until(managed, 'stream_complete')
  expect(await until(idle, 'error')).toMatchObject({ code: 'draining', retryAfterMs: expect.any(Number) })
  expect(await Promise.all([chat.closed, idle.closed])).toEqual([expect.any(Number), 1012])
  await managed.closed
  await stopped
})
