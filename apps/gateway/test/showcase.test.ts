import { EVENT_TYPES, type EventOf, type ThreadEvent } from '@turnpike/protocol'
import { type WebSocketClient, connectWebSocket } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { agentsFrom, serve } from '../src/index.ts'

/** A served showcase, one conversation with it, and every event so far. */
async function startTour() {
  const server = await serve(
    { port: 0, host: '127.0.0.1', allowedOrigins: [] },
    { DEMO_TOKENS_PER_SECOND: '0' },
  )
  const client = await connectWebSocket({ url: `${server.url.replace('http', 'ws')}/stream` })
  const events: ThreadEvent[] = []
  return {
    client,
    events,
    say: (message: string) => say(client, message),
    /** Reads on to the first event of that type. */
    async until<Type extends ThreadEvent['type']>(type: Type): Promise<EventOf<Type>> {
      for (;;) {
        const event = (await client.inbox.next()) as ThreadEvent
        events.push(event)
        if (event.type === type) return event as EventOf<Type>
      }
    },
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]()
      await server.close(0)
    },
  }
}

async function say(client: WebSocketClient, message: string): Promise<void> {
  const answer = await client.request('thread.send', {
    threadId: 'tour',
    agent: 'showcase',
    message,
    reasoning: true,
  })
  expect(answer).toMatchObject({ ok: true })
}

const of = <Type extends ThreadEvent['type']>(events: readonly ThreadEvent[], type: Type): EventOf<Type>[] =>
  events.filter((event): event is EventOf<Type> => event.type === type)

test('one conversation shows every type of event', async () => {
  await using tour = await startTour()
  await tour.say('Plan a day in Kyoto.')
  const { approvalId, tool } = await tour.until('approval-pending')
  expect(tool).toBe('send_postcard')
  const resolved = await tour.client.request('approval.resolve', { approvalId, approved: true })
  expect(resolved).toMatchObject({ ok: true, approved: true, first: true })
  const { text, steps } = await tour.until('finish')
  expect(text).toContain('Thank you for the approval')
  expect(text).toContain('this tool fails on purpose')
  expect(text).toContain('version 2')
  expect(steps).toBe(8)

  const finishedAt = tour.events.length
  while ((await tour.until('run-update')).background.status === 'running');
  const updates = of(tour.events, 'run-update').map(({ background }) => background)
  expect(updates.at(-1)).toMatchObject({ status: 'done', progress: 1 })
  expect(tour.events.slice(finishedAt).length).toBeGreaterThan(1)

  await tour.say('Fail, please.')
  await tour.until('error')
  expect(new Set(tour.events.map(({ type }) => type))).toEqual(new Set(EVENT_TYPES))
  expect(of(tour.events, 'tool-call-error')).toMatchObject([{ tool: 'check_traffic' }])
  expect(of(tour.events, 'artifact-updated')[0]).toMatchObject({
    artifact: { version: 2 },
    patch: [{ op: 'add', path: '/paragraphs/-' }],
  })
})

test('a postcard that is denied is not sent, and the second tour remembers the first', async () => {
  await using tour = await startTour()
  await tour.say('Plan a day in Kyoto.')
  const { approvalId } = await tour.until('approval-pending')
  const reason = 'no postcards today'
  await tour.client.request('approval.resolve', { approvalId, approved: false, reason })
  expect((await tour.until('finish')).text).toContain('did not approve the postcard')
  expect(of(tour.events, 'tool-call-result').map(({ tool }) => tool)).not.toContain('send_postcard')

  await tour.say('And a day in Kyoto once more.')
  const { memories } = await tour.until('memory-recall-result')
  expect(memories).toMatchObject([{ text: 'Wanted to plan a day in Kyoto.' }])
})

test('without a key the agents are offline, with one they use its provider', async () => {
  const described = async (env: Record<string, string>) =>
    (await agentsFrom(env)).map(({ name, info: { provider, model, tools } }) => {
      return { name, provider, model, tools: tools.length }
    })
  expect(await described({})).toEqual([
    { name: 'demo', provider: 'turnpike', model: 'demo', tools: 0 },
    { name: 'showcase', provider: 'turnpike', model: 'demo', tools: 8 },
  ])
  expect(await described({ OPENAI_API_KEY: 'k' })).toMatchObject([{ model: 'gpt-4o-mini' }, {}])
  expect(await described({ OPENAI_API_KEY: 'k', OPENAI_MODEL: 'other' })).toMatchObject([
    { model: 'other' },
    {},
  ])
  expect(await described({ ANTHROPIC_API_KEY: 'k' })).toMatchObject([
    { model: expect.stringMatching(/^claude-/) },
    {},
  ])
  expect(await described({ OPENAI_BASE_URL: 'http://127.0.0.1:1/v1', OPENAI_MODEL: 'local' })).toMatchObject([
    { model: 'local' },
    {},
  ])
})

test('an environment that is not complete is refused', async () => {
  await expect(agentsFrom({ OPENAI_BASE_URL: 'http://127.0.0.1:1/v1' })).rejects.toThrow('needs OPENAI_MODEL')
  await expect(agentsFrom({ DEMO_TOKENS_PER_SECOND: 'fast' })).rejects.toThrow('must be a number')
})
