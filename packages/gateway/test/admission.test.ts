import { createServer } from 'node:http'
import { connect } from 'node:net'
import type { Principal } from '@turnpike/agents'
import { connectWebSocket, countingAgent, scriptedAgent } from '@turnpike/testkit'
import { WebSocketServer } from 'ws'
import { expect, test, vi } from 'vitest'
import { attachWebSocket } from '@turnpike/gateway/websocket'
import { threadStream } from '@turnpike/protocol/thread-stream'
import { testGateway } from './harness.ts'
import { serve } from './server.ts'

/** Accepts `user:<name>`, once the test lets it. */
function slowAuthenticator(): {
  authenticate: (token: string) => Promise<Principal | null>
  decide: () => void
} {
  const gate = Promise.withResolvers<void>()
  return {
    decide: gate.resolve,
    async authenticate(token) {
      await gate.promise
      if (token === 'user:broken') throw new Error('the identity provider is down')
      return token.startsWith('user:') ? { id: token.slice(5) } : null
    },
  }
}

const instant = async (token: string): Promise<Principal | null> =>
  token.startsWith('user:') ? { id: token.slice(5) } : null

const agents = [countingAgent()]
const wsOf = (baseUrl: string): string => `${baseUrl.replace('http', 'ws')}/stream`

test('frames sent right after open are kept while the verdict is out, and handled in order', async () => {
  const { authenticate, decide } = slowAuthenticator()
  await using server = await serve(agents, { authenticate })
  for (const headers of [{ authorization: 'Bearer user:ada' }, {}]) {
    await using client = await connectWebSocket({ url: wsOf(server.baseUrl), headers })
    const answers: Promise<unknown>[] = []
    if (!('authorization' in headers)) answers.push(client.request('auth', { token: 'user:ada' }))
    for (let i = 0; i < 20; i++) {
      answers.push(
        client.request('thread.send', {
          message: '1',
          threadId: 'early',
          whenBusy: 'enqueue',
          runId: `r${i}`,
        }),
      )
    }
    const settled = vi.fn()
    void Promise.race(answers).then(settled)
    await new Promise(setImmediate)
    expect(settled).not.toHaveBeenCalled()
    decide()
    const results = await Promise.all(answers)
    // One runs and eight wait; the rest finds the thread busy, in just this order.
    const sent = results.slice(-20) as { ok: boolean }[]
    expect(sent.slice(0, 9).every((answer) => answer.ok)).toBe(true)
  }
})

test('not a byte leaves a WebSocket before admission, after the handshake', async () => {
  const asked = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  await using server = await serve(agents, {
    async authenticate(token) {
      asked.resolve()
      await gate.promise
      return instant(token)
    },
  })
  const head = upgradeHead('/stream').replace('\r\n\r\n', '\r\nAuthorization: Bearer user:ada\r\n\r\n')
  const socket = connect(server.port, '127.0.0.1')
  socket.write(head)
  let received = ''
  socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')))
  const send = JSON.stringify({ id: 1, command: 'thread.send', payload: { message: '3' } })
  for (const text of ['{{{', send]) socket.write(textFrame(text))
  await asked.promise
  // Another one is let through meanwhile: the server had its time.
  expect((await fetch(`${server.baseUrl}/healthz`)).status).toBe(200)
  expect(received).toMatch(/^HTTP\/1\.1 101 [^]*\r\n\r\n$/)
  gate.resolve()
  await vi.waitFor(() => expect(received).toContain('"finish"'))
  socket.destroy()
})

test('not a byte of data leaves before admission over HTTP either, not even a head', async () => {
  const asked = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  await using server = await serve(agents, {
    async authenticate(token) {
      asked.resolve()
      await gate.promise
      return instant(token)
    },
  })
  const head = 'HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer user:ada\r\nConnection: close'
  for (const request of [
    `GET /agents ${head}\r\n\r\n`,
    `GET /threads/t/events ${head}\r\n\r\n`,
    `POST /agents/counter/chat/stream ${head}\r\nContent-Length: 15\r\n\r\n{"message":"1"}`,
  ]) {
    const socket = connect(server.port, '127.0.0.1', () => socket.write(request))
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    const ended = new Promise((resolve) => socket.once('close', resolve))
    await asked.promise
    // Another one is let through meanwhile: the server had its time.
    expect((await fetch(`${server.baseUrl}/healthz`)).status).toBe(200)
    expect(chunks).toEqual([])
    if (request.startsWith('POST')) gate.resolve()
    else socket.destroy()
    await ended
    expect(Buffer.concat(chunks).toString()).toMatch(request.startsWith('POST') ? /^HTTP\/1\.1 200/ : /^$/)
  }
})

test('too much before admission closes with 4429: in frames, and in bytes', async () => {
  const { authenticate } = slowAuthenticator()
  await using server = await serve(agents, { authenticate })
  for (const [count, size] of [
    [80, 10],
    [10, 50_000],
  ] as const) {
    await using client = await connectWebSocket({
      url: wsOf(server.baseUrl),
      headers: { authorization: 'Bearer user:a' },
    })
    for (let i = 0; i < count; i++) client.sendRaw('x'.repeat(size))
    expect((await client.closed).code).toBe(4429)
  }
})

test('sixty-four frames before admission are within the limit', async () => {
  const { authenticate, decide } = slowAuthenticator()
  await using server = await serve(agents, { authenticate })
  await using client = await connectWebSocket({
    url: wsOf(server.baseUrl),
    headers: { authorization: 'Bearer user:a' },
  })
  const answers = Array.from({ length: 64 }, (_, i) => client.request('run.cancel', { runId: `${i}` }))
  decide()
  expect(
    (await Promise.all(answers)).every((answer) => !answer.ok && answer.error.code === 'unknown-run'),
  ).toBe(true)
})

test('who does not authenticate in time is closed with 4408, however much it sends', async () => {
  const { authenticate } = slowAuthenticator()
  await using server = await serve(agents, { authenticate, limits: { earlyMs: 200 } })
  await using silent = await connectWebSocket({ url: wsOf(server.baseUrl) })
  await using waiting = await connectWebSocket({ url: wsOf(server.baseUrl) })
  waiting.sendRaw(JSON.stringify({ id: 1, command: 'auth', payload: { token: 'user:ada' } }))
  const chatter = setInterval(() => waiting.sendRaw('{}'), 20)
  expect((await silent.closed).code).toBe(4408)
  expect((await waiting.closed).code).toBe(4408)
  clearInterval(chatter)
})

test.each([
  ['a wrong token', { authorization: 'Bearer nobody' }],
  ['an empty token', { authorization: 'Bearer ' }],
  ['another scheme', { authorization: 'Basic dXNlcjp4' }],
])('%s is refused with a goodbye and 4401', async (_title, headers) => {
  const { authenticate, decide } = slowAuthenticator()
  decide()
  await using server = await serve(agents, { authenticate })
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl), headers })
  expect(await client.inbox.next()).toEqual({ type: 'goodbye', code: 'unauthorized' })
  expect((await client.closed).code).toBe(4401)
})

test('a first message that is not auth is refused with 4401', async () => {
  await using server = await serve(agents, { authenticate: instant })
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl) })
  const answer = await client.request('thread.send', { message: 'x' })
  expect(answer).toMatchObject({ ok: false, error: { code: 'unauthorized' } })
  expect((await client.closed).code).toBe(4401)
})

test('a token can be renewed on a live connection, for the same user only', async () => {
  await using server = await serve(agents, { authenticate: instant })
  await using client = await connectWebSocket({
    url: wsOf(server.baseUrl),
    headers: { authorization: 'Bearer user:ada' },
  })
  expect(await client.request('auth', { token: 'user:ada' })).toMatchObject({ ok: true })
  expect(await client.request('auth', { token: 'user:bob' })).toMatchObject({ error: { code: 'forbidden' } })
  expect(await client.request('auth', { token: 'wrong' })).toMatchObject({ error: { code: 'unauthorized' } })
  expect(await client.request('thread.send', { message: '3' })).toMatchObject({ ok: true })
})

test('two users never meet: the same ids name different threads and runs', async () => {
  await using server = await serve(agents, { authenticate: instant })
  const as = (user: string): { headers: { authorization: string } } => ({
    headers: { authorization: `Bearer user:${user}` },
  })
  await using ada = await connectWebSocket({ url: wsOf(server.baseUrl), ...as('ada') })
  await using bob = await connectWebSocket({ url: wsOf(server.baseUrl), ...as('bob') })
  await ada.request('thread.send', { message: '1', threadId: 'default', runId: 'r' })
  await ada.inbox.until((frame) => frame.type === 'finish')
  expect(await bob.request('thread.subscribe', { threadId: 'default' })).toMatchObject({
    error: { code: 'unknown-thread' },
  })
  expect(await bob.request('run.cancel', { runId: 'r' })).toMatchObject({ error: { code: 'unknown-run' } })
  for (const path of ['/threads/default/messages', '/threads/default/events']) {
    expect((await fetch(server.baseUrl + path, as('bob'))).status).toBe(404)
    expect((await fetch(server.baseUrl + path)).status).toBe(401)
  }
  expect(await (await fetch(`${server.baseUrl}/threads`, as('bob'))).json()).toEqual({ threads: [] })
})

test.each([
  ['no origin', undefined, true],
  ['the page itself', 'self', true],
  ['a listed origin', 'https://app.example', true],
  ['another origin', 'https://evil.example', false],
  ['a listed origin with a longer name', 'https://app.example.evil.example', false],
  ['a sandboxed page', 'null', false],
  ['another port of this host', 'http://127.0.0.1:1', false],
])('a browser from %s', async (_title, from, allowed) => {
  await using server = await serve(agents, { allowedOrigins: ['https://app.example'] })
  const origin = from === 'self' ? server.baseUrl : from
  const headers = origin === undefined ? {} : { origin }
  const opened = connectWebSocket({ url: wsOf(server.baseUrl), headers })
  if (allowed) await (await opened).close()
  else await expect(opened).rejects.toMatchObject({ status: 403 })
  const response = await fetch(`${server.baseUrl}/agents`, { headers })
  expect(response.status).toBe(allowed ? 200 : 403)
  expect(response.headers.get('access-control-allow-origin')).toBe(allowed ? (origin ?? null) : null)
})

test('a name that points here by somebody else\u2019s DNS is no origin of ours', async () => {
  await using server = await serve(agents)
  const host = `evil.example:${server.port}`
  for (const headers of [{ host, origin: `http://${host}` }, { host }]) {
    const opened = connectWebSocket({ url: wsOf(server.baseUrl), headers })
    await expect(opened).rejects.toMatchObject({ status: 403 })
  }
  for (const named of ['localhost', '[::1]', 'gateway']) {
    const headers = { host: `${named}:${server.port}` }
    await (await connectWebSocket({ url: wsOf(server.baseUrl), headers })).close()
  }
})

test('subprotocols: ours or none', async () => {
  await using server = await serve(agents)
  await using ours = await connectWebSocket({
    url: wsOf(server.baseUrl),
    protocols: ['other', 'turnpike.v1'],
  })
  expect(ours.protocol).toBe('turnpike.v1')
  await using none = await connectWebSocket({ url: wsOf(server.baseUrl), protocols: [] })
  expect(none.protocol).toBe('')
  const other = connectWebSocket({ url: wsOf(server.baseUrl), protocols: ['other'] })
  await expect(other).rejects.toMatchObject({ status: 400 })
})

test('a full server refuses before the handshake and says when to come back', async () => {
  await using server = await serve(agents, { limits: { connections: 1 } })
  await using first = await connectWebSocket({ url: wsOf(server.baseUrl) })
  await expect(connectWebSocket({ url: wsOf(server.baseUrl) })).rejects.toMatchObject({ status: 503 })
  const response = await fetch(`${server.baseUrl}/agents/counter/chat/stream`, {
    method: 'POST',
    body: '{"message":"1"}',
  })
  expect(response.status).toBe(503)
  expect(response.headers.get('retry-after')).toBe('1')
  await first.close()
  await vi.waitFor(async () => (await connectWebSocket({ url: wsOf(server.baseUrl) })).close())
})

test('upgrades: unknown paths get 404, odd targets and resets harm nobody', async () => {
  await using server = await serve(agents)
  const base = server.baseUrl.replace('http', 'ws')
  await expect(connectWebSocket({ url: `${base}/elsewhere` })).rejects.toMatchObject({ status: 404 })
  for (const target of ['//', '/%', '*', '/stream%00', 'http://[/stream']) {
    const answer = await rawUpgrade(server.port, target)
    expect(answer).toMatch(/^HTTP\/1\.1 4\d\d/)
  }
  for (let i = 0; i < 20; i++) {
    const socket = connect(server.port, '127.0.0.1')
    await new Promise((resolve) => socket.once('connect', resolve))
    socket.write(upgradeHead('/stream'))
    socket.resetAndDestroy()
  }
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl) })
  expect(await client.request('run.cancel', { runId: 'x' })).toMatchObject({ ok: false })
})

test('a path that somebody else serves on this port is left to them, whoever came first', async () => {
  for (const theirsFirst of [true, false]) {
    const server = createServer()
    const others = new WebSocketServer({ noServer: true })
    const attachOthers = (): void => {
      server.on('upgrade', (request, socket, head) => {
        if (request.url === '/theirs')
          others.handleUpgrade(request, socket, head, (websocket) => websocket.close(3000))
      })
    }
    if (theirsFirst) attachOthers()
    const gateway = testGateway([scriptedAgent('a', ['x'])])
    attachWebSocket(server, gateway, { path: '/stream', dialect: threadStream })
    if (!theirsFirst) attachOthers()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : 0
    const theirs = await connectWebSocket({ url: `ws://127.0.0.1:${port}/theirs`, protocols: [] })
    expect((await theirs.closed).code).toBe(3000)
    await using ours = await connectWebSocket({ url: `ws://127.0.0.1:${port}/stream`, protocols: [] })
    expect(await ours.request('thread.send', { message: 'm' })).toMatchObject({ ok: true })
    await gateway.drain(0)
    server.close()
  }
})

function upgradeHead(target: string): string {
  return (
    `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
  )
}

/** A whole text frame as a client sends it: masked, with zeros. */
function textFrame(text: string): Buffer {
  const payload = Buffer.from(text)
  return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]), payload])
}

async function rawUpgrade(port: number, target: string): Promise<string> {
  const socket = connect(port, '127.0.0.1', () => socket.write(upgradeHead(target)))
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}
