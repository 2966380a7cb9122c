import { type RunInput, createAgent, defineTool } from '@turnpike/agents'
import { countingAgent } from '@turnpike/testkit'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  type Told,
  chunksOf,
  endlessAgent,
  serveAgents,
  settingsAgent,
  until,
} from './agent-socket-server.ts'
import { callingModel } from './calling-agent.ts'
import { parkingAgent, recordingLogger, testGateway } from './harness.ts'
import { durableStore } from './restarts.ts'

const stock = defineTool({
  name: 'stock',
  description: 'How many there are.',
  parameters: z.object({ item: z.string() }),
  execute: ({ item }) => {
    if (item === 'nothing') throw new Error('There is no such item.')
    return { item, left: 3 }
  },
})
const order = defineTool({
  name: 'order',
  description: 'Orders.',
  parameters: z.object({}),
  needsApproval: true,
  execute: () => 'ordered',
})
const forever = defineTool({
  name: 'forever',
  description: 'Never ends.',
  parameters: z.object({}),
  execute: (_args, { signal }) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
})
const shopAgent = createAgent({
  name: 'shop',
  model: callingModel(['Welcome.']),
  tools: [stock, order, forever],
  register: false,
})

describe('a client', () => {
  test('is told that it is connected, and gets an answer as a whole', async () => {
    await using served = await serveAgents(countingAgent())
    await using client = await served.connect()
    const connected = (await client.inbox.next()) as Told
    expect(connected).toEqual({
      type: 'connected',
      connectionId: served.manager.getAllConnections()[0]?.id,
      timestamp: expect.any(Number),
    })
    client.send({ type: 'generate', payload: { prompt: 'to 3', requestId: 'r' } })
    expect(await until(client, 'response', 'error')).toEqual([
      {
        type: 'response',
        content: '1 2 3 ',
        data: '1 2 3 ',
        finishReason: 'stop',
        usage: { inputTokens: 0, outputTokens: 0 },
        agent: 'counter',
        sessionId: connected['connectionId'],
        requestId: 'r',
      },
    ])
  })

  test('gets a stream from its start to its end, each message with the id of the request', async () => {
    await using served = await serveAgents(countingAgent())
    await using client = await served.connect()
    client.send({ type: 'stream', payload: { prompt: 'to 5', requestId: 7, options: { sessionId: 's' } } })
    const told = await until(client, 'stream_complete', 'error')
    expect(told[0]).toEqual({ type: 'stream_start', sessionId: 's', agent: 'counter', requestId: 7 })
    expect(chunksOf(told)).toBe('1 2 3 4 5 ')
    expect(told.at(-1)).toMatchObject({ type: 'stream_complete', finishReason: 'stop', sessionId: 's' })
    expect(told.every(({ requestId }) => requestId === 7)).toBe(true)
  })

  test('has as many requests in flight as it likes, told apart by their ids', async () => {
    await using served = await serveAgents({ slow: endlessAgent('slow'), counter: countingAgent() })
    await using client = await served.connect()
    client.send({
      type: 'stream',
      payload: { prompt: 'wait', requestId: 'a', options: { sessionId: 'one' } },
    })
    await until(client, 'stream_start')
    client.send({
      type: 'generate',
      payload: { prompt: 'to 2', requestId: 'b', options: { sessionId: 'two', agent: 'counter' } },
    })
    expect(await until(client, 'response')).toMatchObject([{ content: '1 2 ', requestId: 'b' }])
    client.send({ type: 'cancel', payload: { requestId: 'a' } })
    expect(await until(client, 'stream_complete')).toMatchObject([
      { type: 'stream_complete', requestId: 'a', finishReason: 'cancelled' },
    ])
  })

  test('is not told of what others ask in the same session', async () => {
    await using served = await serveAgents(countingAgent())
    await using one = await served.connect()
    await using other = await served.connect()
    const options = { sessionId: 'shared' }
    for (const client of [one, other]) {
      client.send({ type: 'stream', payload: { prompt: 'to 2', options, requestId: 'r' } })
      await until(client, 'stream_complete')
    }
    one.send({ type: 'generate', payload: { prompt: 'to 1', options } })
    expect(await until(one, 'response')).toMatchObject([{ type: 'response', content: '1 ' }])
  })

  test('asks for the settings of its model, and a wait behind another request does not lose them', async () => {
    const inputs: RunInput[] = []
    const agent = settingsAgent(inputs)
    await using served = await serveAgents(agent)
    await using client = await served.connect()
    const options = { temperature: 0.2, maxTokens: 50 }
    client.send({ type: 'generate', payload: { prompt: 'one', options } })
    client.send({ type: 'generate', payload: { prompt: 'two', options: { temperature: 1 } } })
    client.send({ type: 'generate', payload: { prompt: 'three' } })
    for (let answered = 0; answered < 3; answered++) await until(client, 'response')
    expect(inputs.map(({ settings }) => settings)).toEqual([options, { temperature: 1 }, undefined])
  })

  test('is answered with what went before in its session', async () => {
    const inputs: RunInput[] = []
    await using served = await serveAgents(settingsAgent(inputs))
    await using client = await served.connect()
    for (const prompt of ['one', 'two']) {
      client.send({ type: 'generate', payload: { prompt } })
      await until(client, 'response')
    }
    expect(inputs[1]?.history.map(({ role }) => role)).toEqual(['user', 'assistant'])
  })

  test('stops what it began long ago, and may name what has just ended', async () => {
    const gateway = testGateway([], { limits: { frameBurst: 1_000 } })
    const agents = { slow: endlessAgent('slow'), counter: countingAgent() }
    await using served = await serveAgents(agents, { gateway })
    await using client = await served.connect()
    client.send({ type: 'stream', payload: { prompt: 'wait', requestId: 'long' } })
    await until(client, 'stream_start')
    const options = { agent: 'counter', sessionId: 'other' }
    for (let requestId = 0; requestId < 300; requestId++) {
      client.send({ type: 'generate', payload: { prompt: 'to 1', options, requestId } })
      await until(client, 'response')
    }
    client.send({ type: 'cancel', payload: { requestId: 299 } })
    client.send({ type: 'cancel', payload: { requestId: 'long' } })
    expect(await until(client, 'stream_complete', 'error')).toMatchObject([
      { requestId: 'long', finishReason: 'cancelled' },
    ])
  })

  test('loses nothing of a request by another one of its id that is refused', async () => {
    await using served = await serveAgents({ slow: endlessAgent('slow') })
    await using client = await served.connect()
    client.send({ type: 'stream', payload: { prompt: 'wait', requestId: 1 } })
    await until(client, 'stream_start')
    client.send({ type: 'stream', payload: { prompt: 'x', requestId: 1, options: { agent: 'nobody' } } })
    expect(await until(client, 'error')).toMatchObject([{ requestId: 1, code: 'unknown-agent' }])
    client.send({ type: 'cancel', payload: { requestId: 1 } })
    expect(await until(client, 'stream_complete', 'error')).toMatchObject([{ finishReason: 'cancelled' }])
  })

  test('is told what was decided, also where it decides too late or for another connection', async () => {
    await using served = await serveAgents(parkingAgent())
    await using client = await served.connect()
    await using other = await served.connect()
    client.send({ type: 'generate', payload: { prompt: 'x', requestId: 1 } })
    const [pending] = await until(client, 'approval_pending')
    const approvalId = pending?.['approvalId']
    for (const approved of [true, false]) {
      other.send({ type: 'approve', payload: { approvalId, approved, requestId: 1 } })
      expect(await until(other, 'approval_resolved')).toEqual([
        { type: 'approval_resolved', approvalId, approved: true },
      ])
    }
    other.send({ type: 'approve', payload: { approvalId: 'none', approved: true, requestId: 1 } })
    expect(await until(other, 'error')).toEqual([
      { type: 'error', error: expect.any(String), code: 'unknown-approval' },
    ])
  })

  test('is asked for approval, and approves', async () => {
    await using served = await serveAgents(parkingAgent())
    await using client = await served.connect()
    client.send({ type: 'generate', payload: { prompt: 'x', requestId: 1 } })
    const [pending] = await until(client, 'approval_pending')
    expect(pending).toMatchObject({ toolName: 'send', args: { word: 'x' }, requestId: 1 })
    const approvalId = pending?.['approvalId']
    client.send({ type: 'approve', payload: { approvalId, approved: true } })
    expect(await until(client, 'response')).toMatchObject([
      { type: 'approval_resolved', approvalId, approved: true },
      { type: 'approval_resolved', approvalId, approved: true, requestId: 1 },
      { type: 'response', content: 'asked. x=true' },
    ])
  })
})

describe('a call of a tool', () => {
  test('gives its result, and is in the session', async () => {
    await using served = await serveAgents({ desk: shopAgent })
    await using client = await served.connect()
    client.send({
      type: 'tool_call',
      payload: { toolName: 'stock', args: { item: 'hat' }, requestId: 't', options: { sessionId: 's' } },
    })
    expect(await until(client, 'tool_result', 'error')).toEqual([
      { type: 'tool_result', toolName: 'stock', result: { item: 'hat', left: 3 }, requestId: 't' },
    ])
    client.send({ type: 'generate', payload: { prompt: 'hi', options: { sessionId: 's' } } })
    expect(await until(client, 'response', 'error')).toMatchObject([{ content: 'Welcome.' }])
    const thread = await served.gateway.access.threadToRead({ id: 'anonymous' }, 's')
    const { messages } = await served.gateway.log.snapshot(thread)
    const stored = await served.gateway.store.threads.messages(thread, { limit: 10 })
    const parts = [...stored, ...messages].flatMap(({ message }) => message.parts)
    expect(parts).toContainEqual(
      expect.objectContaining({ type: 'tool', tool: 'stock', result: { item: 'hat', left: 3 } }),
    )
  })

  test.each([
    ['nobody has', { toolName: 'toString' }, 'unknown-tool'],
    ['is given something else than it takes', { toolName: 'stock', args: { item: 1 } }, 'invalid-arguments'],
    ['needs approval', { toolName: 'order' }, 'approval-required'],
    ['fails', { toolName: 'stock', args: { item: 'nothing' } }, 'tool-failed'],
  ])('of a tool that %s is an error', async (_why, payload, code) => {
    await using served = await serveAgents(shopAgent)
    await using client = await served.connect()
    client.send({ type: 'tool_call', payload: { ...payload, requestId: 'e' } })
    expect(await until(client, 'tool_result', 'error')).toEqual([
      { type: 'error', error: expect.any(String), code, requestId: 'e' },
    ])
  })

  test('of an agent whose tools nobody may call is an error', async () => {
    await using served = await serveAgents(countingAgent())
    await using client = await served.connect()
    client.send({ type: 'tool_call', payload: { toolName: 'stock' } })
    expect(await until(client, 'error')).toMatchObject([{ code: 'unknown-tool' }])
  })

  test('is stopped by its id', async () => {
    await using served = await serveAgents(shopAgent)
    await using client = await served.connect()
    client.send({ type: 'tool_call', payload: { toolName: 'forever', requestId: 5 } })
    client.send({ type: 'cancel', payload: { requestId: 5 } })
    expect(await until(client, 'tool_result', 'error')).toMatchObject([{ code: 'cancelled', requestId: 5 }])
  })

  test('of a client’s own mistake is not in the log of the server', async () => {
    const logger = recordingLogger()
    await using served = await serveAgents(shopAgent, { gateway: testGateway([], { logger }) })
    await using client = await served.connect()
    client.send({ type: 'tool_call', payload: { toolName: 'nothing' } })
    await until(client, 'error')
    expect(logger.errors).toEqual([])
  })
})

test('a call that waits for its turn is made by the next process, and an answer keeps its settings', async () => {
  const store = durableStore()
  const inputs: RunInput[] = []
  const agents = { slow: endlessAgent('slow'), shop: shopAgent, settings: settingsAgent(inputs) }
  const first = await serveAgents(agents, { gateway: testGateway([], { store }) })
  const client = await first.connect()
  const sessionId = 's'
  const ask = (type: string, payload: object): void => client.send({ type, payload })
  ask('stream', { prompt: 'wait', options: { sessionId } })
  await until(client, 'stream_start')
  ask('tool_call', { toolName: 'stock', args: { item: 'hat' }, options: { sessionId, agent: 'shop' } })
  ask('generate', { prompt: 'x', options: { sessionId, agent: 'settings', maxTokens: 9 } })
  // In order, so what came before is taken on when this is refused.
  ask('cancel', { requestId: 'nothing' })
  await until(client, 'error')
  await first[Symbol.asyncDispose]()

  await using second = await serveAgents(agents, { gateway: testGateway([], { store }) })
  await using next = await second.connect()
  next.send({ type: 'generate', payload: { prompt: 'y', options: { sessionId, agent: 'settings' } } })
  await until(next, 'response')
  expect(inputs.map(({ settings }) => settings)).toEqual([{ maxTokens: 9 }, undefined])
  const parts = inputs[0]?.history.flatMap((message) => message.parts)
  expect(parts).toContainEqual(expect.objectContaining({ tool: 'stock', result: { item: 'hat', left: 3 } }))
})
