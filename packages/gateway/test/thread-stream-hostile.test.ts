import { type ThreadEvent, LIMITS } from '@turnpike/protocol'
import { countingAgent, puppetAgent } from '@turnpike/testkit'
import { type SocketIoClient, connectSocketIo } from '@turnpike/testkit/socket-io'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { rawClient } from './raw-socket-io.ts'
import { serveThreads } from './thread-server.ts'

/** A limit that hostile input in bulk does not run into, where the rate is not what is tested. */
const fast = { framesPerSecond: 1_000_000, frameBurst: 1_000_000 }
const deep = (levels: number): unknown => JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`)

/** Emits as it is, and takes what comes to the ack. */
function emit(client: SocketIoClient, name: string, ...args: unknown[]): Promise<unknown> {
  return client.socket.timeout(10_000).emitWithAck(name, ...args)
}

test.each<[string, string, unknown[], string]>([
  ['an unknown command', 'run.start', [{}], 'unknown-command'],
  ['no name', '', [{}], 'unknown-command'],
  ['a part of every object', 'constructor', [{}], 'unknown-command'],
  ['__proto__', '__proto__', [{}], 'unknown-command'],
  ['the name of an event of errors', 'error', [{}], 'unknown-command'],
  ['an endless name', 'x'.repeat(100_000), [{}], 'unknown-command'],
  ['no payload', 'thread.send', [], 'invalid-payload'],
  ['a payload of the wrong type', 'thread.send', ['hi'], 'invalid-payload'],
  ['null', 'thread.send', [null], 'invalid-payload'],
  ['a list', 'thread.send', [[{ message: 'hi' }]], 'invalid-payload'],
  ['two payloads', 'thread.send', [{ message: 'hi' }, { message: 'hi' }], 'invalid-frame'],
  ['an attachment', 'thread.send', [{ message: Buffer.from('hi') }], 'invalid-frame'],
  ['nothing but an attachment', 'thread.send', [Buffer.alloc(1_000_000)], 'invalid-frame'],
  ['what is nested too deep', 'thread.send', [{ message: deep(40) }], 'too-deep'],
  ['what is nested without end', 'thread.send', [deep(1_000)], 'too-deep'],
  ['an empty message', 'thread.send', [{ message: '' }], 'invalid-payload'],
  ['a message that is a number', 'thread.send', [{ message: 7 }], 'invalid-payload'],
  ['a thread that is an object', 'thread.send', [{ message: 'hi', threadId: {} }], 'invalid-payload'],
  ['an endless id', 'thread.send', [{ message: 'hi', runId: 'x'.repeat(300) }], 'invalid-payload'],
  ['an unknown agent', 'thread.send', [{ message: 'hi', agent: '__proto__' }], 'unknown-agent'],
  ['an unknown thread', 'thread.subscribe', [{ threadId: 'constructor' }], 'unknown-thread'],
  ['no event id', 'thread.subscribe', [{ threadId: 't', lastEventId: 'yesterday' }], 'invalid-event-id'],
  ['an event id of another type', 'thread.subscribe', [{ threadId: 't', lastEventId: 7 }], 'invalid-payload'],
  ['an unknown run', 'run.cancel', [{ runId: 'toString' }], 'unknown-run'],
  ['an unknown approval', 'approval.resolve', [{ approvalId: 'a', approved: true }], 'unknown-approval'],
  ['a decision that is none', 'approval.resolve', [{ approvalId: 'a', approved: 'yes' }], 'invalid-payload'],
  ['a token of another type', 'auth', [{ token: 1 }], 'invalid-payload'],
])(
  '%s is answered with its error, with an ack and without one, and the connection goes on',
  async (...row) => {
    const [, name, args, code] = row
    await using server = await serveThreads([countingAgent()])
    await using client = await connectSocketIo({ url: server.baseUrl })
    expect(await emit(client, name, ...args)).toMatchObject({
      ok: false,
      error: { code, message: expect.any(String) },
    })
    client.socket.emit(name, ...args)
    expect(await client.inbox.next()).toMatchObject({ type: 'command.error', code })
    expect(await emit(client, 'thread.send', { message: '1' })).toMatchObject({ ok: true })
  },
)

test('whatever a client sends, it is answered, and others notice nothing', async () => {
  await using server = await serveThreads([countingAgent()], { limits: fast })
  await using client = await connectSocketIo({ url: server.baseUrl })
  await using other = await connectSocketIo({ url: server.baseUrl })
  const commands = [
    'thread.send',
    'thread.subscribe',
    'thread.unsubscribe',
    'run.cancel',
    'approval.resolve',
    'auth',
  ]
  const payload = fc.oneof(
    fc.jsonValue(),
    fc.record(
      { threadId: fc.jsonValue(), message: fc.jsonValue(), runId: fc.jsonValue(), reasoning: fc.jsonValue() },
      { requiredKeys: [] },
    ),
  )
  const name = fc.oneof(fc.constantFrom(...commands), fc.string())
  await fc.assert(
    fc.asyncProperty(name, fc.array(payload, { maxLength: 3 }), async (event, args) => {
      fc.pre(
        ![
          'connect',
          'connect_error',
          'disconnect',
          'disconnecting',
          'newListener',
          'removeListener',
        ].includes(event),
      )
      expect(await emit(client, event, ...args)).toHaveProperty('ok')
    }),
    { numRuns: 300 },
  )
  expect(client.socket.connected).toBe(true)
  expect(await emit(other, 'thread.send', { message: '1' })).toMatchObject({ ok: true })
})

test.each([
  ['a thread that is no name', { threadId: { a: 1 } }, 'invalid-payload'],
  ['a place that is none', { threadId: 't', lastEventId: '7' }, 'invalid-event-id'],
  ['a thread that is not there', { threadId: '__proto__' }, 'unknown-thread'],
  ['reasoning that is no yes or no', { threadId: 't', reasoning: 'yes' }, 'invalid-payload'],
])('a connect with %s is let in and told', async (_what, auth, code) => {
  await using server = await serveThreads([countingAgent()])
  await using client = await connectSocketIo({ url: server.baseUrl, auth })
  expect(await client.inbox.next()).toMatchObject({
    type: 'command.error',
    command: 'thread.subscribe',
    code,
  })
  expect(await emit(client, 'thread.send', { message: '1' })).toMatchObject({ ok: true })
})

test.each([[['websocket']], [['polling']]] as const)(
  'five megabytes over %s cost the connection, and no other',
  async (transports) => {
    await using server = await serveThreads([countingAgent()])
    await using client = await connectSocketIo({ url: server.baseUrl, transports })
    await using other = await connectSocketIo({ url: server.baseUrl, transports })
    const within = { message: '1', padding: 'x'.repeat(LIMITS.packetBytes - 100) }
    expect(await emit(other, 'thread.send', within)).toMatchObject({ ok: true })
    client.socket.emit('thread.send', { message: 'x'.repeat(5_000_000) })
    await client.closed
    expect(await emit(other, 'run.cancel', { runId: 'none' })).toMatchObject({
      error: { code: 'unknown-run' },
    })
  },
)

test.each([[['websocket']], [['polling']]] as const)(
  'of a thousand events at once over %s what is too much is refused, each by itself',
  async (transports) => {
    await using server = await serveThreads([countingAgent()])
    await using client = await connectSocketIo({ url: server.baseUrl, transports })
    const answers = await Promise.all(
      Array.from({ length: 1_000 }, () => emit(client, 'run.cancel', { runId: 'none' })),
    )
    const codes = answers.map((answer) => (answer as { error: { code: string } }).error.code)
    expect(codes.slice(0, LIMITS.frameBurst)).toEqual(Array(LIMITS.frameBurst).fill('unknown-run'))
    expect(codes.filter((code) => code === 'rate-limited').length).toBeGreaterThan(700)
    expect(client.socket.connected).toBe(true)
  },
)

test('who goes on regardless is told so, and sent away', async () => {
  await using server = await serveThreads([countingAgent()], {
    limits: { frameBurst: 10, refusedFrames: 20 },
  })
  await using client = await connectSocketIo({ url: server.baseUrl })
  for (let i = 0; i < 100; i++) client.socket.emit('run.cancel', { runId: 'none' })
  const frames = await client.inbox.until(({ type }) => type === 'goodbye')
  expect(frames.at(-1)).toMatchObject({ code: 'rate-limited' })
  await client.closed
})

test('a client that does not take its answers over polling is not read without end', async () => {
  const agent = puppetAgent('puppet')
  await using server = await serveThreads([agent], {
    limits: { ...fast, answerBytes: 65_536, earlyFrames: 4, frameBurst: 50 },
  })
  const base = `${server.baseUrl}/streaming/?EIO=4&transport=polling`
  const sid = /"sid":"([^"]+)"/.exec(await (await fetch(base)).text())?.[1]
  const post = (body: string): Promise<Response> => fetch(`${base}&sid=${sid}`, { method: 'POST', body })
  await post('40')
  await (await fetch(`${base}&sid=${sid}`)).text()
  await expect.poll(() => server.gateway.connectionCount).toBe(1)
  // An answer each, none of which is ever fetched.
  for (let i = 0; i < 200 && server.gateway.connectionCount > 0; i++) {
    const events = Array.from(
      { length: 10 },
      (_, n) => `42${i * 10 + n}["run.cancel",{"runId":"${'r'.repeat(250)}"}]`,
    )
    await post(events.join('\u001e'))
  }
  expect(server.gateway.connectionCount).toBe(0)
})

test('events right behind a connect wait for the verdict, in order, each namespace for its own', async () => {
  const verdicts = new Map<string, PromiseWithResolvers<{ id: string } | null>>()
  const authenticate = (token: string): Promise<{ id: string } | null> => {
    const verdict = Promise.withResolvers<{ id: string } | null>()
    verdicts.set(token, verdict)
    return verdict.promise
  }
  await using server = await serveThreads([countingAgent()], { authenticate })
  const agent = '/agents/counter/chat/stream'
  const { said, socket } = await rawClient(`${server.baseUrl}/streaming`, [
    '40{"token":"slow"}',
    '421["thread.send",{"threadId":"a","message":"1"}]',
    '422["thread.send",{"threadId":"a","message":"1"}]',
    '451-3["thread.send",{"_placeholder":true,"num":0}]',
    Buffer.from('attached'),
    `40${agent},{"token":"fast"}`,
    `42${agent},7["run.cancel",{"runId":"none"}]`,
    '424["run.cancel",{"runId":"none"}]',
  ])
  await expect.poll(() => verdicts.size).toBe(2)
  verdicts.get('fast')?.resolve({ id: 'ada' })
  await expect.poll(() => said.some((packet) => packet.startsWith(`43${agent},7[`))).toBe(true)
  expect(said.some((packet) => /^43\d/.test(packet))).toBe(false)
  verdicts.get('slow')?.resolve({ id: 'ada' })
  await expect.poll(() => said.filter((packet) => /^43\d/.test(packet)).length).toBe(4)
  const acks = said.filter((packet) => /^43\d/.test(packet)).map((packet) => packet.slice(2, 3))
  expect(acks).toEqual(['1', '2', '3', '4'])
  socket.terminate()
})

test('nesting that no stock client could send exhausts nothing', async () => {
  await using server = await serveThreads([countingAgent()])
  const nested = `${'['.repeat(500_000)}${']'.repeat(500_000)}`
  const { said, socket } = await rawClient(`${server.baseUrl}/streaming`, [
    '40',
    `421["thread.send",${nested}]`,
  ])
  await expect.poll(() => said.some((packet) => packet.startsWith('431['))).toBe(true)
  expect(said.at(-1)).toContain('too-deep')
  socket.terminate()
})

test('who is refused had its early events for nothing, and hears why', async () => {
  await using server = await serveThreads([countingAgent()], { authenticate: async () => null })
  const { said, socket } = await rawClient(`${server.baseUrl}/streaming`, [
    '40{"token":"x"}',
    '421["thread.send",{"message":"1"}]',
  ])
  await expect.poll(() => said.some((packet) => packet.startsWith('44{'))).toBe(true)
  expect(said.some((packet) => packet.includes('unauthorized'))).toBe(true)
  expect(said.some((packet) => packet.startsWith('43'))).toBe(false)
  socket.terminate()
})

test('a connection that is in no namespace is not kept', async () => {
  await using server = await serveThreads([countingAgent()], { limits: { earlyMs: 200 } })
  for (const packets of [[], ['40', '41']]) {
    const { socket } = await rawClient(`${server.baseUrl}/streaming`, packets)
    await new Promise((resolve) => socket.once('close', resolve))
  }
})

test('early events are bounded', async () => {
  const never = new Promise<null>(() => {})
  await using server = await serveThreads([countingAgent()], { authenticate: () => never })
  const early = Array.from({ length: LIMITS.earlyFrames + 1 }, () => '42["run.cancel",{}]')
  for (const packets of [early, [`42["x","${'x'.repeat(LIMITS.earlyBytes)}"]`]]) {
    const { socket } = await rawClient(`${server.baseUrl}/streaming`, ['40{"token":"x"}', ...packets])
    if (socket.readyState !== WebSocket.CLOSED) await new Promise((resolve) => socket.once('close', resolve))
  }
})

test("somebody else's threads, runs and approvals are as if they were not there", async () => {
  const agent = puppetAgent('puppet')
  const authenticate = async (id: string): Promise<{ id: string }> => ({ id })
  await using server = await serveThreads([agent], { authenticate })
  await using ada = await connectSocketIo({ url: server.baseUrl, auth: { token: 'ada' } })
  await using bob = await connectSocketIo({ url: server.baseUrl, auth: { token: 'bob' } })
  await ada.request('thread.send', { threadId: 't', message: 'mine', runId: 'r' })
  const run = await agent.nextRun()
  expect(await bob.request('thread.subscribe', { threadId: 't' })).toMatchObject({
    error: { code: 'unknown-thread' },
  })
  expect(await bob.request('run.cancel', { runId: 'r' })).toMatchObject({ error: { code: 'unknown-run' } })
  await bob.request('thread.send', { threadId: 't', message: 'his' })
  ;(await agent.nextRun()).end()
  const his = await bob.inbox.until(({ type }) => type === 'finish')
  expect(his.map((event) => (event as ThreadEvent).seq)).toEqual([1, 2])
  run.end()
  const hers = await ada.inbox.until(({ type }) => type === 'finish')
  expect(hers[0]).toMatchObject({ type: 'start', input: { parts: [{ type: 'text', text: 'mine' }] } })
})
