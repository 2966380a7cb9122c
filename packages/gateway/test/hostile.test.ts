import { connect } from 'node:net'
import {
  type WebSocketClient,
  connectWebSocket,
  countingAgent,
  openEventStream,
  puppetAgent,
} from '@turnpike/testkit'
import { LIMITS } from '@turnpike/protocol'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { serve } from './server.ts'

const wsOf = (baseUrl: string): string => `${baseUrl.replace('http', 'ws')}/stream`

/** A limit that hostile input in bulk does not run into, where the rate is not what is tested. */
const fast = { framesPerSecond: 1_000_000, frameBurst: 1_000_000 }

async function refused(client: WebSocketClient, data: string | Uint8Array): Promise<unknown> {
  client.sendRaw(data)
  return client.inbox.next()
}

test.each([
  ['no JSON', '{"id":1', 'invalid-frame', null],
  ['empty', '', 'invalid-frame', null],
  ['no object', '7', 'invalid-frame', null],
  ['an array', '[]', 'invalid-frame', null],
  ['no id', '{"command":"run.cancel","payload":{}}', 'invalid-frame', null],
  ['an id that is no name', '{"id":{},"command":"run.cancel"}', 'invalid-frame', null],
  ['an endless id', `{"id":"${'x'.repeat(300)}","command":"run.cancel"}`, 'invalid-frame', null],
  ['no command', '{"id":1}', 'invalid-frame', null],
  [
    'too deep',
    `{"id":1,"command":"run.cancel","payload":${'['.repeat(40)}${']'.repeat(40)}}`,
    'too-deep',
    null,
  ],
  ['binary', new Uint8Array([1, 2, 3]), 'invalid-frame', null],
  ['an unknown command', '{"id":1,"command":"run.start","payload":{}}', 'unknown-command', 1],
  ['a command of every object', '{"id":1,"command":"constructor","payload":{}}', 'unknown-command', 1],
  [
    '__proto__ as a command',
    '{"id":"__proto__","command":"__proto__","payload":{}}',
    'unknown-command',
    '__proto__',
  ],
  ['no payload', '{"id":1,"command":"thread.send"}', 'invalid-payload', 1],
  ['a payload of the wrong type', '{"id":1,"command":"thread.send","payload":"hi"}', 'invalid-payload', 1],
  ['an empty message', '{"id":1,"command":"thread.send","payload":{"message":""}}', 'invalid-payload', 1],
  [
    'a message of no parts',
    '{"id":1,"command":"thread.send","payload":{"message":{"parts":[]}}}',
    'invalid-payload',
    1,
  ],
  [
    'control characters in an id',
    '{"id":1,"command":"thread.subscribe","payload":{"threadId":"a\\nb"}}',
    'invalid-payload',
    1,
  ],
  [
    'an unknown agent',
    '{"id":1,"command":"thread.send","payload":{"message":"x","agent":"__proto__"}}',
    'unknown-agent',
    1,
  ],
  [
    'a foreign approval',
    '{"id":1,"command":"approval.resolve","payload":{"approvalId":"a","approved":true}}',
    'unknown-approval',
    1,
  ],
])('a frame with %s is answered with its error, and the connection goes on', async (...row) => {
  const [, frame, code, id] = row
  await using server = await serve([countingAgent()])
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl) })
  expect(await refused(client, frame)).toMatchObject({
    id,
    ok: false,
    error: { code, message: expect.any(String) },
  })
  expect(await client.request('thread.send', { message: '1' })).toMatchObject({ ok: true })
})

test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', '', '\u202e'].map((name) => [name]))(
  'an id called %j names what was made under it, and nothing else',
  async (name) => {
    await using server = await serve([countingAgent()])
    await using client = await connectWebSocket({ url: wsOf(server.baseUrl) })
    if (name !== '') {
      expect(await client.request('thread.subscribe', { threadId: name })).toMatchObject({
        error: { code: 'unknown-thread' },
      })
      expect(await client.request('run.cancel', { runId: name })).toMatchObject({
        error: { code: 'unknown-run' },
      })
    }
    const answer = await client.request('thread.send', { message: '3', threadId: name, runId: name })
    expect(answer.ok).toBe(name !== '')
    if (!answer.ok) return
    const finish = (await client.inbox.until((frame) => frame.type === 'finish')).at(-1)
    expect(finish).toMatchObject({ threadId: name, runId: name, text: '1 2 3 ' })
    const path = `${server.baseUrl}/threads/${encodeURIComponent(name)}/messages`
    expect(((await (await fetch(path)).json()) as { messages: unknown[] }).messages).toHaveLength(2)
  },
)

test('a frame over the limit closes with 1009, a body over it is refused with 413', async () => {
  await using server = await serve([countingAgent()])
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl) })
  client.sendRaw('x'.repeat(LIMITS.frameBytes + 1))
  expect((await client.closed).code).toBe(1009)
  const within = JSON.stringify({ message: `1${' '.repeat(LIMITS.frameBytes - 20)}` })
  for (const [body, status] of [
    [within.slice(0, LIMITS.frameBytes + 1), 200],
    [`${within}${' '.repeat(100)}`, 413],
  ] as const) {
    const response = await fetch(`${server.baseUrl}/agents/counter/chat/stream`, { method: 'POST', body })
    expect(response.status).toBe(status)
    await response.text()
  }
})

test('violations of the WebSocket protocol close with the code of the RFC', async () => {
  await using server = await serve([countingAgent()])
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n'
  const head = `GET /stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${key}\r\n`
  for (const [bytes, code] of [
    [[0x81, 0x01, 0x41], 1002], // not masked
    [[0xc1, 0x80, 0, 0, 0, 0], 1002], // a reserved bit
    [[0x83, 0x80, 0, 0, 0, 0], 1002], // an unknown opcode
    [[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007], // no UTF-8
  ] as const) {
    const socket = connect(server.port, '127.0.0.1', () => socket.write(head))
    const received: Buffer[] = []
    socket.on('data', (chunk: Buffer) => {
      if (received.push(chunk) === 1) socket.write(Uint8Array.from(bytes))
    })
    await new Promise((resolve) => socket.once('close', resolve))
    const all = Buffer.concat(received)
    expect(all.readUInt16BE(all.indexOf('\r\n\r\n') + 4 + 2)).toBe(code)
  }
})

test('too fast: what is too much is refused with when to come back, the rest is handled', async () => {
  await using server = await serve([countingAgent()])
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl) })
  const answers = await Promise.all(
    Array.from({ length: 150 }, () => client.request('run.cancel', { runId: 'x' })),
  )
  const codes = answers.map((answer) => (answer.ok ? '' : answer.error.code))
  expect(codes.slice(0, 100)).toEqual(Array.from({ length: 100 }, () => 'unknown-run'))
  const late = answers.filter((answer) => !answer.ok && answer.error.code === 'rate-limited')
  expect(late.length).toBeGreaterThan(30)
  expect(late[0]).toMatchObject({ error: { retryAfterMs: 20 } })
})

test('a flood that does not stop is closed with 4529, and its neighbour is not disturbed', async () => {
  const agent = puppetAgent('puppet')
  await using server = await serve([agent])
  await using neighbour = await connectWebSocket({ url: wsOf(server.baseUrl) })
  await neighbour.request('thread.send', { message: 'm' })
  const run = await agent.nextRun()
  await using flood = await connectWebSocket({ url: wsOf(server.baseUrl) })
  for (let i = 0; i < 2_000; i++) flood.sendRaw('not even JSON')
  await run.say('undisturbed')
  run.end()
  const frames = await neighbour.inbox.until((frame) => frame.type === 'finish')
  expect(frames.at(-1)).toMatchObject({ text: 'undisturbed' })
  expect((await flood.closed).code).toBe(4529)
})

test('no more threads are followed on one connection than the limit', async () => {
  await using server = await serve([countingAgent()], { limits: { ...fast, subscriptions: 3 } })
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl) })
  for (const threadId of ['a', 'b', 'c']) {
    expect(await client.request('thread.send', { message: '1', threadId })).toMatchObject({ ok: true })
  }
  expect(await client.request('thread.send', { message: '1', threadId: 'd' })).toMatchObject({
    error: { code: 'too-many-subscriptions' },
  })
  expect(await client.request('thread.send', { message: '1', threadId: 'a' })).toMatchObject({ ok: true })
  await client.request('thread.unsubscribe', { threadId: 'b' })
  expect(await client.request('thread.subscribe', { threadId: 'c' })).toMatchObject({ ok: true })
  expect(await client.request('thread.send', { message: '1', threadId: 'd' })).toMatchObject({ ok: true })
})

const oddValue = fc.oneof(
  fc.json(),
  fc.constantFrom('{"__proto__":{"admin":true}}', '"\\u0000"', '1e999', '-0', 'null', '[[[[]]]]'),
)
const name = fc.oneof(
  fc.constantFrom(
    'thread.send',
    'thread.subscribe',
    'thread.unsubscribe',
    'run.cancel',
    'approval.resolve',
    'auth',
  ),
  fc.constantFrom('__proto__', 'constructor', 'toString', ''),
  fc.string(),
)
const frame = fc.oneof(
  fc.string({ unit: 'binary' }),
  oddValue,
  fc
    .tuple(
      name,
      fc.dictionary(
        fc.constantFrom('threadId', 'message', 'runId', 'agent', 'lastEventId', '__proto__'),
        fc.jsonValue(),
      ),
    )
    .map(([command, payload]) => JSON.stringify({ id: 'hostile', command, payload })),
  fc
    .tuple(name, oddValue)
    .map(
      ([command, payload]) => `{"id":"hostile","command":${JSON.stringify(command)},"payload":${payload}}`,
    ),
)

test('whatever a client sends, it is answered, others notice nothing and no name reaches a prototype', async () => {
  const agent = puppetAgent('puppet')
  await using server = await serve([countingAgent(), agent], { limits: fast })
  await using neighbour = await connectWebSocket({ url: wsOf(server.baseUrl) })
  await neighbour.request('thread.send', { message: 'm', agent: 'puppet' })
  const run = await agent.nextRun()
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl) })
  let said = ''
  await fc.assert(
    fc.asyncProperty(frame, async (text) => {
      client.sendRaw(text)
      await run.say('.')
      said += '.'
      // An answer to what follows shows that the frame before it was survived.
      expect(await client.request('run.cancel', { runId: 'none' })).toMatchObject({
        error: { code: 'unknown-run' },
      })
    }),
    { numRuns: 400 },
  )
  run.end()
  const finish = (await neighbour.inbox.until((told) => told.type === 'finish')).at(-1)
  expect(finish).toMatchObject({ text: said })
  expect(Object.keys(Object.prototype)).toEqual([])
  expect((await fetch(`${server.baseUrl}/healthz`)).status).toBe(200)
})

test('whatever HTTP is asked, the answer is JSON with a code', async () => {
  await using server = await serve([countingAgent()])
  const path = fc.constantFrom(
    '/agents/%00/chat/stream',
    '/agents/__proto__/chat/stream',
    '/agents/counter/chat/stream',
    '/runs/__proto__/cancel',
    '/threads/%E0%A4%A/messages',
    '/threads/constructor/events',
    '/threads?limit=-1',
    '/threads/x/messages?before=abc',
    '/nowhere',
  )
  const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE')
  const body = fc.oneof(
    oddValue,
    fc.string(),
    fc.constant('{"message":7}'),
    fc.constant(`${'['.repeat(5_000)}`),
  )
  await fc.assert(
    fc.asyncProperty(path, method, body, async (where, how, what) => {
      const response = await fetch(server.baseUrl + where, {
        method: how,
        ...(how !== 'GET' && { body: what }),
      })
      if (response.headers.get('content-type')?.startsWith('text/event-stream'))
        return response.body?.cancel()
      expect(response.status).toBeGreaterThanOrEqual(400)
      expect(response.status).toBeLessThan(500)
      expect(await response.json()).toMatchObject({
        error: { code: expect.any(String), message: expect.any(String) },
      })
    }),
    { numRuns: 200 },
  )
})

test('a client that goes away in the middle of everything leaves nothing behind', async () => {
  const agent = puppetAgent('puppet')
  await using server = await serve([agent])
  for (let i = 0; i < 20; i++) {
    const client = await connectWebSocket({ url: wsOf(server.baseUrl) })
    void client.request('thread.send', { message: 'm', threadId: 't' }).catch(() => {})
    client.terminate()
    const stream = await openEventStream({
      url: `${server.baseUrl}/agents/puppet/chat/stream`,
      body: { message: 'm' },
    })
    await stream.close()
  }
  await expect.poll(() => server.gateway.connectionCount).toBe(0)
})
