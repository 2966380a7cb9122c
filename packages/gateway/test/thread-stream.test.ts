import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Principal } from '@turnpike/agents'
import { createThreadStream } from '@turnpike/gateway/thread-stream'
import { type ThreadEvent, EVENT_TYPES, mintEventId, reduce } from '@turnpike/protocol'
import { ALL_REPORTS, countingAgent, puppetAgent, scriptedAgent } from '@turnpike/testkit'
import {
  ConnectRefusal,
  type SocketIoEvent,
  connectSocketIo,
  openSocketIo,
} from '@turnpike/testkit/socket-io'
import { io } from 'socket.io-client'
import { describe, expect, test } from 'vitest'
import { parkingAgent } from './harness.ts'
import { serveThreads } from './thread-server.ts'

const TRANSPORTS = [['websocket'], ['polling'], ['polling', 'websocket']] as const
const isEnd = (event: SocketIoEvent): boolean => event.type === 'finish' || event.type === 'error'

function eventsIn(frames: readonly SocketIoEvent[]): ThreadEvent[] {
  return frames.filter((frame) => 'seq' in frame)
}

/** Lets in who names itself, until a time of its own choice: `ada`, `ada@1795270000000`. */
const byName = {
  async authenticate(token: string): Promise<(Principal & { expiresAt?: number }) | null> {
    const [id = '', until] = token.split('@')
    if (id === 'nobody') return null
    return until === undefined ? { id } : { id, expiresAt: Number(until) }
  },
}

describe.each(TRANSPORTS.map((transports) => ({ name: transports.join('+'), transports })))(
  'over $name',
  ({ transports }) => {
    test('every event comes under its own name, as it is', async () => {
      await using server = await serveThreads([scriptedAgent('all', ALL_REPORTS), parkingAgent()])
      await using client = await connectSocketIo({ url: server.baseUrl, transports })
      const sent = await client.request('thread.send', { message: 'hi', reasoning: true })
      expect(sent).toMatchObject({ ok: true, status: 'started' })
      const seen = eventsIn(await client.inbox.until(isEnd))
      await client.request('thread.send', { message: 'mail', agent: 'parking' })
      const pending = (await client.inbox.until(({ type }) => type === 'approval-pending')).at(-1)
      if (pending?.type !== 'approval-pending') throw new Error('There is nothing to approve.')
      const { approvalId } = pending
      const resolved = await client.request('approval.resolve', { approvalId, approved: true })
      expect(resolved).toEqual({ ok: true, approved: true, first: true })
      seen.push(...eventsIn(await client.inbox.until(isEnd)))
      const types = new Set([...seen, pending].map(({ type }) => type))
      expect(EVENT_TYPES.filter((type) => !types.has(type))).toEqual(['error'])
      expect(await client.request('approval.resolve', { approvalId, approved: false })).toEqual({
        ok: true,
        approved: true,
        first: false,
      })
    })

    test('threads on one socket keep their order, and are told apart', async () => {
      await using server = await serveThreads([countingAgent('counter', 3)])
      await using client = await connectSocketIo({ url: server.baseUrl, transports })
      const threads = ['a', 'b', 'c', 'd']
      await Promise.all(
        threads.map((threadId) => client.request('thread.send', { threadId, message: 'to 100' })),
      )
      const seen: ThreadEvent[] = []
      for (let ended = 0; ended < threads.length; ended++) {
        seen.push(...eventsIn(await client.inbox.until(isEnd)))
      }
      for (const threadId of threads) {
        const own = seen.filter((event) => event.threadId === threadId)
        expect(own.map(({ seq }) => seq)).toEqual(own.map((_, index) => index + 1))
        expect(own.at(-1)).toMatchObject({ type: 'finish', text: expect.stringMatching(/^1 2 .* 100 $/) })
      }
    })

    test('a connect that names a thread resumes it behind the last event id', async () => {
      const agent = puppetAgent('puppet')
      await using server = await serveThreads([agent])
      const first = await connectSocketIo({ url: server.baseUrl, transports })
      await first.request('thread.send', { threadId: 't', message: 'hi' })
      const run = await agent.nextRun()
      for (const word of ['one ', 'two ', 'three ']) await run.say(word)
      const seen = eventsIn(await first.inbox.until((event) => 'seq' in event && event.seq === 4))
      first.terminate()
      await run.say('four ')
      const lastEventId = seen[1]?.id
      await using again = await connectSocketIo({
        url: server.baseUrl,
        transports,
        auth: { threadId: 't', lastEventId },
      })
      run.end()
      const rest = eventsIn(await again.inbox.until(isEnd))
      expect(rest.slice(0, 2)).toEqual(seen.slice(2))
      expect(rest.map(({ seq }) => seq)).toEqual([3, 4, 5, 6])
    })

    test('a connect whose place is gone is told the history, and goes on live', async () => {
      const agent = puppetAgent('puppet')
      await using server = await serveThreads([agent])
      await using first = await connectSocketIo({ url: server.baseUrl, transports })
      await first.request('thread.send', { threadId: 't', message: 'hi' })
      const run = await agent.nextRun()
      await run.say('one ')
      const log = eventsIn(await first.inbox.until(({ type }) => type === 'text-delta'))
      const history = log.reduce<ReturnType<typeof reduce>>(reduce, [])
      const lastEventId = mintEventId(9_999_999_999_999, 999)
      await using lost = await connectSocketIo({
        url: server.baseUrl,
        transports,
        auth: { threadId: 't', lastEventId },
      })
      const reset = { type: 'thread.reset', threadId: 't', head: log[1]?.id, history }
      expect(await lost.inbox.next()).toEqual({ ...reset, cause: 'unknown' })
      await using fresh = await connectSocketIo({ url: server.baseUrl, transports, auth: { threadId: 't' } })
      expect(await fresh.inbox.next()).toEqual(reset)
      await run.say('two')
      for (const client of [lost, fresh]) {
        expect(await client.inbox.next()).toMatchObject({ type: 'text-delta', delta: 'two', seq: 3 })
      }
    })

    test('what is sent before the verdict on the token is handled after it, in order', async () => {
      const verdict = Promise.withResolvers<Principal>()
      const asked = Promise.withResolvers<void>()
      const authenticate = (): Promise<Principal> => {
        asked.resolve()
        return verdict.promise
      }
      await using server = await serveThreads([countingAgent()], { authenticate })
      await using client = openSocketIo({ url: server.baseUrl, transports, auth: { token: 'x' } })
      const answers = ['a', 'b', 'c'].map((threadId) =>
        client.request('thread.send', { threadId, message: '1' }),
      )
      await asked.promise
      expect(client.inbox.size).toBe(0)
      verdict.resolve({ id: 'ada' })
      expect(await Promise.all(answers)).toMatchObject([
        { threadId: 'a' },
        { threadId: 'b' },
        { threadId: 'c' },
      ])
      const { threads } = (await (
        await fetch(`${server.baseUrl}/threads`, { headers: { authorization: 'Bearer x' } })
      ).json()) as { threads: { id: string }[] }
      expect(threads.map(({ id }) => id).toSorted()).toEqual(['a', 'b', 'c'])
    })

    test('a run is cancelled from another connection, and its text so far is kept', async () => {
      const agent = puppetAgent('puppet')
      await using server = await serveThreads([agent])
      await using client = await connectSocketIo({ url: server.baseUrl, transports })
      await client.request('thread.send', { message: 'hi', runId: 'r' })
      await (await agent.nextRun()).say('so far')
      await using other = await connectSocketIo({ url: server.baseUrl, transports })
      expect(await other.request('run.cancel', { runId: 'r' })).toEqual({ ok: true, status: 'cancelling' })
      const finish = (await client.inbox.until(isEnd)).at(-1)
      expect(finish).toMatchObject({ finishReason: 'cancelled', text: 'so far' })
    })
  },
)

test('the sample of a client: a bare socket with a listener by name', async () => {
  await using server = await serveThreads([countingAgent()])
  const socket = io(server.baseUrl, { path: '/streaming', auth: { token: 'any' } })
  const text = new Promise<string>((resolve) => {
    let said = ''
    socket.on('text-delta', (event: { delta: string }) => (said += event.delta))
    socket.on('finish', () => resolve(said))
  })
  socket.emit('thread.send', { message: 'to 5' })
  expect(await text).toBe('1 2 3 4 5 ')
  socket.disconnect()
})

test('a thread that is left is not told any more', async () => {
  const agent = puppetAgent('puppet')
  await using server = await serveThreads([agent])
  await using client = await connectSocketIo({ url: server.baseUrl })
  await client.request('thread.send', { threadId: 't', message: 'hi' })
  const run = await agent.nextRun()
  await run.say('one')
  await client.inbox.until(({ type }) => type === 'text-delta')
  expect(await client.request('thread.unsubscribe', { threadId: 't' })).toEqual({ ok: true })
  await run.say('two')
  run.end()
  await run.closed
  await client.request('thread.unsubscribe', { threadId: 't' })
  expect(client.inbox.size).toBe(0)
})

test('the history is what a place beyond the window gets, by command', async () => {
  await using server = await serveThreads([countingAgent()], {
    limits: { replayWindowMs: 0, logBytes: 2_000 },
  })
  await using client = await connectSocketIo({ url: server.baseUrl })
  await client.request('thread.send', { threadId: 't', message: 'to 200' })
  const [start] = eventsIn(await client.inbox.until(isEnd))
  const answer = await client.request('thread.subscribe', { threadId: 't', lastEventId: start?.id })
  expect(answer).toMatchObject({ ok: true, recovered: false, cause: 'expired' })
  expect(answer).toHaveProperty('history.length', 2)
})

test('without an ack a failure comes as command.error, and a place that is gone as a reset', async () => {
  await using server = await serveThreads([countingAgent()])
  await using client = await connectSocketIo({ url: server.baseUrl })
  client.socket.emit('run.cancel', { runId: 'none' })
  expect(await client.inbox.next()).toEqual({
    type: 'command.error',
    command: 'run.cancel',
    code: 'unknown-run',
    message: expect.any(String),
  })
  client.socket.emit('thread.send', { threadId: 't', message: '2' })
  await client.inbox.until(isEnd)
  client.socket.emit('thread.subscribe', { threadId: 't' })
  expect(await client.inbox.next()).toMatchObject({ type: 'thread.reset', threadId: 't' })
})

describe('the namespace of an agent', () => {
  const agents = [countingAgent('first'), scriptedAgent('my agent', ['mine'])]
  const namespace = '/agents/my%20agent/chat/stream'

  test('talks to that agent alone', async () => {
    await using server = await serveThreads(agents)
    await using client = await connectSocketIo({ url: server.baseUrl, namespace })
    expect(await client.request('thread.send', { message: 'hi', agent: 'first' })).toMatchObject({
      error: { code: 'invalid-payload' },
    })
    await client.request('thread.send', { message: 'hi' })
    expect((await client.inbox.until(isEnd)).at(-1)).toMatchObject({ agent: 'my agent', text: 'mine' })
    await client.request('thread.send', { message: 'hi', agent: 'my agent' })
    expect((await client.inbox.until(isEnd)).at(-1)).toMatchObject({ agent: 'my agent' })
  })

  test('shares a connection with other namespaces, each with its own cursor', async () => {
    await using server = await serveThreads(agents)
    const all = io(server.baseUrl, { path: '/streaming', transports: ['websocket'] })
    const own = all.io.socket(namespace)
    const seen: string[] = []
    const finished = Promise.withResolvers<void>()
    own.onAny((name: string) => seen.push(`own ${name}`))
    all.onAny((name: string) => {
      seen.push(`all ${name}`)
      if (name === 'finish') finished.resolve()
    })
    await all.emitWithAck('thread.send', { threadId: 't', message: '3', agent: 'first' })
    await own.emitWithAck('thread.subscribe', { threadId: 't' })
    await finished.promise
    expect(all.io.engine.id).toBe(own.io.engine.id)
    expect(seen.filter((name) => name.startsWith('all'))).toEqual([
      'all start',
      ...Array(3).fill('all text-delta'),
      'all finish',
    ])
    all.io._close()
  })

  test.each(['nobody', '__proto__', '%E0%A4%A', 'x'.repeat(500)])(
    'refuses %j, and keeps nothing of it',
    async (agent) => {
      await using server = await serveThreads(agents)
      const refused = connectSocketIo({ url: server.baseUrl, namespace: `/agents/${agent}/chat/stream` })
      await expect(refused).rejects.toMatchObject({
        data: { code: 'unknown-agent', message: expect.any(String) },
      })
      expect([...server.stream.io._nsps.keys()]).toEqual(['/', '/connections'])
    },
  )

  test('no other name is a namespace', async () => {
    await using server = await serveThreads(agents)
    for (const name of [
      '/agents',
      '/agents/first',
      '/agents/first/chat/stream/x',
      '/agents/a/b/chat/stream',
    ]) {
      await expect(connectSocketIo({ url: server.baseUrl, namespace: name })).rejects.toThrow(ConnectRefusal)
    }
  })
})

describe('who may connect', () => {
  test('a token that is good', async () => {
    await using server = await serveThreads([countingAgent()], byName)
    const { baseUrl: url } = server
    await using byAuth = await connectSocketIo({ url, auth: { token: 'ada' } })
    expect(await byAuth.request('thread.send', { threadId: 't', message: '1' })).toMatchObject({ ok: true })
    await using byHeader = await connectSocketIo({ url, headers: { authorization: 'Bearer ada' } })
    expect(await byHeader.request('thread.subscribe', { threadId: 't' })).toMatchObject({ ok: true })
    await using other = await connectSocketIo({ url, auth: { token: 'bob' } })
    expect(await other.request('thread.subscribe', { threadId: 't' })).toMatchObject({
      error: { code: 'unknown-thread' },
    })
    const ticket = (await (
      await fetch(`${url}/tickets`, { method: 'POST', headers: { authorization: 'Bearer ada' } })
    ).json()) as { ticket: string }
    await using byTicket = await connectSocketIo({ url, auth: ticket })
    expect(await byTicket.request('thread.subscribe', { threadId: 't' })).toMatchObject({ ok: true })
    await expect(connectSocketIo({ url, auth: ticket })).rejects.toMatchObject({
      data: { code: 'unauthorized' },
    })
  })

  test.each([
    ['no token', {}],
    ['an empty one', { token: '' }],
    ['a wrong one', { token: 'nobody' }],
    ['an expired one', { token: 'ada@1' }],
    ['one of another type', { token: { id: 'ada' } }],
    ['a ticket of another type', { ticket: 7 }],
  ])('%s is refused with an error', async (_what, auth) => {
    await using server = await serveThreads([countingAgent()], byName)
    const refused = connectSocketIo({ url: server.baseUrl, auth })
    await expect(refused).rejects.toMatchObject({
      data: { code: 'unauthorized', message: expect.any(String) },
    })
    expect(server.gateway.connectionCount).toBe(0)
  })

  test('a page of another origin is refused', async () => {
    await using server = await serveThreads([countingAgent()], { allowedOrigins: ['https://good.example'] })
    const connect = (origin: string): ReturnType<typeof connectSocketIo> =>
      connectSocketIo({ url: server.baseUrl, headers: { origin } })
    await expect(connect('https://evil.example')).rejects.toMatchObject({
      data: { code: 'origin-not-allowed' },
    })
    await using good = await connect('https://good.example')
    expect(good.socket.connected).toBe(true)
    const handshake = `${server.baseUrl}/streaming/?EIO=4&transport=polling`
    const cors = async (origin: string): Promise<string | null> =>
      (await fetch(handshake, { headers: { origin } })).headers.get('access-control-allow-origin')
    expect(await cors('https://good.example')).toBe('https://good.example')
    expect(await cors('https://evil.example')).toBe(null)
  })

  test('nobody, where there is no room, and told to come back', async () => {
    await using server = await serveThreads([countingAgent()], { limits: { connections: 1 } })
    await using first = await connectSocketIo({ url: server.baseUrl })
    await expect(connectSocketIo({ url: server.baseUrl })).rejects.toMatchObject({
      data: { code: 'too-many-connections', retryAfterMs: expect.any(Number) },
    })
    first.terminate()
    await expect.poll(() => server.gateway.connectionCount).toBe(0)
    await using second = await connectSocketIo({ url: server.baseUrl })
    expect(second.socket.connected).toBe(true)
  })

  test('a user who has as many connections as it may is told, and sent away', async () => {
    await using server = await serveThreads([countingAgent()], { ...byName, limits: { userConnections: 1 } })
    await using first = await connectSocketIo({ url: server.baseUrl, auth: { token: 'ada' } })
    await using second = await connectSocketIo({ url: server.baseUrl, auth: { token: 'ada' } })
    expect(await second.inbox.next()).toMatchObject({ type: 'goodbye', code: 'too-many-connections' })
    await second.closed
    expect(first.socket.connected).toBe(true)
  })
})

test('a connection lasts as long as its token, or the newer one that it is given', async () => {
  await using server = await serveThreads([countingAgent()], byName)
  const soon = `ada@${Date.now() + 500}`
  await using renewed = await connectSocketIo({ url: server.baseUrl, auth: { token: soon } })
  await using expiring = await connectSocketIo({ url: server.baseUrl, auth: { token: soon } })
  expect(await renewed.request('auth', { token: 'nobody' })).toMatchObject({
    error: { code: 'unauthorized' },
  })
  expect(await renewed.request('auth', { token: 'bob' })).toMatchObject({ error: { code: 'forbidden' } })
  expect(await renewed.request('auth', { token: 'ada' })).toEqual({ ok: true })
  expect(await expiring.inbox.next()).toEqual({ type: 'goodbye', code: 'token-expired' })
  expect(await expiring.closed).toBe('transport close')
  expect(renewed.socket.connected).toBe(true)
})

test('a server that shuts down ends the runs, says goodbye, and then closes', async () => {
  const agent = puppetAgent('puppet')
  await using server = await serveThreads([agent])
  await using client = await connectSocketIo({ url: server.baseUrl })
  await using polling = await connectSocketIo({ url: server.baseUrl, transports: ['polling'] })
  await client.request('thread.send', { threadId: 't', message: 'hi' })
  await (await agent.nextRun()).say('so far')
  await polling.request('thread.subscribe', { threadId: 't' })
  const drained = server.gateway.drain(0)
  for (const each of [client, polling]) {
    const frames = await each.inbox.until(({ type }) => type === 'goodbye')
    expect(frames.at(-2)).toMatchObject({ type: 'finish', finishReason: 'interrupted', text: 'so far' })
    expect(frames.at(-1)).toMatchObject({ code: 'draining', retryAfterMs: expect.any(Number) })
    expect(await each.closed).toBe('transport close')
  }
  await drained
  await expect(connectSocketIo({ url: server.baseUrl })).rejects.toMatchObject({ data: { code: 'draining' } })
})

test.each([['websocket'], ['polling']] as const)(
  'a stream that closes says goodbye to who follows a run over %s',
  async (transport) => {
    const http = createServer()
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    const agent = puppetAgent('puppet')
    const stream = createThreadStream({ server: http, agents: [agent] })
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
    await using client = await connectSocketIo({ url, transports: [transport] })
    await client.request('thread.send', { threadId: 't', message: 'hi', agent: 'puppet' })
    await (await agent.nextRun()).say('so far')
    const closed = stream.close()
    const frames = await client.inbox.until(({ type }) => type === 'goodbye')
    expect(frames.at(-2)).toMatchObject({ type: 'finish', finishReason: 'interrupted', text: 'so far' })
    expect(await client.closed).toBe('transport close')
    await closed
    await new Promise((resolve) => http.close(resolve))
  },
)

test('connections are listed, and closed by request', async () => {
  await using server = await serveThreads([countingAgent()])
  await using client = await connectSocketIo({ url: server.baseUrl })
  await client.request('thread.send', { threadId: 't', message: '1' })
  await client.inbox.until(isEnd)
  const list = (await (await fetch(`${server.baseUrl}/connections`)).json()) as {
    connections: { id: string }[]
  }
  expect(list).toMatchObject({ connections: [{ wire: 'socket.io', threads: ['t'], bufferedBytes: 0 }] })
  await fetch(`${server.baseUrl}/connections/${list.connections[0]?.id}/close`, { method: 'POST' })
  expect(await client.inbox.next()).toMatchObject({ type: 'goodbye', code: 'connection-closed' })
})
