import { createAgent, defineTool } from '@turnpike/agents'
import { countingAgent, puppetAgent } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { type Told, serveAgents, until } from './agent-socket-server.ts'
import { callingModel } from './calling-agent.ts'
import { type ChatClient, type Frame, serveChat } from './chat-server.ts'
import { testGateway } from './harness.ts'

const FORGETS = { replayWindowMs: 1, logBytes: 2_000 }
const LETS_GO = { logBytes: 200_000, highWaterBytes: 65_536 }
/** Runs with more events than such a log keeps. */
const LONG = '300'

function framesIn(text: string): Frame[] {
  const blocks = text.split('\n\n').filter((block) => block.startsWith('data: '))
  return blocks.map((block) => JSON.parse(block.slice('data: '.length)) as Frame)
}

async function ask(client: ChatClient, message: string, runId: string): Promise<Frame> {
  client.chat(message, { sessionId: 's', runId })
  return client.next('done', runId)
}

test('a chat that is asked again when the log has let go of it has a history, and its end', async () => {
  await using service = await serveChat({ counter: countingAgent() }, { limits: FORGETS })
  const first = await service.connect()
  const end = await ask(first, '3', 'r1')
  await ask(first, LONG, 'r2')
  const second = await service.connect()
  expect(await ask(second, '3', 'r1')).toEqual(end)
  expect(second.told.map(({ type }) => type)).toEqual(['reset', 'done'])
  const body = { message: '3', sessionId: 's', runId: 'r1' }
  const response = await service.chat('counter', body, { accept: 'text/event-stream' })
  const frames = framesIn(await response.text())
  expect(frames.map(({ type }) => type)).toEqual(['reset', 'done'])
  expect(frames.at(-1)).toEqual(end)
})

test('a chat that has failed has failed, however late it is asked again', async () => {
  const agent = puppetAgent('puppet')
  await using service = await serveChat({ agent, counter: countingAgent() }, { limits: FORGETS })
  const client = await service.connect()
  const chat = { agent: 'agent', sessionId: 's', runId: 'r1' }
  client.chat('hi', chat)
  const run = await agent.nextRun()
  run.fail(new Error('secret'))
  const error = await client.next('error', 'r1')
  client.chat(LONG, { agent: 'counter', sessionId: 's', runId: 'r2' })
  await client.next('done', 'r2')
  const again = await service.connect()
  again.chat('hi', chat)
  expect(await again.next('error', 'r1')).toEqual(error)
  const response = await service.chat('agent', { message: 'hi', sessionId: 's', runId: 'r1' })
  expect(response.status).toBe(500)
  expect(await response.json()).toEqual({ error: { code: 'agent-failed', message: 'The agent failed.' } })
})

test('who has read too slowly is told the ends of its chats, and asks for that of another', async () => {
  const agent = puppetAgent('puppet')
  await using service = await serveChat({ agent }, { limits: LETS_GO })
  const [slow, quick] = [await service.connect(), await service.connect()]
  slow.chat('hello', { sessionId: 's', runId: 'r0' })
  const early = await agent.nextRun()
  early.end()
  await slow.next('done', 'r0')
  slow.chat('hi', { sessionId: 's', runId: 'r1' })
  const run = await agent.nextRun()
  await run.say('first')
  await slow.next('chunk')
  slow.socket.pause()
  quick.chat('me, too', { sessionId: 's', runId: 'r2' })
  const text = 'x'.repeat(10_000)
  for (let n = 0; n < 100; n++) await run.say(text)
  run.end()
  for (const words of ['second', 'third']) {
    const next = await agent.nextRun()
    if (words === 'second') slow.chat('and again', { sessionId: 's', runId: 'r3' })
    await next.say(words)
    next.end()
    if (words === 'second') slow.socket.resume()
  }
  expect(await slow.next('done', 'r1')).toMatchObject({ text: `first${text.repeat(100)}` })
  expect(await slow.next('done', 'r3')).toMatchObject({ text: 'third' })
  expect(slow.all('reset')).not.toEqual([])
  slow.chat('me, too', { sessionId: 's', runId: 'r2' })
  slow.chat('hi', { sessionId: 's', runId: 'r1' })
  slow.chat('hello', { sessionId: 's', runId: 'r0' })
  expect(await slow.next('done', 'r2')).toEqual(await quick.next('done', 'r2'))
  slow.chat('last', { sessionId: 's', runId: 'r4' })
  const last = await agent.nextRun()
  last.end()
  await slow.next('done', 'r4')
  // What it was told before is not told again.
  for (const runId of ['r0', 'r1', 'r2', 'r3', 'r4']) expect(slow.all('done', runId)).toHaveLength(1)
})

test('requests that a slow peer of the agent handler has missed are ended behind the reset', async () => {
  const stock = defineTool({
    name: 'stock',
    description: 'How many there are.',
    parameters: z.object({ item: z.string() }),
    execute: ({ item }) => ({ item, left: 3 }),
  })
  const agent = puppetAgent('puppet')
  const shop = createAgent({ name: 'shop', model: callingModel(['Hi.']), tools: [stock], register: false })
  const gateway = testGateway([], { limits: LETS_GO })
  await using served = await serveAgents({ agent, shop }, { gateway })
  await using client = await served.connect()
  const options = { sessionId: 's' }
  const ask = (type: string, requestId: number, fields: object): void =>
    client.send({ type, payload: { requestId, options, ...fields } })
  // More than the kernel takes for a peer that does not read.
  const fillers = [1, 2, 3]
  const text = '€'.repeat(10_000)
  for (const id of fillers) ask('stream', id, { prompt: 'fill' })
  ask('generate', 4, { prompt: 'and again' })
  ask('tool_call', 5, { toolName: 'stock', args: { item: 'hat' }, options: { ...options, agent: 'shop' } })
  ask('generate', 6, { prompt: 'at last' })
  await until(client, 'stream_start')
  client.socket.pause()
  await expect.poll(() => gateway.runs.count().queued).toBe(5)
  const answer = async (words: readonly string[]): Promise<void> => {
    const run = await agent.nextRun()
    for (const word of words) await run.say(word)
    run.end()
  }
  const much = Array.from({ length: 90 }, () => text)
  for (const _ of fillers) await answer(much)
  await answer(['second'])
  await answer(much)
  await expect.poll(() => gateway.runs.count()).toEqual({ running: 0, queued: 0, parked: 0 })
  client.socket.resume()
  const told: Told[] = []
  while (told.at(-1)?.['requestId'] !== 6) told.push(...(await until(client, 'tool_result', 'response')))
  expect(told.map(({ type }) => type)).toContain('reset')
  const ends = ['stream_complete', 'response', 'tool_result']
  expect(told.filter(({ type }) => ends.includes(type))).toMatchObject([
    ...fillers.map((requestId) => ({ type: 'stream_complete', requestId })),
    { type: 'response', requestId: 4, content: 'second' },
    { type: 'tool_result', requestId: 5, toolName: 'stock', result: { item: 'hat', left: 3 } },
    { type: 'response', requestId: 6, content: text.repeat(90) },
  ])
})
