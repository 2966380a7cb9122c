import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { defineAgent } from '@turnpike/agents'
import { attachWebSocketTransport, createHttpService } from '@turnpike/gateway'
import { ALL_REPORTS, countingAgent, puppetAgent, scriptedAgent } from '@turnpike/testkit'
import { describe, expect, test } from 'vitest'
import { ChatClient, serveChat } from './chat-server.ts'
import { testGateway } from './harness.ts'

describe('a chat', () => {
  test('is told in exactly the frames of the wire, each with its run', async () => {
    await using service = await serveChat({ reporter: scriptedAgent('reporter', ALL_REPORTS) })
    const client = await service.connect()
    client.chat('How cold is it?', { sessionId: 's1', runId: 'r1' })
    await client.next('done')
    const runId = 'r1'
    const chunks = client.all('chunk')
    expect(chunks.length).toBeGreaterThan(0)
    for (const chunk of chunks) expect(chunk).toEqual({ type: 'chunk', text: expect.any(String), runId })
    expect(client.text('r1')).toBe('It is -3 °C in Oslo.')
    expect(client.told.filter(({ type }) => type !== 'chunk')).toEqual([
      { type: 'tool_call', name: 'weather', args: { city: 'Oslo' }, runId },
      { type: 'tool_result', name: 'weather', result: { celsius: -3 }, runId },
      { type: 'tool_call', name: 'broken', args: {}, runId },
      { type: 'tool_result', name: 'broken', error: { code: 'tool-failed', message: 'No.' }, runId },
      {
        type: 'done',
        text: 'It is -3 °C in Oslo.',
        steps: 2,
        finishReason: 'stop',
        agent: 'reporter',
        sessionId: 's1',
        runId,
      },
    ])
  })

  test('that fails ends in an error with a code, and the next one goes on', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent })
    const client = await service.connect()
    client.chat('one', { runId: 'r1' })
    const run = await agent.nextRun()
    await run.say('So far')
    run.fail(new Error('secret'))
    expect(await client.next('error')).toEqual({
      type: 'error',
      message: 'The agent failed.',
      code: 'agent-failed',
      runId: 'r1',
    })
    client.chat('two', { runId: 'r2' })
    const second = await agent.nextRun()
    second.end()
    expect(await client.next('done', 'r2')).toMatchObject({ text: '', agent: 'agent' })
  })

  test('goes to the first agent, or to the one it names by the name in the map', async () => {
    const agents = {
      first: scriptedAgent('its own name', ['one']),
      second: scriptedAgent('second', ['two']),
    }
    await using service = await serveChat(agents)
    const client = await service.connect()
    client.chat('hi', { runId: 'r1', sessionId: 'a' })
    client.chat('hi', { runId: 'r2', sessionId: 'b', agent: 'second' })
    client.chat('hi', { runId: 'r3', sessionId: 'c', agent: 'its own name' })
    client.chat('hi', { runId: 'r4', sessionId: 'd', agent: '__proto__' })
    expect(await client.next('done', 'r1')).toMatchObject({ text: 'one', agent: 'first' })
    expect(await client.next('done', 'r2')).toMatchObject({ text: 'two', agent: 'second' })
    expect(await client.next('error', 'r3')).toMatchObject({ code: 'unknown-agent' })
    expect(await client.next('error', 'r4')).toMatchObject({ code: 'unknown-agent' })
  })

  test('whose run id the server chooses tells it in every frame', async () => {
    await using service = await serveChat({ counter: countingAgent() })
    const client = await service.connect()
    client.chat('3')
    const { runId } = await client.next('done')
    expect(runId).toMatch(/^[\w-]{20,}$/)
    expect(new Set(client.told.map((frame) => frame['runId']))).toEqual(new Set([runId]))
  })
})

describe('several chats on one socket', () => {
  test('of different sessions run side by side, told apart by their run', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent })
    const client = await service.connect()
    const ids = ['r1', 'r2', 'r3']
    for (const runId of ids) client.chat(runId, { runId, sessionId: `of ${runId}` })
    const runs = [await agent.nextRun(), await agent.nextRun(), await agent.nextRun()]
    for (const run of runs) await run.say(`${run.input.text} begins, `)
    for (const run of runs.toReversed()) {
      await run.say(`${run.input.text} ends`)
      run.end()
    }
    for (const runId of ids) {
      const text = `${runId} begins, ${runId} ends`
      expect(await client.next('done', runId)).toMatchObject({ text, sessionId: `of ${runId}` })
      expect(client.text(runId)).toBe(text)
    }
    expect(client.all('done').map((frame) => frame['runId'])).toEqual(ids.toReversed())
  })

  test('without a session are of one, in turn, with what was said before', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent })
    const client = await service.connect()
    client.chat('one', { runId: 'r1' })
    client.chat('two', { runId: 'r2' })
    const first = await agent.nextRun()
    await first.say('1')
    first.end()
    const second = await agent.nextRun()
    expect(second.input.history.map(({ role }) => role)).toEqual(['user', 'assistant'])
    second.end()
    const [{ sessionId }, { sessionId: again }] = [
      await client.next('done', 'r1'),
      await client.next('done', 'r2'),
    ]
    expect(again).toBe(sessionId)

    const other = await service.connect()
    other.chat('three')
    const third = await agent.nextRun()
    expect(third.input.history).toEqual([])
    third.end()
    expect((await other.next('done'))['sessionId']).not.toBe(sessionId)
  })

  test('may be more than a socket follows sessions: those that are through make room', async () => {
    const gateway = testGateway([], { limits: { subscriptions: 2 } })
    await using service = await serveChat({ counter: countingAgent() }, { gateway })
    const client = await service.connect()
    for (let n = 1; n <= 5; n++) {
      client.chat('2', { runId: `r${n}`, sessionId: `s${n}` })
      expect(await client.next('done', `r${n}`)).toMatchObject({ text: '1 2 ' })
    }
    await gateway.drain(0)
  })

  test('wait in a line of bounded length; beyond it a chat is refused, and the others go on', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent }, { limits: { queuedRuns: 1 } })
    const client = await service.connect()
    for (const runId of ['r1', 'r2', 'r3']) client.chat('hi', { runId })
    expect(await client.next('error')).toMatchObject({ code: 'thread-busy', runId: 'r3' })
    for (const runId of ['r1', 'r2']) {
      const run = await agent.nextRun()
      run.end()
      await client.next('done', runId)
    }
  })
})

describe('a cancelled chat', () => {
  test('is done at once, with the text so far; others go on', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent })
    const client = await service.connect()
    client.chat('one', { runId: 'r1', sessionId: 'a' })
    client.chat('two', { runId: 'r2', sessionId: 'b' })
    const runs = [await agent.nextRun(), await agent.nextRun()]
    for (const run of runs) await run.say('So far. ')
    client.send({ type: 'cancel', runId: 'r1' })
    expect(await client.next('done', 'r1')).toMatchObject({ finishReason: 'cancelled', text: 'So far. ' })
    expect(runs[0]?.context.signal.aborted).toBe(true)
    expect(runs[1]?.context.signal.aborted).toBe(false)
    runs[1]?.end()
    expect(await client.next('done', 'r2')).toMatchObject({ finishReason: 'stop' })
  })

  test('may still wait for its turn, and may be cancelled from another socket', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent })
    const client = await service.connect()
    const other = await service.connect('/v1/ws')
    client.chat('one', { runId: 'r1' })
    const run = await agent.nextRun()
    client.chat('two', { runId: 'r2' })
    // In order behind the chat, so that the run is there.
    client.send({ type: 'cancel', runId: 'r2' })
    expect(await client.next('done', 'r2')).toMatchObject({ finishReason: 'cancelled', text: '' })
    await run.say('So far')
    other.send({ type: 'cancel', runId: 'r1' })
    expect(await client.next('done', 'r1')).toMatchObject({ finishReason: 'cancelled', text: 'So far' })
  })

  test('that is over, or was never there, harms nothing', async () => {
    await using service = await serveChat({ counter: countingAgent() })
    const client = await service.connect()
    client.chat('2', { runId: 'r1' })
    await client.next('done', 'r1')
    client.send({ type: 'cancel', runId: 'r1' })
    client.send({ type: 'cancel', runId: 'nobody' })
    expect(await client.next('error')).toMatchObject({ code: 'unknown-run', runId: 'nobody' })
    expect(client.all('error')).toHaveLength(1)
  })
})

describe('a session', () => {
  test('is shared by the sockets and requests that name it', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent })
    const [one, two] = [await service.connect(), await service.connect('/')]
    one.chat('from one', { sessionId: 's1', runId: 'r1' })
    const first = await agent.nextRun()
    await first.say('to one')
    first.end()
    await one.next('done', 'r1')
    two.chat('from two', { sessionId: 's1', runId: 'r2' })
    const second = await agent.nextRun()
    expect(second.input.history).toHaveLength(2)
    await second.say('to both')
    second.end()
    // Who follows the session hears of it, told apart by the run.
    for (const client of [one, two])
      expect(await client.next('done', 'r2')).toMatchObject({ text: 'to both' })
    expect(two.all('done', 'r1')).toEqual([])

    const answer = service.chat('agent', { message: 'over HTTP', sessionId: 's1' })
    const third = await agent.nextRun()
    expect(third.input.history).toHaveLength(4)
    third.end()
    expect(await (await answer).json()).toMatchObject({ sessionId: 's1' })
  })

  test('goes on when its socket drops away', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent })
    const client = await service.connect()
    client.chat('hi', { sessionId: 's1', runId: 'r1' })
    const run = await agent.nextRun()
    await run.say('Before. ')
    client.socket.terminate()
    await client.closed
    await run.say('After.')
    run.end()
    await run.closed
    expect(run.context.signal.aborted).toBe(false)
    const again = await service.connect()
    again.chat('and now?', { sessionId: 's1', runId: 'r2' })
    const next = await agent.nextRun()
    expect(next.input.history.at(-1)?.parts).toEqual([{ type: 'text', text: 'Before. After.' }])
    next.end()
    await again.next('done', 'r2')
  })
})

describe('an approval', () => {
  test('is asked for on the socket, and given from any', async () => {
    const agent = defineAgent({
      name: 'asker',
      register: false,
      async *run(_input, { approvals }) {
        const { approved } = await approvals.request({ toolCallId: 'c', tool: 'send', args: { to: 'ada' } })
        yield approved ? 'sent' : 'not sent'
      },
    })
    await using service = await serveChat({ agent })
    const [one, two] = [await service.connect(), await service.connect()]
    one.chat('send it', { runId: 'r1' })
    const pending = await one.next('approval_pending')
    expect(pending).toMatchObject({ name: 'send', args: { to: 'ada' }, runId: 'r1' })
    two.send({ type: 'approve', approvalId: pending['approvalId'], approved: true })
    expect(await one.next('approval_resolved')).toMatchObject({ approved: true })
    expect(await one.next('done')).toMatchObject({ text: 'sent' })
  })
})

describe('a socket', () => {
  test.each(['/', '/ws', '/v1/ws', '/ws?x=1'])(
    'is served at %s, on the port of the service',
    async (path) => {
      await using service = await serveChat({ counter: countingAgent() })
      const client = await service.connect(path)
      client.chat('2')
      expect(await client.next('done')).toMatchObject({ text: '1 2 ' })
      expect((await fetch(`${service.url}/health`)).status).toBe(200)
    },
  )

  test('is not served elsewhere', async () => {
    await using service = await serveChat({ counter: countingAgent() })
    await expect(service.connect('/stream')).rejects.toThrow('404')
  })

  test('is pinged in frames and in those of the protocol, and may ping itself', async () => {
    await using service = await serveChat(
      { counter: countingAgent() },
      { limits: { pingIntervalMs: 40, pongTimeoutMs: 20 } },
    )
    const client = await service.connect()
    const pinged = new Promise((resolve) => client.socket.once('ping', resolve))
    expect(await client.atLeast(3, 'ping')).toEqual(expect.arrayContaining([{ type: 'ping' }]))
    await pinged
    client.send({ type: 'pong' })
    client.send({ type: 'ping' })
    expect(await client.next('pong')).toEqual({ type: 'pong' })
    expect(client.told).toHaveLength(1)
  })

  test('whose peer answers no ping is cut; its run goes on, and others stay', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent }, { limits: { pingIntervalMs: 40, pongTimeoutMs: 20 } })
    const mute = await service.connect('/ws', { autoPong: false })
    const other = await service.connect()
    mute.chat('hi', { sessionId: 's1' })
    const run = await agent.nextRun()
    expect(await mute.closed).toBe(1006)
    expect(run.context.signal.aborted).toBe(false)
    run.end()
    expect(other.socket.readyState).toBe(other.socket.OPEN)
  })

  test('is told and closed when the service closes', async () => {
    const gateway = testGateway([])
    const agents = { counter: countingAgent() }
    for (const options of [{}, { gateway }]) {
      const service = createHttpService({ agents, ...options })
      expect(attachWebSocketTransport(service.server, agents)).toBeUndefined()
      const url = await service.listen(0)
      const client = new ChatClient(url.replace('http', 'ws'))
      await client.opened
      client.chat('2')
      await client.next('done')
      await service.close(0)
      expect(await client.closed).toBe(1012)
      expect(await client.next('error')).toMatchObject({ code: 'draining' })
      await expect(fetch(`${url}/health`)).rejects.toThrow()
    }
    expect(gateway.connectionCount).toBe(0)
    expect(gateway.isDraining).toBe(false)
    await gateway.drain(0)
  })
})

test('the transport goes on any server, whatever else that serves', async () => {
  const gateway = testGateway([])
  const server = createServer((_request, response) => void response.end('mine'))
  attachWebSocketTransport(server, { counter: countingAgent() }, { gateway, paths: ['/chat'] })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const client = new ChatClient(`ws://127.0.0.1:${port}/chat`)
  await client.opened
  client.chat('2')
  expect(await client.next('done')).toMatchObject({ text: '1 2 ' })
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('mine')
  await gateway.drain(0)
  expect(await client.closed).toBe(1012)
  await new Promise((resolve) => server.close(resolve))
})
