import { countingAgent, puppetAgent, scriptedAgent } from '@turnpike/testkit'
import { describe, expect, test } from 'vitest'
import { type AgentClient, type Body, serveAgentGateway } from './agent-gateway-harness.ts'

const echo = scriptedAgent('echo', ['Hi.'])
const whole = { name: 'echo', input: 'Hi', sessionId: 's1', runId: 'r1', apiKey: 'k' }
const WRONG: readonly unknown[] = [
  null,
  7,
  true,
  '',
  [],
  ['x'],
  {},
  { toString: 'x' },
  'x'.repeat(5_000),
  '\u0000',
  '\ud800',
]
const NAMES = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'nobody']

/** It still answers, on the same socket and on others. */
async function expectAlive(client: AgentClient): Promise<void> {
  expect(client.socket.connected).toBe(true)
  const runId = await client.run('agent.run', { name: 'echo', input: 'Hi' })
  expect(await client.next('agent.done', runId)).toMatchObject({ output: { text: 'Hi.' } })
}

describe('a wrong field', () => {
  const payloads: Readonly<Record<string, Body>> = {
    'agent.run': whole,
    'team.run': whole,
    'workflow.run': whole,
    'run.cancel': { runId: 'r1' },
    'approval.resolve': { approvalId: 'a1', approved: true, reason: 'r' },
    'session.resume': { sessionId: 's1', lastEventId: '1-1' },
    'session.leave': { sessionId: 's1' },
  }

  function isRight(field: string, value: unknown): boolean {
    if (field === 'approved') return value === true
    if (field === 'apiKey') return value === ''
    if (field === 'input') return typeof value === 'string' && value !== ''
    return field === 'reason' && typeof value === 'string' && value.length <= 4_096
  }

  test.each(Object.keys(payloads))('of %s is refused by name, whatever it is', async (event) => {
    await using server = await serveAgentGateway({ agents: { echo }, maxRequestsPerMinute: 0 })
    const client = await server.connect().connected
    for (const field of Object.keys(payloads[event] ?? {})) {
      for (const wrong of WRONG) {
        if (isRight(field, wrong)) continue
        const answer = await client.ask(event, { ...payloads[event], [field]: wrong })
        const isText = typeof wrong === 'string'
        const code = field === 'lastEventId' && isText ? 'invalid-event-id' : 'invalid-payload'
        expect(answer, `${field}: ${JSON.stringify(wrong)}`).toMatchObject({ ok: false, error: { code } })
      }
    }
    await expectAlive(client)
  })

  test.each(Object.keys(payloads))('or none at all: %s', async (event) => {
    await using server = await serveAgentGateway({ agents: { echo } })
    const client = await server.connect().connected
    for (const payload of [null, 7, 'x', true, [], [whole]]) {
      expect(await client.refusalOf(event, payload)).toBe('invalid-payload')
    }
    expect(await client.refusalOf(event)).toBe('invalid-payload')
    expect(await client.refusalOf(event, {}, {})).toBe('invalid-frame')
    client.send(event)
    expect(await client.next('agent.error')).toMatchObject({ code: 'invalid-payload' })
    await expectAlive(client)
  })
})

describe('names', () => {
  test.each(NAMES)('such as %s are none of what is served', async (name) => {
    await using server = await serveAgentGateway({ agents: { echo }, teams: {} })
    const client = await server.connect().connected
    for (const event of ['agent.run', 'team.run', 'workflow.run']) {
      expect(await client.refusalOf(event, { name, input: 'Hi' })).toBe('unknown-agent')
    }
    expect(await client.ask('tools.get', { name })).toMatchObject({ error: { code: 'unknown-tool' } })
    expect(await client.refusalOf('run.cancel', { runId: name })).toBe('unknown-run')
    expect(await client.refusalOf('session.resume', { sessionId: name })).toBe('unknown-thread')
    expect(await client.refusalOf(name, {})).toBe('unknown-command')
    await expectAlive(client)
  })

  test('such as __proto__ may be given to what there is', async () => {
    const named = scriptedAgent('__proto__', ['Hi.'])
    await using server = await serveAgentGateway({ serve: [named, echo] })
    const client = await server.connect().connected
    const run = { name: '__proto__', input: 'Hi', sessionId: 'constructor', runId: '__proto__' }
    expect(await client.run('agent.run', run)).toBe('__proto__')
    expect(await client.next('agent.done')).toMatchObject({ sessionId: 'constructor', runId: '__proto__' })
    expect(await client.ask('registry.list')).toMatchObject({ agents: ['__proto__', 'echo'] })
  })

  test('of events that nobody knows are answered', async () => {
    await using server = await serveAgentGateway({ agents: { echo } })
    const client = await server.connect().connected
    for (const name of ['thread.send', 'agent.chunk', 'error', 'x'.repeat(10_000), '']) {
      const code = await client.refusalOf(name, { threadId: 's1', message: 'Hi' })
      expect(code).toBe('unknown-command')
    }
    await expectAlive(client)
  })
})

describe('too much', () => {
  test('in one event is refused', async () => {
    const socketIo = { maxHttpBufferSize: 10_000_000 }
    await using server = await serveAgentGateway({ agents: { echo } }, { socketIo })
    const client = await server.connect().connected
    const input = 'x'.repeat(5_000_000)
    expect(await client.refusalOf('agent.run', { name: 'echo', input })).toBe('payload-too-large')
    expect(await client.refusalOf('agents.list', { [input]: 1 })).toMatch(
      /^(payload-too-large|rate-limited)$/,
    )
    await expectAlive(client)
  })

  test('of depth, and of bytes where there should be none, is refused', async () => {
    await using server = await serveAgentGateway({ agents: { echo } })
    const client = await server.connect().connected
    const deep: unknown = JSON.parse(`${'['.repeat(500)}${']'.repeat(500)}`)
    expect(await client.refusalOf('agent.run', { ...whole, input: deep })).toBe('too-deep')
    expect(await client.refusalOf('agent.run', { ...whole, input: Buffer.from('Hi') })).toBe('invalid-frame')
    await expectAlive(client)
  })

  test.each([['websocket'], ['polling']])('at once, over %s, is answered one by one', async (transport) => {
    await using server = await serveAgentGateway({ agents: { echo } })
    const client = await server.connect({ transports: [transport] }).connected
    const codes = await Promise.all(
      Array.from({ length: 1_000 }, (_, n) =>
        client.refusalOf('agent.run', { name: 'echo', input: 'Hi', runId: `r${n}`, sessionId: `s${n % 8}` }),
      ),
    )
    const count = (code: string): number => codes.filter((each) => each === code).length
    expect(count('rate-limited')).toBeGreaterThanOrEqual(940)
    expect(count('rate-limited') + count('not refused') + count('thread-busy')).toBe(1_000)
    expect(client.socket.connected).toBe(true)
    const started = codes.flatMap((code, n) => (code === 'not refused' ? [`r${n}`] : []))
    expect(started.length).toBeGreaterThan(0)
    for (const runId of started) await client.next('agent.done', runId)
    await expectAlive(await server.connect().connected)
  })

  test('of sessions on one socket is refused while they are watched', async () => {
    const machine = { limits: { subscriptions: 2 } }
    await using server = await serveAgentGateway({ agents: { echo } }, { machine })
    const client = await server.connect().connected
    for (const sessionId of ['s1', 's2']) {
      await (await server.connect().connected).run('agent.run', { name: 'echo', input: 'Hi', sessionId })
      await client.ask('session.resume', { sessionId })
    }
    const run = { name: 'echo', input: 'Hi', sessionId: 's3' }
    expect(await client.refusalOf('agent.run', run)).toBe('too-many-subscriptions')
    await client.ask('session.leave', { sessionId: 's1' })
    expect(await client.next('agent.done', await client.run('agent.run', run))).toMatchObject({
      sessionId: 's3',
    })
  })

  test('of sessions that nothing goes on in makes room by itself, and says so', async () => {
    const puppet = puppetAgent('puppet')
    const machine = { limits: { subscriptions: 2 } }
    await using server = await serveAgentGateway({ agents: { echo, puppet } }, { machine })
    const client = await server.connect().connected
    const going = await client.run('agent.run', { name: 'puppet', input: 'Hi', sessionId: 'long' })
    const run = await puppet.nextRun()
    for (const sessionId of ['s1', 's2', 's3']) {
      const runId = await client.run('agent.run', { name: 'echo', input: 'Hi', sessionId })
      expect(await client.next('agent.done', runId)).toMatchObject({ sessionId })
    }
    expect(client.all('session.left')).toStrictEqual([{ sessionId: 's1' }, { sessionId: 's2' }])
    run.end()
    expect(await client.next('agent.done', going)).toMatchObject({ sessionId: 'long' })
  })
})

test('a socket that goes leaves its runs to go on', async () => {
  const puppet = puppetAgent('puppet')
  const counter = countingAgent()
  await using server = await serveAgentGateway({ agents: { puppet, counter } })
  const first = await server.connect().connected
  const runId = await first.run('agent.run', { name: 'puppet', input: 'Hi', sessionId: 's1' })
  const run = await puppet.nextRun()
  first.socket.disconnect()
  await run.say('Still here.')
  const second = await server.connect().connected
  await second.ask('session.resume', { sessionId: 's1' })
  run.end()
  expect(await second.next('agent.done', runId)).toMatchObject({ output: { text: 'Still here.' } })
})
