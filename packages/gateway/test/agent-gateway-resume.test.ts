import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Runnable, Registry } from '@turnpike/agents'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { countingAgent, puppetAgent } from '@turnpike/testkit'
import { describe, expect, test, vi } from 'vitest'
import { type AgentServer, serveAgentGateway } from './agent-gateway-harness.ts'
import { parkingAgent, testGateway } from './harness.ts'
import { durableStore } from './restarts.ts'

/** The words "1 2 3 …" up to a number. */
function counted(last: number): string {
  return Array.from({ length: last }, (_, index) => `${index + 1} `).join('')
}

describe.each([['websocket'], ['polling']])('a session that is cut off over %s', (transport) => {
  test('goes on after the last event that was seen, with no gap and nothing twice', async () => {
    const puppet = puppetAgent('puppet')
    await using server = await serveAgentGateway({ agents: { puppet } })
    const first = await server.connect({ transports: [transport] }).connected
    const runId = await first.run('agent.run', { name: 'puppet', input: 'Hi', sessionId: 's1' })
    const run = await puppet.nextRun()
    for (let n = 1; n <= 20; n++) await run.say(`${n} `)
    await first.until(() => first.all('agent.chunk').slice(19))
    // What came last was seen, and then the line went dead: a few more were written to nobody.
    const seen = first.eventIds.slice(0, 15)
    first.socket.io.engine.close()
    for (let n = 21; n <= 40; n++) await run.say(`${n} `)

    const second = await server.connect({ transports: [transport] }).connected
    const lastEventId = seen.at(-1)
    expect(await second.ask('session.resume', { sessionId: 's1', lastEventId })).toStrictEqual({
      ok: true,
      recovered: true,
      head: lastEventId,
    })
    for (let n = 41; n <= 50; n++) await run.say(`${n} `)
    run.end()
    const done = await second.next('agent.done', runId)
    const before = first.told.slice(0, 15).map(({ body: { chunk } }) => chunk)
    expect(before.join('') + second.text(runId)).toBe(counted(50))
    expect(done).toMatchObject({ output: { text: counted(50) } })
    const ids = [...seen, ...second.eventIds]
    expect(ids).toStrictEqual([...new Set(ids)].toSorted())
  })
})

describe('a session', () => {
  test('goes on from anywhere: each event that was missed, at every cut', async () => {
    const counter = countingAgent('counter')
    await using server = await serveAgentGateway({ agents: { counter }, maxRequestsPerMinute: 0 })
    const client = await server.connect().connected
    const runId = await client.run('agent.run', { name: 'counter', input: '12', sessionId: 's1' })
    await client.next('agent.done', runId)
    const whole = client.told
    for (const [index, lastEventId] of client.eventIds.entries()) {
      const other = await server.connect().connected
      await other.ask('session.resume', { sessionId: 's1', lastEventId })
      const missed = whole.slice(index + 1)
      if (missed.length > 0) await other.next('agent.done')
      expect(other.told).toStrictEqual(missed)
    }
  })

  test('that cannot go on is told so, with its history', async () => {
    const counter = countingAgent('counter')
    await using server = await serveAgentGateway({ agents: { counter } })
    const client = await server.connect().connected
    await client.next(
      'agent.done',
      await client.run('agent.run', { name: 'counter', input: '2', sessionId: 's1' }),
    )
    const answer = await client.ask('session.resume', { sessionId: 's1', lastEventId: '1-9999999999' })
    expect(answer).toMatchObject({
      ok: true,
      recovered: false,
      cause: 'unknown',
      head: client.eventIds.at(-1),
      history: [{ role: 'user' }, { role: 'assistant', parts: [{ type: 'text', text: '1 2 ' }] }],
    })
  })

  test('that cannot go on is told so as a reset, where nobody takes the answer', async () => {
    const counter = countingAgent('counter')
    await using server = await serveAgentGateway({ agents: { counter } })
    const client = await server.connect().connected
    await client.next(
      'agent.done',
      await client.run('agent.run', { name: 'counter', input: '2', sessionId: 's1' }),
    )
    const late = await server.connect().connected
    late.send('session.resume', { sessionId: 's1', lastEventId: '1-9999999999' })
    expect(await late.next('session.reset')).toMatchObject({
      sessionId: 's1',
      cause: 'unknown',
      eventId: client.eventIds.at(-1),
      history: [{ role: 'user' }, { role: 'assistant', parts: [{ type: 'text', text: '1 2 ' }] }],
    })
  })

  test('is refused where it is unknown, or the event id is none', async () => {
    await using server = await serveAgentGateway({})
    const client = await server.connect().connected
    expect(await client.refusalOf('session.resume', { sessionId: 's1' })).toBe('unknown-thread')
    expect(await client.refusalOf('session.resume', { sessionId: 's1', lastEventId: '' })).toBe(
      'invalid-event-id',
    )
  })

  test('whose reader fell behind is reset, and goes on from there', async () => {
    const puppet = puppetAgent('puppet')
    const limits = { logBytes: 40_000, replayWindowMs: 0 }
    await using server = await serveAgentGateway({ agents: { puppet } }, { machine: { limits } })
    const client = await server.connect().connected
    const runId = await client.run('agent.run', { name: 'puppet', input: 'Hi', sessionId: 's1' })
    const run = await puppet.nextRun()
    // The server stops taking what the client was given; what the log cannot keep meanwhile is let go.
    const raw = [...server.io.of('/turnpike').sockets.values()][0]?.conn.transport as unknown as {
      socket: { _socket: { cork: () => void; uncork: () => void } }
    }
    raw.socket._socket.cork()
    for (let n = 0; n < 60; n++) await run.say(`${n}`.padEnd(15_000, '.'))
    raw.socket._socket.uncork()
    const reset = await client.next('session.reset')
    expect(reset).toMatchObject({ sessionId: 's1', cause: 'lagged', history: [{}, { status: 'open' }] })
    expect(reset['eventId']).toBe(reset['head'])
    run.end()
    expect(await client.next('agent.done', runId)).toMatchObject({ finishReason: 'stop' })
  })
})

describe('after a restart', () => {
  async function restarted(
    agents: Readonly<Record<string, Runnable>>,
    work: (start: () => Promise<AgentServer>) => Promise<void>,
  ): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'turnpike-'))
    try {
      await work(() => {
        const gateway = testGateway([], { store: sqliteStore({ file: join(folder, 'store.sqlite') }) })
        return serveAgentGateway({ agents, gateway, registry: new Registry() })
      })
    } finally {
      await rm(folder, { recursive: true })
    }
  }

  test('a session goes on where it was left, or from its history', async () => {
    await restarted({ counter: countingAgent('counter') }, async (start) => {
      const ids: string[] = []
      {
        await using server = await start()
        const client = await server.connect().connected
        const runId = await client.run('agent.run', { name: 'counter', input: '3', sessionId: 's1' })
        await client.next('agent.done', runId)
        ids.push(...client.eventIds)
      }
      await using server = await start()
      const [reader, late] = await Promise.all([server.connect().connected, server.connect().connected])
      const resumed = await reader.ask('session.resume', { sessionId: 's1', lastEventId: ids.at(-1) })
      expect(resumed).toMatchObject({ recovered: true, head: ids.at(-1) })
      expect(await late.ask('session.resume', { sessionId: 's1', lastEventId: ids[1] })).toMatchObject({
        recovered: false,
        cause: 'expired',
        history: [{}, { parts: [{ text: '1 2 3 ' }] }],
      })
      const runId = await late.run('agent.run', { name: 'counter', input: '2', sessionId: 's1' })
      expect(await reader.next('agent.done', runId)).toMatchObject({ output: { text: '1 2 ' } })
      expect(await late.next('agent.done', runId)).toStrictEqual(await reader.next('agent.done', runId))
    })
  })

  test('a run that was lost with its process is over for who only resumes', async () => {
    const store = durableStore()
    const puppet = puppetAgent('puppet')
    const lost = await serveAgentGateway({ agents: { puppet }, gateway: testGateway([], { store }) })
    const first = await lost.connect().connected
    await first.run('agent.run', { name: 'puppet', input: 'Hi', sessionId: 's1' })
    await (await puppet.nextRun()).say('so far')

    const gateway = testGateway([], { store })
    await using server = await serveAgentGateway({ agents: { puppet }, gateway })
    const client = await server.connect().connected
    const { history } = (await client.ask('session.resume', { sessionId: 's1' })) as { history: object[] }
    expect(history.at(-1)).toMatchObject({ status: 'failed', error: { code: 'run-lost' } })
    await lost.io.close()
  })

  test('a run that waited for approval goes on, also of an agent that only this wire knows by another name', async () => {
    await restarted({ sender: parkingAgent() }, async (start) => {
      let runId = ''
      let approvalId: unknown
      {
        await using server = await start()
        const client = await server.connect().connected
        runId = await client.run('agent.run', { name: 'sender', input: 'mail', sessionId: 's1' })
        approvalId = (await client.next('agent.approval.pending', runId))['approvalId']
        await vi.waitFor(() => expect(server.gateway.runs.count().parked).toBe(1))
      }
      await using server = await start()
      const client = await server.connect().connected
      await client.ask('session.resume', { sessionId: 's1' })
      await client.ask('approval.resolve', { approvalId, approved: true })
      expect(await client.next('agent.done', runId)).toMatchObject({ output: { text: 'asked. mail=true' } })
    })
  })
})
