import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import type { ThreadEvent } from '@turnpike/protocol'
import type { Authenticate } from '@turnpike/gateway'
import { type GatewayServerOptions } from '@turnpike/gateway/server'
import {
  type WebSocketClient,
  connectWebSocket,
  countingAgent,
  openEventStream,
  puppetAgent,
  scriptedAgent,
} from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { expositionOf } from '../src/telemetry/exposition.ts'
import { Counter, Histogram } from '../src/telemetry/instruments.ts'
import { HeldStore } from './harness.ts'
import { serve } from './server.ts'

const PIECE = 'x'.repeat(1_000)

type Numbers = ReadonlyMap<string, number>

/** A line of the format: a name, perhaps labels, and a number. */
const LINE = /^([a-z_0-9]+(?:\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})?) (-?[\d.e+-]+|[+-]Inf|NaN)$/

function parse(exposition: string): Numbers {
  const numbers = new Map<string, number>()
  for (const line of exposition.split('\n').filter((line) => line !== '' && !line.startsWith('# '))) {
    const [, name = '', value] = LINE.exec(line) ?? expect.fail(`This is no number: ${line}`)
    expect(numbers.has(name)).toBe(false)
    numbers.set(name, Number(value))
  }
  return numbers
}

async function scrape(baseUrl: string): Promise<Numbers> {
  const response = await fetch(`${baseUrl}/metrics`)
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  return parse(await response.text())
}

function measured(
  agents: Parameters<typeof serve>[0],
  options: GatewayServerOptions = {},
): ReturnType<typeof serve> {
  return serve(agents, { ...options, metrics: true })
}

function connect({ port }: { port: number }): Promise<WebSocketClient> {
  return connectWebSocket({ url: `ws://127.0.0.1:${port}/stream` })
}

async function untilEnd(client: WebSocketClient): Promise<readonly ThreadEvent[]> {
  const frames = await client.inbox.until((frame) => frame.type === 'finish' || frame.type === 'error')
  return frames as unknown as readonly ThreadEvent[]
}

test('connections, frames and runs are counted by wire and by end', async () => {
  await using server = await measured([countingAgent('counter')])
  await using client = await connect(server)
  await client.request('thread.send', { message: '20', threadId: 't' })
  const events = await untilEnd(client)
  await using reader = await openEventStream({ url: `${server.baseUrl}/threads/t/events` })
  expect(reader).toBeDefined()

  const numbers = await scrape(server.baseUrl)
  expect(numbers.get('turnpike_connections{wire="websocket",authenticated="false"}')).toBe(1)
  expect(numbers.get('turnpike_connections{wire="websocket",authenticated="true"}')).toBe(0)
  expect(numbers.get('turnpike_connections{wire="sse",authenticated="false"}')).toBe(1)
  // The events, and the answer to the request.
  expect(numbers.get('turnpike_frames_written_total{wire="websocket"}')).toBe(events.length + 1)
  expect(numbers.get('turnpike_bytes_written_total{wire="websocket"}')).toBeGreaterThan(events.length * 50)
  expect(numbers.get('turnpike_runs_total{agent="counter",end="stop"}')).toBe(1)
  expect(numbers.get('turnpike_runs_open{state="running"}')).toBe(0)
  expect(numbers.get('turnpike_checkpoints_failed_total')).toBe(0)
  const flushes = numbers.get('turnpike_reader_lag_events_count') ?? 0
  expect(flushes).toBeGreaterThan(8)
  expect(flushes).toBeLessThanOrEqual(events.length)
  const timed = numbers.get('turnpike_append_to_write_seconds_count')
  expect(timed).toBe(Math.ceil(flushes / 8))
  expect(numbers.get('turnpike_append_to_write_seconds_bucket{le="+Inf"}')).toBe(timed)
  for (const name of [
    'nodejs_eventloop_lag_p50_seconds',
    'nodejs_eventloop_lag_p99_seconds',
    'nodejs_heap_size_used_bytes',
    'process_resident_memory_bytes',
  ])
    expect(numbers.get(name)).toBeGreaterThanOrEqual(0)
})

test('what a reader does not get to see is not counted as a frame', async () => {
  const thought = { type: 'text-delta', channel: 'reasoning', delta: 'hm' } as const
  await using server = await measured([scriptedAgent('thinker', ['a', thought, thought, 'b'])])
  await using client = await connect(server)
  await client.request('thread.send', { message: 'm', threadId: 't' })
  const events = await untilEnd(client)
  expect(events.map(({ covers }) => covers ?? 1)).toEqual([1, 1, 3, 1])
  const numbers = await scrape(server.baseUrl)
  expect(numbers.get('turnpike_frames_written_total{wire="websocket"}')).toBe(events.length + 1)
  // Nothing was merged for it: it was told where it is.
  expect(numbers.get('turnpike_merged_frames_total{wire="websocket"}')).toBe(0)
})

test('runs that wait, fail and are cancelled are told apart', async () => {
  const agent = puppetAgent('puppet')
  await using server = await measured([agent])
  await using client = await connect(server)
  await client.request('thread.send', { message: 'one', threadId: 't', runId: 'r1' })
  await client.request('thread.send', { message: 'two', threadId: 't', runId: 'r2' })
  const first = await agent.nextRun()
  const during = await scrape(server.baseUrl)
  expect(during.get('turnpike_runs_open{state="running"}')).toBe(1)
  expect(during.get('turnpike_runs_open{state="queued"}')).toBe(1)
  expect(during.get('turnpike_runs_open{state="parked"}')).toBe(0)

  first.fail(new Error('no'))
  await untilEnd(client)
  await agent.nextRun()
  await client.request('run.cancel', { runId: 'r2' })
  await untilEnd(client)
  const after = await scrape(server.baseUrl)
  expect(after.get('turnpike_runs_total{agent="puppet",end="agent-failed"}')).toBe(1)
  expect(after.get('turnpike_runs_total{agent="puppet",end="cancelled"}')).toBe(1)
  expect(after.get('turnpike_runs_open{state="queued"}')).toBe(0)
})

test('resumes are counted by what came of them', async () => {
  await using server = await measured([countingAgent('counter')])
  await using client = await connect(server)
  await client.request('thread.send', { message: '5', threadId: 't' })
  const [first, ...rest] = await untilEnd(client)
  client.terminate()
  await client.closed

  await using again = await connect(server)
  await again.request('thread.subscribe', { threadId: 't', lastEventId: first?.id ?? '' })
  const caughtUp = await untilEnd(again)
  expect(caughtUp.map(({ seq }) => seq)).toEqual(rest.map(({ seq }) => seq))
  const ahead = '9999999999999-0000009999'
  await again.request('thread.subscribe', { threadId: 't', lastEventId: ahead })
  const rolledBack = `${Number((first?.id ?? '').slice(0, 13)) - 1}${(first?.id ?? '').slice(13)}`
  await again.request('thread.subscribe', { threadId: 't', lastEventId: rolledBack })
  await again.request('thread.subscribe', { threadId: 't' })

  const numbers = await scrape(server.baseUrl)
  const resumes = [...numbers].filter(([name]) => name.startsWith('turnpike_resumes_total'))
  expect(Object.fromEntries(resumes)).toEqual({
    'turnpike_resumes_total{outcome="recovered",cause=""}': 1,
    'turnpike_resumes_total{outcome="reset",cause="unknown"}': 1,
    'turnpike_resumes_total{outcome="reset",cause="rolled-back"}': 1,
  })
  expect(numbers.get('turnpike_connections{wire="websocket",authenticated="false"}')).toBe(1)
})

/** Far more than sockets hold, while one of the readers does not read. */
async function fallBehind(logBytes: number): Promise<{
  readonly server: Awaited<ReturnType<typeof serve>>
  readonly slow: WebSocketClient
}> {
  const agent = puppetAgent('puppet')
  const server = await measured([agent], { limits: { logBytes } })
  const [sender, slow] = [await connect(server), await connect(server)]
  for (let n = 0; n <= 50; n++) {
    await sender.request('thread.send', { message: `${n}`, threadId: 't' })
    const run = await agent.nextRun()
    for (let i = 0; n > 0 && i < 300; i++) await run.say(PIECE)
    run.end()
    await untilEnd(sender)
    if (n > 0) continue
    await slow.request('thread.subscribe', { threadId: 't' })
    slow.pause()
  }
  return { server, slow }
}

test('a slow reader shows as lag, and as merged frames once it reads', async () => {
  const { server, slow } = await fallBehind(64_000_000)
  await using closing = server
  const behind = await scrape(closing.baseUrl)
  const count = behind.get('turnpike_reader_lag_events_count') ?? 0
  expect(behind.get('turnpike_reader_lag_events_bucket{le="1024"}')).toBeLessThan(count)
  expect(behind.get('turnpike_merged_frames_total{wire="websocket"}')).toBe(0)

  slow.resume()
  for (let n = 0; n < 50; n++) await untilEnd(slow)
  const caughtUp = await scrape(closing.baseUrl)
  expect(caughtUp.get('turnpike_merged_frames_total{wire="websocket"}')).toBeGreaterThan(0)
  expect(caughtUp.get('turnpike_resumes_total{outcome="reset",cause="lagged"}')).toBeUndefined()
})

test('a reader that fell out of the log is counted as reset', async () => {
  const { server, slow } = await fallBehind(1_000_000)
  await using closing = server
  slow.resume()
  await slow.inbox.until((frame) => frame.type === 'thread.reset')
  const numbers = await scrape(closing.baseUrl)
  expect(numbers.get('turnpike_resumes_total{outcome="reset",cause="lagged"}')).toBe(1)
})

test('with authentication the numbers take the permission', async () => {
  const authenticate: Authenticate = async (token) =>
    token === 'nobody' ? null : { id: token, permissions: token === 'operator' ? ['metrics'] : [] }
  await using server = await measured([], { authenticate })
  const get = (token?: string): Promise<Response> =>
    fetch(`${server.baseUrl}/metrics`, { ...(token && { headers: { authorization: `Bearer ${token}` } }) })
  expect((await get()).status).toBe(401)
  expect((await get('nobody')).status).toBe(401)
  expect((await get('user')).status).toBe(403)
  await using waiting = await connect(server)
  await using admitted = await connectWebSocket({
    url: `ws://127.0.0.1:${server.port}/stream`,
    headers: { authorization: 'Bearer user' },
  })
  await admitted.request('thread.unsubscribe', { threadId: 't' })
  expect(waiting).toBeDefined()
  const numbers = parse(await (await get('operator')).text())
  expect(numbers.get('turnpike_connections{wire="websocket",authenticated="true"}')).toBe(1)
  expect(numbers.get('turnpike_connections{wire="websocket",authenticated="false"}')).toBe(1)
})

test('the route is there only where it was asked for', async () => {
  await using server = await serve([])
  expect((await fetch(`${server.baseUrl}/metrics`)).status).toBe(404)
})

test('a page of another host does not get the numbers', async () => {
  await using server = await measured([])
  const response = await new Promise<string>((resolve, reject) => {
    const asked = request(
      `${server.baseUrl}/metrics`,
      { headers: { host: 'attacker.example' } },
      (answer) => void text(answer).then((body) => resolve(`${answer.statusCode} ${body}`), reject),
    )
    asked.on('error', reject).end()
  })
  expect(response).toContain('origin-not-allowed')
})

test('what clients choose is in no label', async () => {
  await using server = await measured([countingAgent('counter')])
  await using client = await connect(server)
  for (const threadId of ['secret-a', 'secret-b', 'secret-c']) {
    await client.request('thread.send', { message: '1 secret', threadId, runId: `run-of-${threadId}` })
    await untilEnd(client)
  }
  await client.request('thread.send', { message: '1', threadId: 't', agent: 'secret-agent' })
  const exposition = await (await fetch(`${server.baseUrl}/metrics`)).text()
  expect(exposition).not.toContain('secret')
  expect([...parse(exposition).keys()].filter((name) => name.startsWith('turnpike_runs_total'))).toHaveLength(
    1,
  )
})

test('a checkpoint that fails is counted', async () => {
  const held = new HeldStore()
  await using server = await measured([countingAgent('counter')], { store: held.store })
  await using client = await connect(server)
  held.failing = 'runs.update'
  await client.request('thread.send', { message: '3', threadId: 't' })
  await untilEnd(client)
  // The last one is written behind the end of the run.
  await expect
    .poll(async () => (await scrape(server.baseUrl)).get('turnpike_checkpoints_failed_total'))
    .toBeGreaterThan(0)
  held.failing = undefined
})

test('values are escaped, and sets of them are bounded', () => {
  const counter = new Counter({ name: 'c_total', help: 'a \\ and\na line', labels: ['a', 'b'] })
  counter.of({ a: 'quote " slash \\ line \n', b: 'b' }).add(2)
  expect(expositionOf([counter])).toBe(
    '# HELP c_total a \\\\ and\\na line\n# TYPE c_total counter\n' +
      'c_total{a="quote \\" slash \\\\ line \\n",b="b"} 2\n',
  )
  for (let i = 0; i < 10_000; i++) counter.of({ a: `${i}`, b: 'b' }).add()
  const samples = [...counter.samples()]
  expect(samples.length).toBeLessThanOrEqual(201)
  expect(samples.reduce((sum, { value }) => sum + value, 0)).toBe(10_002)
  expect(samples.at(-1)?.labels).toEqual({ a: 'other', b: 'other' })
})

test('a histogram counts a value in every bucket that it fits', () => {
  const histogram = new Histogram({ name: 'h', help: 'h', bounds: [1, 10] })
  for (const value of [0, 1, 2, 10, 11]) histogram.observe(value)
  expect(parse(expositionOf([histogram]))).toEqual(
    new Map([
      ['h_bucket{le="1"}', 2],
      ['h_bucket{le="10"}', 4],
      ['h_bucket{le="+Inf"}', 5],
      ['h_sum', 24],
      ['h_count', 5],
    ]),
  )
})
