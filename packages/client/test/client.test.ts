import { type Client, type ThreadEvent, createClient } from '@turnpike/client'
import type { Runnable } from '@turnpike/agents'
import { createGatewayServer } from '@turnpike/gateway/server'
import { countingAgent, puppetAgent, scriptedAgent, startChaosProxy } from '@turnpike/testkit'
import { describe, expect, test } from 'vitest'

const WIRES = ['websocket', 'sse'] as const

/** A gateway and a client of it. */
async function serve(
  agents: readonly Runnable[],
  transport: (typeof WIRES)[number],
): Promise<{ client: Client; url: string; frames: string[] } & AsyncDisposable> {
  const server = createGatewayServer({
    agents,
    logger: { debug() {}, info() {}, warn() {}, error() {} } as never,
  })
  const url = await server.listen(0)
  const frames: string[] = []
  class Recording extends WebSocket {
    override send(data: string): void {
      frames.push((JSON.parse(data) as { command: string }).command)
      super.send(data)
    }
  }
  const client = createClient({
    url,
    transport,
    WebSocket: Recording,
    fetch(input, init) {
      frames.push(`${init.method} ${new URL(input).pathname}`)
      return fetch(input, init)
    },
  })
  return {
    client,
    url,
    frames,
    async [Symbol.asyncDispose]() {
      client.close()
      await server.close(0)
    },
  }
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = []
  for await (const item of items) list.push(item)
  return list
}

describe.each(WIRES)('a client over %s', (transport) => {
  test('streams a run from its start to its end, and knows how it ended', async () => {
    await using world = await serve([countingAgent()], transport)
    const stream = await world.client.threads.stream({ message: 'count to 30' })
    const events = await all(stream)
    expect(events.at(0)).toMatchObject({ type: 'start', runId: stream.runId, threadId: stream.threadId })
    expect(events.at(-1)?.type).toBe('finish')
    const text = Array.from({ length: 30 }, (_, index) => `${index + 1} `).join('')
    expect(events.map((event) => (event.type === 'text-delta' ? event.delta : '')).join('')).toBe(text)
    expect(await stream.finished).toMatchObject({ status: 'done', finishReason: 'stop', text })
    expect(stream.message).toMatchObject({
      role: 'assistant',
      status: 'done',
      parts: [{ type: 'text', text }],
    })
    expect(stream.lastEventId).toBe(events.at(-1)?.id)
  })

  test('leaves a run when the loop is left, and stops it when it is told to', async () => {
    const agent = puppetAgent('puppet')
    await using world = await serve([agent], transport)
    const { client } = world
    const stream = await client.threads.stream({ threadId: 't', message: 'hi' })
    const run = await agent.nextRun()
    await run.say('one ')
    for await (const event of stream) if (event.type === 'text-delta') break
    await expect(stream.finished).rejects.toMatchObject({ code: 'cancelled' })
    await run.say('two ')
    const again = await client.threads.stream({ threadId: 't' })
    expect(again.runId).toBe(stream.runId)
    expect(again.message?.parts).toEqual([{ type: 'text', text: 'one two ' }])
    await again.cancel()
    expect((await all(again)).at(-1)).toMatchObject({ type: 'finish', finishReason: 'cancelled' })
    expect(await again.finished).toMatchObject({ status: 'cancelled', text: 'one two ' })
    expect(await client.runs.cancel(stream.runId)).toMatchObject({ status: 'cancelled' })
  })

  test('goes on after an event that was seen elsewhere', async () => {
    await using world = await serve([countingAgent()], transport)
    const { client } = world
    const first = await all(await client.threads.stream({ threadId: 't', message: 'count to 9' }))
    const lastEventId = first[4]?.id ?? ''
    const rest = await all(await client.threads.stream({ threadId: 't', lastEventId }))
    expect(rest.map(({ seq }) => seq - (first[4]?.seq ?? 0))).toContain(first.length - 5)
    expect(rest.at(-1)?.type).toBe('finish')
  })

  test('follows a thread once, however many read it', async () => {
    const agent = puppetAgent('puppet')
    await using world = await serve([agent], transport)
    const { client, frames } = world
    const stream = await client.threads.stream({ threadId: 't', message: 'hi' })
    const run = await agent.nextRun()
    await run.say('one ')
    const readers = [1, 2, 3].map(() => client.threads.subscribe({ threadId: 't' }))
    const firsts = await Promise.all(readers.map((reader) => reader[Symbol.asyncIterator]().next()))
    expect(firsts.map(({ value }) => value?.type)).toEqual(['reset', 'reset', 'reset'])
    const asked = frames.filter((frame) => frame === 'thread.subscribe' || frame.endsWith('/events')).length
    expect(asked).toBeLessThanOrEqual(2)
    await run.say('two')
    run.end()
    await stream.finished
    for (const reader of readers) {
      for await (const { messages } of reader) if (messages.at(-1)?.status === 'done') break
      expect(reader.messages.at(-1)?.parts).toEqual([{ type: 'text', text: 'one two' }])
    }
    expect(new Set(readers.map(({ lastEventId }) => lastEventId)).size).toBe(1)
  })

  test('lets go of a thread when the last reader leaves', async () => {
    await using world = await serve([countingAgent()], transport)
    const { client, frames } = world
    await all(await client.threads.stream({ threadId: 't', message: 'count to 2' }))
    const abort = new AbortController()
    const one = client.threads.subscribe({ threadId: 't' })
    const two = client.threads.subscribe({ threadId: 't', signal: abort.signal })
    for await (const _ of one) break
    for await (const _ of two) abort.abort()
    expect((await all(two)).length).toBe(0)
    if (transport === 'websocket') expect(frames.at(-1)).toBe('thread.unsubscribe')
  })

  test('lists agents and threads', async () => {
    await using world = await serve([countingAgent('a'), countingAgent('b')], transport)
    const { client } = world
    await all(await client.threads.stream({ threadId: 't', message: 'count to 2', agent: 'b' }))
    expect((await client.agents.list()).map(({ name }) => name)).toEqual(['a', 'b'])
    const { threads } = await client.threads.list({ limit: 1 })
    expect(threads).toMatchObject([{ id: 't', title: 'count to 2' }])
  })

  test('tells reasoning to who asks for it, on the same thread', async () => {
    const agent = scriptedAgent('thinker', [{ type: 'text-delta', delta: 'hm', channel: 'reasoning' }, 'yes'])
    await using world = await serve([agent], transport)
    const { client } = world
    const [plain, thinking] = await Promise.all([
      client.threads.stream({ threadId: 't', message: 'one' }),
      client.threads.stream({ threadId: 't', message: 'two', reasoning: true }),
    ])
    const channels = (events: readonly ThreadEvent[]): string[] =>
      events.flatMap((event) => (event.type === 'text-delta' ? [event.channel] : []))
    expect(channels(await all(plain))).toEqual(['answer'])
    expect(channels(await all(thinking))).toEqual(['reasoning', 'answer'])
  })

  test.each([
    ['unknown-agent', (client: Client) => client.threads.stream({ message: 'hi', agent: 'nobody' })],
    ['invalid-payload', (client: Client) => client.threads.stream({ message: '' })],
    ['unknown-thread', (client: Client) => client.threads.stream({ threadId: 'nowhere' })],
    ['unknown-thread', (client: Client) => all(client.threads.subscribe({ threadId: 'nowhere' }))],
    ['unknown-thread', (client: Client) => client.threads.messages('nowhere')],
    ['unknown-run', (client: Client) => client.runs.cancel('none')],
    [
      'unknown-approval',
      (client: Client) => client.approvals.resolve({ approvalId: 'none', approved: true }),
    ],
  ])('is refused with %s', async (code, ask) => {
    await using world = await serve([countingAgent()], transport)
    await expect(ask(world.client)).rejects.toMatchObject({ name: 'GatewayError', code })
  })

  test('starts one run for one run id, and none where it is another message', async () => {
    await using world = await serve([countingAgent()], transport)
    const { client } = world
    const asked = { threadId: 't', message: 'count to 3', runId: 'r' }
    const [one, two] = await Promise.all([client.threads.stream(asked), client.threads.stream(asked)])
    expect((await one.finished).text).toBe((await two.finished).text)
    expect((await client.threads.messages('t')).messages).toHaveLength(2)
    await expect(client.threads.stream({ ...asked, message: 'count to 4' })).rejects.toMatchObject({
      code: 'run-id-conflict',
    })
  })

  test('is not stopped by a network that cuts, stalls and slices', async () => {
    await using world = await serve([countingAgent('counter', 1)], transport)
    const target = { port: Number(new URL(world.url).port) }
    const faults = { cutEveryMs: [15, 60], kinds: ['reset'], sliceBytes: [1, 700], stallMs: [1, 5] } as const
    await using proxy = await startChaosProxy({ target, seed: 7, faults })
    const clock = { now: () => Date.now(), after: afterReal, random: () => 0.02 }
    await using client = createClient({ url: `http://127.0.0.1:${proxy.port}`, transport, clock })
    const runs = ['a', 'b', 'c'].map(async (threadId) => {
      const stream = await client.threads.stream({ threadId, message: 'count to 1500' })
      const events = await all(stream)
      const text = events.map((event) => (event.type === 'text-delta' ? event.delta : '')).join('')
      expect(text).toBe((await stream.finished).text)
      return text.split(' ').length
    })
    expect(await Promise.all(runs)).toEqual([1_501, 1_501, 1_501])
    expect(proxy.stats.resets).toBeGreaterThan(0)
  })
})

function afterReal(delayMs: number, act: () => void): () => void {
  const timer = setTimeout(act, delayMs)
  return () => clearTimeout(timer)
}
