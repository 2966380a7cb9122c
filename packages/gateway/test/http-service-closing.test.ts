import { connect } from 'node:net'
import type { Gateway } from '@turnpike/gateway'
import { createHttpService } from '@turnpike/gateway'
import { createThreadStream } from '@turnpike/gateway/thread-stream'
import { countingAgent, puppetAgent, scriptedAgent } from '@turnpike/testkit'
import { connectSocketIo } from '@turnpike/testkit/socket-io'
import { describe, expect, test } from 'vitest'
import { type ChatService, serveChat } from './chat-server.ts'
import { recordingLogger, testGateway } from './harness.ts'
import { durableStore } from './restarts.ts'

const EVENTS = { accept: 'text/event-stream' }

/** The frames of an event stream, once it has ended. */
async function framesOf(response: Response): Promise<unknown[]> {
  const text = await response.text()
  return text.split('\n').flatMap((line) => (line.startsWith('data: ') ? [JSON.parse(line.slice(6))] : []))
}

async function closing(gateway: Gateway, serve: (gateway: Gateway) => Promise<void>): Promise<void> {
  await serve(gateway)
  await gateway.drain(0)
}

describe('a service that closes', () => {
  test('and not its gateway tells those who wait for an answer', async () => {
    await closing(testGateway([]), async (gateway) => {
      const agent = puppetAgent('puppet')
      const service = await serveChat({ agent }, { gateway })
      const json = service.chat('agent', { message: 'one', sessionId: 'a' })
      const events = service.chat('agent', { message: 'two', sessionId: 'b' }, EVENTS)
      const socket = await service.connect()
      socket.chat('three', { sessionId: 'c' })
      for (let run = 0; run < 3; run++) await (await agent.nextRun()).say('Well, ')
      await socket.next('chunk')
      const stream = await events
      await service.close(0)
      expect((await json).status).toBe(503)
      expect(await (await json).json()).toMatchObject({ error: { code: 'draining' } })
      expect((await framesOf(stream)).at(-1)).toMatchObject({ type: 'error', code: 'draining' })
      expect(await socket.closed).toBe(1012)
    })
  })

  test('does not wait for clients of other wires on its port', async () => {
    await closing(testGateway([]), async (gateway) => {
      const service = createHttpService({ agents: { counter: countingAgent() }, gateway })
      createThreadStream({ server: service.server, gateway })
      const url = await service.listen(0)
      await using client = await connectSocketIo({ url, transports: ['websocket'] })
      await service.close(0)
      await client.closed
    })
  })

  test('tells a stream whose chat is left to the next process that it is', async () => {
    const agent = puppetAgent('puppet')
    const service = await serveChat({ agent }, { store: durableStore() })
    await service.chat('agent', { message: 'one', sessionId: 'a' }, EVENTS)
    const stream = await service.chat('agent', { message: 'two', sessionId: 'a' }, EVENTS)
    await agent.nextRun()
    await service.close(0)
    expect(await framesOf(stream)).toEqual([
      { type: 'error', message: expect.any(String), code: 'draining', retryAfterMs: expect.anything() },
    ])
  })

  test('does not listen any more, also where it was about to', async () => {
    const service = createHttpService({ agents: { counter: countingAgent() }, gateway: testGateway([]) })
    const listening = service.listen(0)
    const closed = service.close()
    await expect(listening).rejects.toMatchObject({ code: 'draining' })
    await closed
    await expect(service.listen(0)).rejects.toMatchObject({ code: 'draining' })
    expect(service.server.listening).toBe(false)
    await service.gateway.drain(0)
  })
})

describe('a chat that is asked for again', () => {
  async function askTwice(service: ChatService, agent: string): Promise<[unknown, unknown]> {
    const body = { message: '3', sessionId: 's1', runId: 'r1' }
    const first = await service.chat(agent, body)
    // A message that the log has no room for, and as many as a history does not go back.
    await service.chat('counter', { message: '300', sessionId: 's1' })
    for (let turn = 0; turn < 6; turn++) await service.chat('counter', { message: '1', sessionId: 's1' })
    const again = await service.chat(agent, body)
    return [await first.json(), await again.json()]
  }

  const limits = { replayWindowMs: 1, logBytes: 2_000, historyMessages: 4 }

  test('long after that has its answer, with how it had ended', async () => {
    const usage = { inputTokens: 3, outputTokens: 5 }
    const short = scriptedAgent('short', ['Once upon'], { finishReason: 'length', usage })
    await using service = await serveChat({ counter: countingAgent(), short }, { limits })
    const [first, again] = await askTwice(service, 'short')
    expect(first).toMatchObject({ text: 'Once upon', finishReason: 'length', usage })
    expect({ ...(again as object), steps: 0 }).toEqual({ ...(first as object), steps: 0 })
  })

  test('long after that has its error', async () => {
    const service = await serveChat({ counter: countingAgent(), failing: failingAgent() }, { limits })
    const [first, again] = await askTwice(service, 'failing')
    expect(first).toMatchObject({ error: { code: 'agent-failed' } })
    expect(again).toEqual(first)
    await service.close(0)
  })
})

test('a client that leaves in the middle of its request is no failure of the server', async () => {
  const logger = recordingLogger()
  await closing(testGateway([], { logger }), async (gateway) => {
    const service = await serveChat({ counter: countingAgent() }, { gateway })
    const { port } = new URL(service.url)
    const gone = new Promise((resolve) =>
      service.server.once('connection', (socket) => socket.once('close', resolve)),
    )
    const head = 'POST /v1/chat/counter HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{"mess'
    const socket = connect(Number(port), '127.0.0.1', () => socket.write(head))
    service.server.once('request', () => socket.resetAndDestroy())
    await gone
    await service.chat('counter', { message: '1' })
    expect(logger.errors).toEqual([])
    await service.close(0)
  })
})

test.each([
  ['text/event-stream', 'text/event-stream'],
  ['application/json, text/event-stream', 'text/event-stream'],
  ['Text/Event-Stream;q=0.5', 'text/event-stream'],
  ['application/json, text/event-stream;q=0.9', 'application/json'],
  ['application/json, text/event-stream;q=0', 'application/json'],
  ['text/event-stream;q=0', 'application/json'],
  ['*/*', 'application/json'],
  ['text/html', 'application/json'],
])('a client that accepts %s gets %s', async (accept, type) => {
  await using service = await serveChat({ counter: countingAgent() })
  const response = await service.chat('counter', { message: '1' }, { accept })
  expect(response.headers.get('content-type')).toContain(type)
  await response.text()
})

function failingAgent(): ReturnType<typeof scriptedAgent> {
  const { name, info } = scriptedAgent('failing', [])
  return {
    name,
    info,
    async *run() {
      yield 'Well, '
      throw new Error('It broke.')
    },
  }
}
