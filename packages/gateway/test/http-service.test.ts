import { createHttpService } from '@turnpike/gateway'
import { ALL_REPORTS, countingAgent, openEventStream, puppetAgent, scriptedAgent } from '@turnpike/testkit'
import { describe, expect, test } from 'vitest'
import { serveChat } from './chat-server.ts'
import { testGateway } from './harness.ts'

const EVENTS = { accept: 'text/event-stream' }

describe('a chat over HTTP', () => {
  test('is answered as a whole', async () => {
    await using service = await serveChat({ reporter: scriptedAgent('reporter', ALL_REPORTS) })
    const asked = { message: 'How cold is it?', sessionId: 's1', userId: 'ada', runId: 'r1' }
    const response = await service.chat('reporter', asked)
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({
      text: 'It is -3 °C in Oslo.',
      steps: 2,
      finishReason: 'stop',
      usage: { inputTokens: 30, outputTokens: 12 },
      agent: 'reporter',
      sessionId: 's1',
      runId: 'r1',
    })
  })

  test('needs no more than a message, and says what session and run it is', async () => {
    await using service = await serveChat({ counter: countingAgent() })
    const first = (await (await service.chat('counter', { message: '2' })).json()) as Record<string, unknown>
    const second = (await (await service.chat('counter', { message: '2' })).json()) as Record<string, unknown>
    expect(first).toMatchObject({ text: '1 2 ', sessionId: expect.any(String), runId: expect.any(String) })
    expect(second['sessionId']).not.toBe(first['sessionId'])
  })

  test('is streamed to who accepts events: each data is a frame of the wire', async () => {
    await using service = await serveChat({ reporter: scriptedAgent('reporter', ALL_REPORTS) })
    const response = await service.chat('reporter', { message: 'hi', sessionId: 's1', runId: 'r1' }, EVENTS)
    expect(response.headers.get('content-type')).toContain('text/event-stream')
    const text = await response.text()
    const blocks = text.split('\n\n').filter((block) => block !== '' && !block.startsWith(':'))
    const frames = blocks.map((block) => JSON.parse(block.replace(/^data: /, '')))
    const chunks = frames.filter(({ type }) => type === 'chunk')
    expect(chunks.map((chunk) => chunk.text).join('')).toBe('It is -3 °C in Oslo.')
    expect(frames.filter(({ type }) => type !== 'chunk').map(({ type }) => type)).toEqual([
      'tool_call',
      'tool_result',
      'tool_call',
      'tool_result',
      'done',
    ])
    expect(frames.at(-1)).toEqual({
      type: 'done',
      text: 'It is -3 °C in Oslo.',
      steps: 2,
      finishReason: 'stop',
      agent: 'reporter',
      sessionId: 's1',
      runId: 'r1',
    })
  })

  test('may be asked for again under its run id, and runs once', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent })
    const ask = async (): Promise<unknown> =>
      (await service.chat('agent', { message: 'hi', sessionId: 's1', runId: 'r1' })).json()
    const first = ask()
    const run = await agent.nextRun()
    const second = ask()
    await run.say('Once.')
    run.end()
    expect(await second).toEqual(await first)
    expect(await ask()).toEqual(await first)
    const other = await service.chat('agent', { message: 'another', sessionId: 's1', runId: 'r1' })
    expect(other.status).toBe(409)
  })

  test('that is asked for again when the log has let go of it is answered from the history', async () => {
    const agents = { reporter: scriptedAgent('reporter', ALL_REPORTS), counter: countingAgent() }
    await using service = await serveChat(agents, { limits: { replayWindowMs: 1, logBytes: 2_000 } })
    const body = { message: 'How cold is it?', sessionId: 's1', runId: 'r1' }
    const first = await (await service.chat('reporter', body)).json()
    await service.chat('counter', { message: '300', sessionId: 's1' })
    const again = await service.chat('reporter', body)
    expect(await again.json()).toEqual(first)
  })

  test('that fails is answered with the status of its code', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent })
    const answer = service.chat('agent', { message: 'hi' })
    const run = await agent.nextRun()
    run.fail(new Error('secret'))
    const response = await answer
    expect(response.status).toBe(500)
    expect(await response.json()).toEqual({ error: { code: 'agent-failed', message: 'The agent failed.' } })
  })

  test('goes on when nobody waits for the answer any more', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent })
    const url = `${service.url}/v1/chat/agent`
    for (const headers of [{}, EVENTS]) {
      const abort = new AbortController()
      const body = JSON.stringify({ message: 'hi', sessionId: 's1' })
      const asked = fetch(url, { method: 'POST', body, headers, signal: abort.signal })
      const run = await agent.nextRun()
      abort.abort()
      await asked.then((response) => response.text()).catch(() => {})
      await expect.poll(() => service.gateway.connectionCount).toBe(0)
      await run.say('All the same.')
      run.end()
      await run.closed
      expect(run.context.signal.aborted).toBe(false)
    }
    const session = await fetch(`${service.url}/v1/sessions/s1`)
    const { messages } = (await session.json()) as { messages: { status: string }[] }
    expect(messages.map(({ status }) => status)).toEqual(['done', 'done', 'done', 'done'])
  })

  test('may be stopped, and is answered with the text so far', async () => {
    const agent = puppetAgent('puppet')
    await using service = await serveChat({ agent })
    const answer = service.chat('agent', { message: 'hi', runId: 'r1' })
    const run = await agent.nextRun()
    await run.say('So far')
    const stopped = await fetch(`${service.url}/v1/runs/r1/cancel`, { method: 'POST' })
    expect(await stopped.json()).toEqual({ status: 'cancelling' })
    expect(await (await answer).json()).toMatchObject({ text: 'So far', finishReason: 'cancelled' })
  })

  test('that a shutdown interrupts is answered all the same', async () => {
    const agent = puppetAgent('puppet')
    const service = await serveChat({ agent }, { limits: { graceMs: 50 } })
    const answer = service.chat('agent', { message: 'hi' })
    const run = await agent.nextRun()
    await run.say('So far')
    await service.close(0)
    expect(await (await answer).json()).toMatchObject({ text: 'So far', finishReason: 'interrupted' })
  })
})

describe('what is wrong with a request', () => {
  test.each([
    ['counter', '', 400, 'invalid-frame'],
    ['counter', '{"message":', 400, 'invalid-frame'],
    ['counter', '[]', 400, 'invalid-payload'],
    ['counter', {}, 400, 'invalid-payload'],
    ['counter', { message: '' }, 400, 'invalid-payload'],
    ['counter', { message: 'hi', sessionId: 7 }, 400, 'invalid-payload'],
    ['counter', { message: 'hi', userId: '' }, 400, 'invalid-payload'],
    ['counter', `{"message":${'['.repeat(100)}${']'.repeat(100)}}`, 400, 'too-deep'],
    ['nobody', { message: 'hi' }, 404, 'unknown-agent'],
    ['__proto__', { message: 'hi' }, 404, 'unknown-agent'],
    ['constructor', { message: 'hi' }, 404, 'unknown-agent'],
    ['x'.repeat(300), { message: 'hi' }, 400, 'invalid-payload'],
  ])('at %s, %j, is told as %i %s', async (...[agent, body, status, code]) => {
    await using service = await serveChat({ counter: countingAgent() })
    const response = await service.chat(agent, body)
    expect(response.status).toBe(status)
    expect(await response.json()).toEqual({ error: { code, message: expect.any(String) } })
  })

  test('of too many bytes is told', async () => {
    await using service = await serveChat({ counter: countingAgent() }, { limits: { frameBytes: 1_000 } })
    const response = await service.chat('counter', { message: 'x'.repeat(1_000) })
    expect(response.status).toBe(413)
    expect(await response.json()).toMatchObject({ error: { code: 'payload-too-large' } })
  })

  test('is told as JSON to who wants events, too', async () => {
    await using service = await serveChat({ counter: countingAgent() })
    const response = await service.chat('nobody', { message: 'hi' }, EVENTS)
    expect(response.status).toBe(404)
    expect(await response.json()).toMatchObject({ error: { code: 'unknown-agent' } })
  })

  test.each(['/v1', '/v1/chat', '/v1/chat/', '/v1/nothing', '/v1/sessions/', '/threads', '/%'])(
    'at %s is that nothing is there',
    async (path) => {
      await using service = await serveChat({ counter: countingAgent() })
      const response = await fetch(`${service.url}${path}`)
      expect(response.status).toBe(404)
      expect(await response.json()).toMatchObject({ error: { code: 'unknown-route' } })
    },
  )
})

describe('beside chats, the service tells', () => {
  test('which agents there are, in the order of the map and by its names', async () => {
    const agents = { zoe: countingAgent('any'), adam: scriptedAgent('other', []) }
    await using service = await serveChat(agents)
    const { agents: told } = (await (await fetch(`${service.url}/v1/agents`)).json()) as { agents: object[] }
    expect(told).toEqual([
      { name: 'zoe', kind: 'agent', model: null, provider: null, tools: [] },
      { name: 'adam', kind: 'agent', model: null, provider: null, tools: [] },
    ])
  })

  test('what was said in a session, page by page, and nothing of one that is not there', async () => {
    await using service = await serveChat({ counter: countingAgent() })
    for (const message of ['1', '2']) await service.chat('counter', { message, sessionId: 'my/own' })
    const url = `${service.url}/v1/sessions/${encodeURIComponent('my/own')}`
    const all = (await (await fetch(url)).json()) as { sessionId: string; messages: { parts: unknown }[] }
    expect(all.sessionId).toBe('my/own')
    expect(all.messages.map(({ parts }) => parts)).toEqual(
      ['1', '1 ', '2', '1 2 '].map((text) => [{ type: 'text', text }]),
    )
    const page = (await (await fetch(`${url}?limit=2`)).json()) as { messages: unknown[]; before: number }
    expect(page).toMatchObject({ more: true, before: expect.any(Number) })
    expect(page.messages).toHaveLength(2)
    const before = (await (await fetch(`${url}?before=${page.before}`)).json()) as { messages: unknown[] }
    expect(before.messages).toHaveLength(2)
    const unknown = await fetch(`${service.url}/v1/sessions/nobody`)
    expect(unknown.status).toBe(404)
    expect(await unknown.json()).toMatchObject({ error: { code: 'unknown-thread' } })
  })

  test('that it is there', async () => {
    await using service = await serveChat({ counter: countingAgent() })
    for (const path of ['/health', '/healthz', '/readyz']) {
      expect(await (await fetch(`${service.url}${path}`)).json()).toEqual({ status: 'ok' })
    }
  })
})

describe('a browser', () => {
  test.each([
    ['*', 'https://any.example', 200],
    [['https://app.example'], 'https://app.example', 200],
    [{ origin: 'https://app.example' }, 'https://app.example', 200],
    [{ origin: ['https://app.example'] }, 'https://other.example', 403],
    [undefined, 'https://app.example', 403],
  ] as const)('with cors %j comes from %s: %i', async (cors, origin, status) => {
    await using service = await serveChat({ counter: countingAgent() }, cors === undefined ? {} : { cors })
    const response = await fetch(`${service.url}/v1/agents`, { headers: { origin } })
    expect(response.status).toBe(status)
    if (status === 200) expect(response.headers.get('access-control-allow-origin')).toBe(origin)
    const opened = service.connect('/ws', { origin })
    if (status === 200) await opened
    else await expect(opened).rejects.toThrow('403')
  })
})

describe('a service', () => {
  test('without settings shares the gateway of the process; with any, it has its own', async () => {
    const agents = { counter: countingAgent() }
    const services = [
      createHttpService({ agents }),
      createHttpService({ agents }),
      createHttpService({ agents, limits: {} }),
    ]
    const [one, two, three] = services.map(({ gateway }) => gateway)
    expect(one).toBe(two)
    expect(three).not.toBe(one)
    await Promise.all(services.map((service) => service.close(0)))
    expect(one?.isDraining).toBe(true)
  })

  test('takes a gateway, or what one is made of, and not both', async () => {
    const gateway = testGateway([])
    const agents = { counter: countingAgent() }
    expect(() => createHttpService({ agents, gateway, limits: {} })).toThrow(TypeError)
    expect(() => createHttpService({ agents, gateway, cors: '*' })).toThrow(TypeError)
    await gateway.drain(0)
  })

  test('may be closed twice, and without ever having listened', async () => {
    const service = createHttpService({ agents: { counter: countingAgent() } })
    await Promise.all([service.close(0), service.close(0)])
  })

  test('is read by any parser of event streams', async () => {
    await using service = await serveChat({ counter: countingAgent() })
    const url = `${service.url}/v1/chat/counter`
    await using stream = await openEventStream({ url, body: { message: '2' }, headers: EVENTS })
    const blocks = await stream.events.until(({ data }) => (data as { type: string }).type === 'done')
    expect(blocks.at(-1)).toMatchObject({ data: { type: 'done', text: '1 2 ' } })
  })
})
