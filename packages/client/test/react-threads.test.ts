import { type Client, type Transport, createClient } from '@turnpike/client'
import { type ThreadSnapshot, ThreadStore } from '@turnpike/client/react'
import type { Runnable } from '@turnpike/agents'
import type { GatewayOptions } from '@turnpike/gateway'
import { createGatewayServer } from '@turnpike/gateway/server'
import { textOf } from '@turnpike/protocol'
import { countingAgent, puppetAgent } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { ThreadList } from '../src/react/thread-list.ts'
import { registryOf } from '../src/react/thread-registry.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }

interface World extends AsyncDisposable {
  readonly url: string
  readonly client: Client
  /** The server is gone, with all it knew; another one is at its place. */
  readonly restart: (agents: readonly Runnable[]) => Promise<void>
}

type Options = Pick<GatewayOptions, 'agents' | 'limits'> & { readonly transport?: Transport }

async function world({ transport = 'websocket', ...options }: Options): Promise<World> {
  let server = createGatewayServer({ ...options, logger })
  const url = await server.listen(0)
  const client = createClient({ url, transport })
  return {
    url,
    client,
    async restart(agents) {
      await server.close(0)
      server = createGatewayServer({ ...options, agents, logger })
      await server.listen(Number(new URL(url).port))
    },
    async [Symbol.asyncDispose]() {
      client.close()
      await server.close(0)
    },
  }
}

/** Has the counting agent answer in a thread, from another client. */
async function count(url: string, threadId: string, to = 1): Promise<void> {
  await using writer = createClient({ url })
  const stream = await writer.threads.stream({ threadId, message: `count to ${to}` })
  await stream.finished
}

const poll: typeof expect.poll = (look) => expect.poll(look, { timeout: 10_000 })

const askedIn = ({ messages }: ThreadSnapshot): string[] =>
  messages.filter(({ role }) => role === 'user').map(textOf)

test('who comes back behind a moved history sees the thread without a hole', async () => {
  const limits = { historyMessages: 4, replayWindowMs: 1 }
  await using w = await world({ agents: [countingAgent()], limits })
  for (let to = 1; to <= 5; to++) await count(w.url, 'long', to)
  const store = new ThreadStore({ client: w.client, threadId: 'long' })
  const stop = store.onChange(() => {})
  await poll(() => store.getSnapshot().messages.length).toBe(4)
  await store.loadMore()
  const before = askedIn(store.getSnapshot())
  stop()
  await count(w.url, 'long', 6)
  const stopAgain = store.onChange(() => {})
  await poll(() => askedIn(store.getSnapshot()).at(-1)).toBe('count to 6')
  expect(askedIn(store.getSnapshot())).toEqual([...before, 'count to 6'])
  stopAgain()
})

test('who switches threads where there is no room for two lets go of the one before first', async () => {
  await using w = await world({ agents: [countingAgent()], limits: { subscriptions: 1 } })
  const [a, b] = ['a', 'b'].map((threadId) => new ThreadStore({ client: w.client, threadId }))
  for (const threadId of ['a', 'b']) await count(w.url, threadId)
  const stopA = a?.onChange(() => {})
  await poll(() => a?.getSnapshot().status).toBe('idle')
  const errors: unknown[] = []
  // As React does: what is left is cleaned up, then what is new begins.
  stopA?.()
  const stopB = b?.onChange(() => errors.push(b.getSnapshot().error?.code))
  await poll(() => b?.getSnapshot().status).toBe('idle')
  expect(errors.filter(Boolean)).toEqual([])
  stopB?.()
})

test('a thread that there was no room for is followed once another one is let go of', async () => {
  await using w = await world({ agents: [countingAgent()], limits: { subscriptions: 1 } })
  const [a, b] = ['a', 'b'].map((threadId) => new ThreadStore({ client: w.client, threadId }))
  for (const threadId of ['a', 'b']) await count(w.url, threadId)
  const stopA = a?.onChange(() => {})
  await poll(() => a?.getSnapshot().status).toBe('idle')
  const stopB = b?.onChange(() => {})
  await poll(() => b?.getSnapshot().error?.code).toBe('too-many-subscriptions')
  stopA?.()
  await poll(() => b?.getSnapshot()).toMatchObject({ status: 'idle', error: undefined })
  stopB?.()
})

test.each(['websocket', 'sse'] as const)(
  'a message that is cancelled at once is taken first, and its run then stops, over %s',
  async (transport) => {
    await using w = await world({ agents: [puppetAgent('puppet')], transport })
    const store = new ThreadStore({ client: w.client, threadId: 't', isDraft: true })
    const stop = store.onChange(() => {})
    const sent = store.send('go')
    await store.cancel()
    await sent
    await poll(() => store.getSnapshot()).toMatchObject({ status: 'idle', error: undefined })
    expect(store.getSnapshot().messages.at(-1)?.status).toBe('cancelled')
    stop()
  },
)

test('a refused message has nothing to cancel', async () => {
  await using w = await world({ agents: [countingAgent()] })
  const store = new ThreadStore({ client: w.client, threadId: 't', isDraft: true })
  const sent = store.send('go', { agent: 'nobody' })
  const cancelled = store.cancel()
  await expect(sent).rejects.toMatchObject({ code: 'unknown-agent' })
  await cancelled
})

test('a message that waited for its turn is sent again where the server lost it while nobody looked', async () => {
  const puppet = puppetAgent('puppet')
  await using w = await world({ agents: [puppet] })
  const store = new ThreadStore({ client: w.client, threadId: 't', isDraft: true })
  const stop = store.onChange(() => {})
  await store.send('first')
  await (await puppet.nextRun()).say('x')
  await store.send('count to 2')
  stop()
  await w.restart([countingAgent()])
  const stopAgain = store.onChange(() => {})
  await poll(() => store.getSnapshot().messages.at(-1)?.status).toBe('done')
  await poll(() => store.getSnapshot().messages.map(textOf)).toEqual(['count to 2', '1 2 '])
  await poll(() => store.getSnapshot().status).toBe('idle')
  stopAgain()
})

test('a message that waits for its turn starts one run, however often its thread is left', async () => {
  const puppet = puppetAgent('puppet')
  await using w = await world({ agents: [puppet] })
  const store = new ThreadStore({ client: w.client, threadId: 't', isDraft: true })
  let stop = store.onChange(() => {})
  await store.send('first')
  const first = await puppet.nextRun()
  await store.send('second')
  for (let i = 0; i < 3; i++) {
    stop()
    await new Promise((resolve) => setImmediate(resolve))
    stop = store.onChange(() => {})
  }
  first.end()
  const second = await puppet.nextRun()
  await second.say('answer')
  second.end()
  await poll(() => store.getSnapshot().messages.map(textOf)).toEqual(['first', '', 'second', 'answer'])
  await poll(() => store.getSnapshot()).toMatchObject({ status: 'idle', error: undefined })
  stop()
})

test('a list of threads takes in what is made here, and keeps the pages it has', async () => {
  await using w = await world({ agents: [countingAgent()] })
  for (const threadId of ['a', 'b', 'c']) await count(w.url, threadId)
  const registry = registryOf(w.client)
  const list = new ThreadList(w.client)
  const remove = registry.activity.add(list.refreshSoon)
  const hide = list.show({ limit: 2 })
  const idsOf = (): string[] => list.getState().threads.map(({ id }) => id)
  await poll(idsOf).toEqual(['c', 'b'])
  await list.loadMore()
  expect(idsOf()).toEqual(['c', 'b', 'a'])
  const draft = registry.draft(false)
  await draft.send('count to 1')
  await poll(idsOf).toEqual([draft.threadId, 'c', 'b', 'a'])
  expect(list.getState()).toMatchObject({ hasMore: false, isLoading: false, error: undefined })
  hide()
  remove()
})
