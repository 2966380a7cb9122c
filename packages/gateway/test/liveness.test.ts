import { connect } from 'node:net'
import { connectWebSocket, openEventStream, puppetAgent, startChaosProxy } from '@turnpike/testkit'
import { WebSocket } from 'ws'
import { expect, test } from 'vitest'
import { serve } from './server.ts'

const limits = { pingIntervalMs: 300, pongTimeoutMs: 150, heartbeatMs: 100 }

test('a peer that is gone without a word is cut after the pong time-out', async () => {
  await using server = await serve([puppetAgent('puppet')], { limits })
  await using proxy = await startChaosProxy({ target: { port: server.port }, seed: 1 })
  await using client = await connectWebSocket({ url: `ws://127.0.0.1:${proxy.port}/stream` })
  await client.request('run.cancel', { runId: 'x' })
  expect(server.gateway.connectionCount).toBe(1)
  proxy.cutAll('half-open')
  await expect.poll(() => server.gateway.connectionCount, { timeout: 5_000 }).toBe(0)
})

test('a peer that answers pings stays, and one that only reads slowly stays too', async () => {
  const agent = puppetAgent('puppet')
  await using server = await serve([agent], { limits })
  const url = `${server.baseUrl.replace('http', 'ws')}/stream`
  await using client = await connectWebSocket({ url })
  const pings: number[] = []
  const quiet = new WebSocket(url)
  quiet.on('ping', () => pings.push(Date.now()))
  await expect.poll(() => pings.length, { timeout: 5_000 }).toBeGreaterThanOrEqual(3)
  expect(quiet.readyState).toBe(WebSocket.OPEN)
  expect(await client.request('run.cancel', { runId: 'x' })).toMatchObject({ error: { code: 'unknown-run' } })
  quiet.terminate()
})

test('an idle event stream carries comments', async () => {
  const agent = puppetAgent('puppet')
  await using server = await serve([agent], { limits })
  await using stream = await openEventStream({
    url: `${server.baseUrl}/agents/puppet/chat/stream`,
    body: { message: 'm' },
  })
  await expect.poll(() => stream.comments, { timeout: 5_000 }).toBeGreaterThanOrEqual(2)
})

test('an event stream without a cursor names its place before anything happens', async () => {
  const agent = puppetAgent('puppet')
  await using server = await serve([agent])
  await using sender = await openEventStream({
    url: `${server.baseUrl}/agents/puppet/chat/stream`,
    body: { message: 'm', threadId: 't' },
  })
  const run = await agent.nextRun()
  await run.say('before')
  await sender.events.until(({ event }) => event === 'text-delta')
  const observer = await openEventStream({ url: `${server.baseUrl}/threads/t/events` })
  await expect.poll(() => observer.lastEventId).toBe(sender.lastEventId)
  await observer.close()
  await run.say('while away')
  await using again = await openEventStream({
    url: `${server.baseUrl}/threads/t/events?after=nonsense`,
    headers: { 'last-event-id': observer.lastEventId },
  })
  expect(await again.events.next()).toMatchObject({ data: { delta: 'while away' } })
})

test('history and the stream behind its head join without a seam', async () => {
  const agent = puppetAgent('puppet')
  await using server = await serve([agent])
  await using sender = await openEventStream({
    url: `${server.baseUrl}/agents/puppet/chat/stream`,
    body: { message: 'm', threadId: 't' },
  })
  const run = await agent.nextRun()
  await run.say('one ')
  const page = (await (await fetch(`${server.baseUrl}/threads/t/messages`)).json()) as {
    head: string
    messages: { status: string; parts: unknown[] }[]
  }
  expect(page.messages.at(-1)).toMatchObject({ status: 'open', parts: [{ type: 'text', text: 'one ' }] })
  await run.say('two')
  await using stream = await openEventStream({ url: `${server.baseUrl}/threads/t/events?after=${page.head}` })
  expect(await stream.events.next()).toMatchObject({ data: { delta: 'two' } })
  await sender.close()
})

test('messages come in pages, the latest first, and no page parts a question from its answer', async () => {
  const agent = puppetAgent('puppet')
  await using server = await serve([agent])
  for (let n = 0; n < 5; n++) {
    await using sent = await openEventStream({
      url: `${server.baseUrl}/agents/puppet/chat/stream`,
      body: { message: `question ${n}`, threadId: 't' },
    })
    const run = await agent.nextRun()
    await run.say(`answer ${n}`)
    run.end()
    await sent.events.until(({ event }) => event === 'finish')
  }
  const seen: string[] = []
  let before: number | undefined
  do {
    const query = before === undefined ? '' : `&before=${before}`
    const response = await fetch(`${server.baseUrl}/threads/t/messages?limit=4${query}`)
    const page = (await response.json()) as { messages: { parts: { text: string }[] }[]; before?: number }
    seen.unshift(...page.messages.map((message) => message.parts[0]?.text ?? ''))
    before = page.before
  } while (before !== undefined)
  expect(seen).toEqual([0, 1, 2, 3, 4].flatMap((n) => [`question ${n}`, `answer ${n}`]))
})

test('threads are listed, latest first', async () => {
  const agent = puppetAgent('puppet')
  await using server = await serve([agent])
  for (const threadId of ['a', 'b']) {
    await using sent = await openEventStream({
      url: `${server.baseUrl}/agents/puppet/chat/stream`,
      body: { message: `about ${threadId}`, threadId },
    })
    ;(await agent.nextRun()).end()
    await sent.events.until(({ event }) => event === 'finish')
  }
  const { threads } = (await (await fetch(`${server.baseUrl}/threads`)).json()) as { threads: object[] }
  expect(threads).toHaveLength(2)
  expect(threads).toContainEqual(expect.objectContaining({ id: 'a', title: 'about a' }))
})

test('a slow request is cut, and harms nobody', async () => {
  await using server = await serve([puppetAgent('puppet')])
  const socket = connect(server.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write('POST /agents/puppet/chat/stream HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"mess')
  expect((await fetch(`${server.baseUrl}/healthz`)).status).toBe(200)
  socket.destroy()
  expect((await fetch(`${server.baseUrl}/readyz`)).status).toBe(200)
})

test('a server that shuts down says so on every wire and lets the run end', async () => {
  const agent = puppetAgent('puppet')
  const server = await serve([agent])
  await using client = await connectWebSocket({ url: `${server.baseUrl.replace('http', 'ws')}/stream` })
  await client.request('thread.send', { message: 'm', threadId: 't' })
  const run = await agent.nextRun()
  await using stream = await openEventStream({ url: `${server.baseUrl}/threads/t/events` })
  const closing = server.close(5_000)
  expect((await fetch(`${server.baseUrl}/readyz`)).status).toBe(503)
  await run.say('last words')
  run.end()
  await closing
  const told = await client.inbox.until((frame) => frame.type === 'goodbye')
  expect(told.map((frame) => frame.type)).toEqual(['start', 'text-delta', 'finish', 'goodbye'])
  expect((await client.closed).code).toBe(1012)
  const streamed: string[] = []
  for await (const { event } of stream.events) streamed.push(event)
  expect(streamed).toEqual(['text-delta', 'finish'])
})
