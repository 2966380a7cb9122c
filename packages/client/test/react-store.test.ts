import { type Client, type Transport, createClient } from '@turnpike/client'
import { type ThreadSnapshot, ThreadStore } from '@turnpike/client/react'
import type { Runnable } from '@turnpike/agents'
import { createGatewayServer } from '@turnpike/gateway/server'
import { ALL_REPORTS, countingAgent, puppetAgent, scriptedAgent, startChaosProxy } from '@turnpike/testkit'
import { textOf } from '@turnpike/protocol'
import { expect, test } from 'vitest'

const logger = { debug() {}, info() {}, warn() {}, error() {} }

interface World extends AsyncDisposable {
  readonly url: string
  readonly client: Client
  /** A thread that its first message makes. */
  readonly draft: (threadId?: string) => ThreadStore
  readonly open: (threadId: string) => ThreadStore
}

async function world(agents: readonly Runnable[], transport: Transport = 'websocket'): Promise<World> {
  const server = createGatewayServer({ agents, logger })
  const url = await server.listen(0)
  const client = createClient({ url, transport })
  return {
    url,
    client,
    draft: (threadId = crypto.randomUUID()) => new ThreadStore({ client, threadId, isDraft: true }),
    open: (threadId: string) => new ThreadStore({ client, threadId }),
    async [Symbol.asyncDispose]() {
      client.close()
      await server.close(0)
    },
  }
}

/** Resolves with the first snapshot that satisfies `is`. */
function until(store: ThreadStore, is: (snapshot: ThreadSnapshot) => boolean): Promise<ThreadSnapshot> {
  return new Promise((resolve) => {
    const look = (): void => {
      const snapshot = store.getSnapshot()
      if (!is(snapshot)) return
      queueMicrotask(() => stop())
      resolve(snapshot)
    }
    const stop = store.onChange(look)
    look()
  })
}

const textsOf = ({ messages }: ThreadSnapshot): string[] => messages.map(textOf)

test.each(['websocket', 'sse'] as const)(
  'a draft asks nothing of the server; its first message makes the thread, over %s',
  async (transport) => {
    await using w = await world([countingAgent()], transport)
    const store = w.draft('made')
    const stop = store.onChange(() => {})
    expect(store.getSnapshot()).toMatchObject({ threadId: undefined, status: 'idle', messages: [] })
    expect(w.client.connection.state.status).toBe('idle')
    const sent = store.send('count to 3')
    const { messages, status, threadId } = store.getSnapshot()
    expect([threadId, status]).toEqual(['made', 'running'])
    expect(messages).toMatchObject([{ role: 'user', status: 'open', parts: [{ text: 'count to 3' }] }])
    expect(await sent).toEqual({ threadId: 'made', runId: messages[0]?.runId })
    const done = await until(store, (snapshot) => snapshot.status === 'idle')
    expect(textsOf(done)).toEqual(['count to 3', '1 2 3 '])
    expect(done.events.map(({ type }) => type)).toContain('start')
    expect(done.events[0]?.seq).toBe(1)
    stop()
  },
)

test('a thread of another client is shown from its history on, and goes on live', async () => {
  const puppet = puppetAgent('puppet')
  await using w = await world([puppet])
  const mine = w.draft('shared')
  const stop = mine.onChange(() => {})
  await mine.send('hello')
  const run = await puppet.nextRun()
  await run.say('one ')
  await using other = createClient({ url: w.url })
  const theirs = new ThreadStore({ client: other, threadId: 'shared' })
  expect(theirs.getSnapshot()).toMatchObject({ status: 'loading', messages: [] })
  const stopTheirs = theirs.onChange(() => {})
  const joined = await until(theirs, ({ messages }) => messages.length > 0)
  expect(joined).toMatchObject({ status: 'running', run: { agent: '' } })
  await run.say('two')
  run.end()
  const idle = ({ status }: ThreadSnapshot): boolean => status === 'idle'
  const [a, b] = await Promise.all([until(mine, idle), until(theirs, idle)])
  expect(a.messages).toEqual(b.messages)
  expect(textsOf(a)).toEqual(['hello', 'one two'])
  stop()
  stopTheirs()
})

test('a message that does not change stays the same object while another one grows', async () => {
  const puppet = puppetAgent('puppet')
  await using w = await world([puppet])
  const store = w.draft()
  const stop = store.onChange(() => {})
  await store.send('first')
  const first = await puppet.nextRun()
  await first.say('answer')
  first.end()
  const before = await until(store, ({ status }) => status === 'idle')
  await store.send('second')
  const second = await puppet.nextRun()
  await second.say('more')
  const after = await until(store, ({ messages }) => messages.at(-1)?.parts.length === 1)
  expect(after.messages).toHaveLength(4)
  expect(after.messages[0]).toBe(before.messages[0])
  expect(after.messages[1]).toBe(before.messages[1])
  expect(after.run).toEqual({ id: second.context.runId, agent: 'puppet' })
  second.end()
  stop()
})

test('who ceases to listen follows nothing, and goes on where it stood', async () => {
  const puppet = puppetAgent('puppet')
  await using w = await world([puppet])
  const store = w.draft()
  const stops = [store.onChange(() => {}), store.onChange(() => {})]
  await store.send('hello')
  const run = await puppet.nextRun()
  await run.say('one ')
  await until(store, ({ messages }) => messages.some((each) => textOf(each) === 'one '))
  const followed = async (): Promise<number> => {
    const { connections } = (await (await fetch(`${w.url}/connections`)).json()) as {
      connections: { threads: string[] }[]
    }
    return connections.flatMap(({ threads }) => threads).length
  }
  await expect.poll(followed, { timeout: 10_000 }).toBe(1)
  for (const stop of stops) stop()
  await expect.poll(followed, { timeout: 10_000 }).toBe(0)
  await run.say('two')
  run.end()
  const stop = store.onChange(() => {})
  const done = await until(store, ({ status }) => status === 'idle')
  expect(textsOf(done)).toEqual(['hello', 'one two'])
  const seqs = done.events.map(({ seq }) => seq)
  expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b))
  expect(done.resumed).toBeUndefined()
  stop()
})

test('a refused message is not shown, and what is wrong is told until something succeeds', async () => {
  await using w = await world([countingAgent()])
  const store = w.draft()
  const stop = store.onChange(() => {})
  const sent = store.send('hello', { agent: 'nobody' })
  expect(store.getSnapshot().messages).toHaveLength(1)
  await expect(sent).rejects.toMatchObject({ code: 'unknown-agent' })
  expect(store.getSnapshot()).toMatchObject({
    messages: [],
    status: 'error',
    error: { code: 'unknown-agent' },
  })
  await store.send('count to 2')
  const done = await until(store, ({ status }) => status === 'idle')
  expect(done.error).toBeUndefined()
  expect(textsOf(done)).toEqual(['count to 2', '1 2 '])
  stop()
})

test('a failed run tells why, until the next one begins', async () => {
  const puppet = puppetAgent('puppet')
  await using w = await world([puppet])
  const store = w.draft()
  const stop = store.onChange(() => {})
  await store.send('hello')
  const run = await puppet.nextRun()
  run.fail(new Error('no'))
  const failed = await until(store, ({ status }) => status === 'error')
  expect(failed.error?.code).toBe('agent-failed')
  expect(failed.messages.at(-1)?.status).toBe('failed')
  await store.send('again')
  const second = await puppet.nextRun()
  second.end()
  await until(store, ({ status, error }) => status === 'idle' && error === undefined)
  stop()
})

test('cancel stops the run, whoever began it; where there is none it does nothing', async () => {
  const puppet = puppetAgent('puppet')
  await using w = await world([puppet])
  const store = w.draft('t')
  const stop = store.onChange(() => {})
  await store.cancel()
  await store.send('hello')
  await (await puppet.nextRun()).say('so far')
  const other = w.open('t')
  const stopOther = other.onChange(() => {})
  await until(other, ({ run }) => run !== undefined)
  await other.cancel()
  const done = await until(store, ({ status }) => status === 'idle')
  expect(done.messages.at(-1)).toMatchObject({ status: 'cancelled', parts: [{ text: 'so far' }] })
  stop()
  stopOther()
})

test('messages that wait for their turn are shown behind the answer, and take their place once', async () => {
  const puppet = puppetAgent('puppet')
  await using w = await world([puppet])
  const store = w.draft()
  const stop = store.onChange(() => {})
  await store.send('first')
  const first = await puppet.nextRun()
  await store.send('second')
  await store.send('third')
  await first.say('answer')
  const waiting = await until(store, ({ messages }) => messages[1]?.parts.length === 1)
  expect(textsOf(waiting)).toEqual(['first', 'answer', 'second', 'third'])
  first.end()
  for (const word of ['b', 'c']) {
    const run = await puppet.nextRun()
    await run.say(word)
    run.end()
  }
  const done = await until(store, ({ status }) => status === 'idle')
  expect(textsOf(done)).toEqual(['first', 'answer', 'second', 'b', 'third', 'c'])
  stop()
})

test('a message goes out although nobody listens', async () => {
  await using w = await world([countingAgent()])
  const store = w.draft()
  await store.send('count to 2')
  const done = await until(store, ({ status }) => status === 'idle')
  expect(textsOf(done)).toEqual(['count to 2', '1 2 '])
})

test('a thread that nobody wrote to is empty, and its first message makes it', async () => {
  await using w = await world([countingAgent()])
  const store = w.open('nothing-here')
  const stop = store.onChange(() => {})
  const empty = await until(store, ({ status }) => status !== 'loading')
  expect(empty).toMatchObject({ status: 'idle', messages: [], error: undefined })
  await store.send('count to 2')
  const done = await until(store, ({ status, messages }) => status === 'idle' && messages.length > 0)
  expect(textsOf(done)).toEqual(['count to 2', '1 2 '])
  stop()
})

test('older messages are loaded page by page, none twice and none missed', async () => {
  const server = createGatewayServer({ agents: [countingAgent()], logger, limits: { historyMessages: 4 } })
  const url = await server.listen(0)
  await using client = createClient({ url })
  const asked = Array.from({ length: 6 }, (_, index) => `count to ${index + 1}`)
  for (const message of asked) {
    const stream = await client.threads.stream({ threadId: 'long', message })
    await stream.finished
  }
  const store = new ThreadStore({ client, threadId: 'long' })
  const stop = store.onChange(() => {})
  const opened = await until(store, ({ status }) => status === 'idle')
  expect([opened.messages.length, opened.hasMore]).toEqual([4, true])
  await Promise.all([store.loadMore(), store.loadMore()])
  expect(store.getSnapshot().messages).toHaveLength(8)
  await store.loadMore()
  const all = store.getSnapshot()
  expect(textsOf(all).filter((_, index) => index % 2 === 0)).toEqual(asked)
  expect(all.hasMore).toBe(false)
  expect(all.messages.slice(-4)).toEqual(opened.messages)
  stop()
  client.close()
  await server.close(0)
})

test('background operations and memories are told, and only as many events as are wanted', async () => {
  await using w = await world([scriptedAgent('all', ALL_REPORTS)])
  const store = w.draft()
  const stop = store.onChange(() => {}, 5)
  await store.send('go')
  const done = await until(store, ({ status }) => status === 'idle')
  expect(done.background).toMatchObject([{ id: 'b1', progress: 0.5, runId: done.messages[0]?.runId }])
  expect(done.memories).toMatchObject([
    { kind: 'recall', query: 'city' },
    { kind: 'write', text: 'Asks about weather' },
  ])
  stop()
})

test('an approval can be given from any store of the thread', async () => {
  const puppet = puppetAgent('puppet')
  await using w = await world([puppet])
  const store = w.draft('t')
  const stop = store.onChange(() => {})
  await store.send('go')
  const run = await puppet.nextRun()
  await run.say({ type: 'tool-call-start', toolCallId: 'c', tool: 'pay' })
  const decision = run.context.approvals.request({ toolCallId: 'c', tool: 'pay', args: null })
  const askedIn = ({ messages }: ThreadSnapshot): string | undefined => {
    const part = messages.at(-1)?.parts[0]
    return part?.type === 'tool' ? part.approval?.approvalId : undefined
  }
  const approvalId = askedIn(await until(store, (snapshot) => askedIn(snapshot) !== undefined)) ?? ''
  await store.approve(approvalId, false, 'too dear')
  expect(await decision).toMatchObject({ approved: false, reason: 'too dear' })
  await expect(store.approve('none', true)).rejects.toMatchObject({ code: 'unknown-approval' })
  expect(store.getSnapshot().error?.code).toBe('unknown-approval')
  run.end()
  stop()
})

test('a lost connection is told, and nothing is lost', async () => {
  const puppet = puppetAgent('puppet')
  await using w = await world([puppet])
  await using proxy = await startChaosProxy({ target: { port: Number(new URL(w.url).port) }, seed: 1 })
  await using client = createClient({ url: `http://127.0.0.1:${proxy.port}` })
  const store = new ThreadStore({ client, threadId: 't', isDraft: true })
  const stop = store.onChange(() => {})
  await store.send('go')
  const run = await puppet.nextRun()
  await run.say('one ')
  await until(store, ({ messages }) => messages.some((each) => textOf(each) === 'one '))
  proxy.cutAll()
  await run.say('two ')
  await run.say('three')
  const cut = await until(store, ({ connection }) => connection.status !== 'open')
  expect(cut.status).toBe('running')
  run.end()
  const done = await until(store, ({ status }) => status === 'idle')
  expect(textsOf(done)).toEqual(['go', 'one two three'])
  expect(done.resumed?.replayed).toBeGreaterThanOrEqual(2)
  stop()
})
