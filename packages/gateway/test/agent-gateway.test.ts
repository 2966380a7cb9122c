import { defineAgent } from '@turnpike/agents'
import { ALL_REPORTS, countingAgent, puppetAgent, scriptedAgent } from '@turnpike/testkit'
import { describe, expect, test } from 'vitest'
import { serveAgentGateway } from './agent-gateway-harness.ts'
import { parkingAgent } from './harness.ts'

const usage = { inputTokens: 30, outputTokens: 12, providerMetrics: { prompt_tokens: 30, cached: [1, null] } }
const helper = scriptedAgent('helper', ALL_REPORTS, { usage })
const eventId = expect.stringMatching(/^\d{13}-\d{10}$/)

/** Echoes its message, with the messages before it. */
const echo = defineAgent({
  name: 'echo',
  register: false,
  async *run({ text, history }) {
    yield `${history.length}:${text}`
  },
})

describe.each([['websocket'], ['polling']])('over %s', (transport) => {
  test('a run tells its text, its tools and its end, each with where it belongs', async () => {
    await using server = await serveAgentGateway({ agents: { helper } })
    const client = await server.connect({ transports: [transport] }).connected
    const sessionId = 's1'
    client.send('agent.run', { name: 'helper', input: 'Hi', sessionId, runId: 'r1' })
    await client.next('agent.done')

    const place = { runId: 'r1', sessionId, eventId }
    const error = { code: 'tool-failed', message: 'No.' }
    expect(client.told).toStrictEqual([
      {
        name: 'agent.tool.call',
        body: { toolName: 'weather', args: { city: 'Oslo' }, toolCallId: 'c1', ...place },
      },
      { name: 'agent.tool.done', body: { toolCallId: 'c1', ...place } },
      { name: 'agent.tool.call', body: { toolName: 'broken', args: {}, toolCallId: 'c2', ...place } },
      { name: 'agent.tool.done', body: { toolCallId: 'c2', error, ...place } },
      { name: 'agent.chunk', body: { chunk: 'It is ', ...place } },
      { name: 'agent.chunk', body: { chunk: '-3 °C ', ...place } },
      { name: 'agent.chunk', body: { chunk: 'in Oslo.', ...place } },
      {
        name: 'agent.done',
        body: { output: { text: 'It is -3 °C in Oslo.', usage }, finishReason: 'stop', ...place },
      },
    ])
  })

  test('a run is cancelled, and done with the text so far', async () => {
    const puppet = puppetAgent('puppet')
    await using server = await serveAgentGateway({ agents: { puppet } })
    const client = await server.connect({ transports: [transport] }).connected
    const runId = await client.run('agent.run', { name: 'puppet', input: 'Hi' })
    const run = await puppet.nextRun()
    await run.say('So far ')
    await client.next('agent.chunk', runId)
    expect(await client.ask('run.cancel', { runId })).toStrictEqual({ ok: true, status: 'cancelling' })
    await run.closed

    expect(await client.next('agent.done', runId)).toMatchObject({
      output: { text: 'So far ' },
      finishReason: 'cancelled',
    })
    expect(await client.ask('run.cancel', { runId })).toStrictEqual({ ok: true, status: 'cancelled' })
    expect(client.all('agent.error')).toStrictEqual([])
  })
})

describe('an answer', () => {
  test('to a run has the id of the run, chosen or made', async () => {
    await using server = await serveAgentGateway({ agents: { echo } })
    const client = await server.connect().connected
    const run = { name: 'echo', input: 'Hi', sessionId: 's1' }
    const started = { ok: true, sessionId: 's1', status: 'started' }
    expect(await client.ask('agent.run', { ...run, runId: 'r1' })).toStrictEqual({ ...started, runId: 'r1' })
    await client.next('agent.done', 'r1')
    expect(await client.ask('agent.run', { ...run, sessionId: 's1' })).toStrictEqual({
      ...started,
      runId: expect.stringMatching(/^[\w-]{36}$/),
    })
  })

  test('to the same run again is the same, and starts nothing', async () => {
    await using server = await serveAgentGateway({ agents: { echo } })
    const client = await server.connect().connected
    const run = { name: 'echo', input: 'Hi', sessionId: 's1', runId: 'r1' }
    const first = await client.ask('agent.run', run)
    await client.next('agent.done', 'r1')
    expect(await client.ask('agent.run', run)).toStrictEqual(first)
    expect(await client.refusalOf('agent.run', { ...run, input: 'Else' })).toBe('run-id-conflict')
    expect(client.all('agent.done')).toHaveLength(1)
  })

  test('need not be asked for', async () => {
    await using server = await serveAgentGateway({ agents: { echo } })
    const client = await server.connect().connected
    for (const name of ['agents.list', 'registry.list', 'tools.get', 'session.leave']) client.send(name)
    client.send('run.cancel', { runId: 'none' })
    client.send('agent.run', { name: 'echo', input: 'Hi', runId: 'r1' })
    expect(await client.next('agent.done', 'r1')).toMatchObject({ output: { text: '0:Hi' } })
    expect(client.all('agent.error')).toStrictEqual([
      { error: expect.any(String), code: 'invalid-payload' },
      { error: expect.any(String), code: 'unknown-run', runId: 'none' },
    ])
  })
})

describe('a run that is refused', () => {
  test('is told as agent.error, with what is known of it', async () => {
    await using server = await serveAgentGateway({ agents: { echo } })
    const client = await server.connect().connected
    client.send('agent.run', { name: 'nobody', input: 'Hi', sessionId: 's1', runId: 'r1' })
    expect(await client.next('agent.error')).toStrictEqual({
      error: 'There is no agent of that name. "agents.list" tells which there are.',
      code: 'unknown-agent',
      runId: 'r1',
      sessionId: 's1',
    })
  })

  test('is told to an ack as well', async () => {
    await using server = await serveAgentGateway({ agents: { echo } })
    const client = await server.connect().connected
    const error = { code: 'unknown-agent', message: expect.stringMatching(/^There is no team/) }
    expect(await client.ask('team.run', { name: 'echo', input: 'Hi', runId: 'r1' })).toStrictEqual({
      ok: false,
      error,
      runId: 'r1',
      sessionId: client.socket.id,
    })
    expect(client.all('agent.error', 'r1')).toHaveLength(1)
  })

  test('is told apart from one that fails, which is an event of its session', async () => {
    const failing = defineAgent({
      name: 'failing',
      register: false,
      async *run() {
        yield 'Soon '
        throw new Error('a secret of the server')
      },
    })
    await using server = await serveAgentGateway({ agents: { failing } })
    const client = await server.connect().connected
    const runId = await client.run('agent.run', { name: 'failing', input: 'Hi', sessionId: 's1' })
    const failure = { error: 'The agent failed.', code: 'agent-failed', runId, sessionId: 's1', eventId }
    expect(await client.next('agent.error', runId)).toStrictEqual(failure)
  })
})

test('an approval is asked for, and decided by any client of the session', async () => {
  await using server = await serveAgentGateway({ agents: { parking: parkingAgent() } })
  const [ada, bob] = await Promise.all([server.connect().connected, server.connect().connected])
  const runId = await ada.run('agent.run', { name: 'parking', input: 'mail', sessionId: 's1' })
  const asked = await ada.next('agent.approval.pending', runId)
  expect(asked).toStrictEqual({
    approvalId: expect.any(String),
    toolName: 'send',
    args: { word: 'mail' },
    toolCallId: 'mail',
    expiresAt: expect.any(Number),
    runId,
    sessionId: 's1',
    eventId,
  })
  const { approvalId } = asked
  expect(await bob.ask('approval.resolve', { approvalId, approved: true, reason: 'Fine.' })).toStrictEqual({
    ok: true,
    approved: true,
    first: true,
  })
  expect(await ada.next('agent.approval.resolved', runId)).toMatchObject({
    approvalId,
    approved: true,
    reason: 'Fine.',
  })
  expect(await ada.next('agent.done', runId)).toMatchObject({ output: { text: 'asked. mail=true' } })
})

describe('a session', () => {
  test('without an id is the one of the socket', async () => {
    await using server = await serveAgentGateway({ agents: { echo } })
    const [ada, bob] = await Promise.all([server.connect().connected, server.connect().connected])
    for (const [client, text] of [
      [ada, '0:one'],
      [ada, '2:two'],
      [bob, '0:three'],
    ] as const) {
      const runId = await client.run('agent.run', { name: 'echo', input: text.slice(2) })
      const { output, sessionId } = await client.next('agent.done', runId)
      expect({ output, sessionId }).toMatchObject({ output: { text }, sessionId: client.socket.id })
    }
  })

  test('is shared by all who name it: they have one history, and see one run if they follow it', async () => {
    await using server = await serveAgentGateway({ agents: { echo } })
    const [ada, bob, eve] = await Promise.all([1, 2, 3].map(() => server.connect().connected))
    if (!ada || !bob || !eve) throw new Error('not connected')
    const first = await ada.run('agent.run', { name: 'echo', input: 'one', sessionId: 's1' })
    await ada.next('agent.done', first)
    expect(await bob.ask('session.resume', { sessionId: 's1' })).toMatchObject({
      ok: true,
      recovered: false,
      history: [{ role: 'user' }, { role: 'assistant', parts: [{ text: '0:one' }] }],
    })
    const second = await ada.run('agent.run', { name: 'echo', input: 'two', sessionId: 's1' })
    expect(await bob.next('agent.done', second)).toStrictEqual(await ada.next('agent.done', second))
    expect(bob.text(second)).toBe('2:two')

    await bob.ask('session.leave', { sessionId: 's1' })
    const third = await eve.run('agent.run', { name: 'echo', input: 'three', sessionId: 's1' })
    expect(await ada.next('agent.done', third)).toMatchObject({ output: { text: '4:three' } })
    expect(bob.all('agent.done', third)).toStrictEqual([])
  })

  test('holds several runs of one socket side by side with others, told apart by their ids', async () => {
    const counter = countingAgent()
    await using server = await serveAgentGateway({ agents: { counter } })
    const client = await server.connect().connected
    const counts = [7, 8, 9, 10, 11]
    const runs = await Promise.all(
      counts.map((n) => client.run('agent.run', { name: 'counter', input: `${n}`, sessionId: `s${n % 3}` })),
    )
    for (const [index, runId] of runs.entries()) {
      const { sessionId } = await client.next('agent.done', runId)
      const n = counts[index] ?? 0
      expect(sessionId).toBe(`s${n % 3}`)
      expect(client.text(runId)).toBe(Array.from({ length: n }, (_, i) => `${i + 1} `).join(''))
    }
  })

  test('is another one for another user', async () => {
    const login: Parameters<typeof serveAgentGateway>[0]['authMiddleware'] = (socket, next) => {
      socket.data.userId = socket.handshake.auth['user']
      next()
    }
    await using server = await serveAgentGateway({ agents: { echo }, authMiddleware: login })
    const ada = await server.connect({ auth: { user: 'ada' } }).connected
    const bob = await server.connect({ auth: { user: 'bob' } }).connected
    const runId = await ada.run('agent.run', { name: 'echo', input: 'one', sessionId: 's1' })
    await ada.next('agent.done', runId)
    const [lastEventId] = ada.eventIds
    expect(await bob.refusalOf('session.resume', { sessionId: 's1', lastEventId })).toBe('unknown-thread')
    expect(await bob.refusalOf('run.cancel', { runId })).toBe('unknown-run')
    const other = await bob.run('agent.run', { name: 'echo', input: 'two', sessionId: 's1', runId })
    expect(await bob.next('agent.done', other)).toMatchObject({ output: { text: '0:two' } })
    expect(ada.all('agent.done')).toHaveLength(1)
  })
})

describe('a gateway', () => {
  test('is in the namespace that it is given', async () => {
    await using server = await serveAgentGateway({ agents: { echo }, namespace: '/mine' })
    const client = await server.connect({}, '/mine').connected
    expect(await client.ask('registry.list', {})).toMatchObject({ agents: ['echo'] })
    expect((await server.connect().refusal).message).toBe('Invalid namespace')
  })

  test('has neighbours in other namespaces of the same server', async () => {
    await using server = await serveAgentGateway({ agents: { echo } })
    server.io.of('/other').on('connection', (socket) => {
      socket.on('ping', (ack: (answer: string) => void) => ack('pong'))
    })
    const client = await server.connect({}, '/other').connected
    expect(await client.ask('ping')).toBe('pong')
  })
})
