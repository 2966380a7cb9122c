import { type BackgroundOperation, type RunOutcome, type Runnable, defineAgent } from '@turnpike/agents'
import { GatewayError, LIMITS, mintEventId } from '@turnpike/protocol'
import { threadStream } from '@turnpike/protocol/thread-stream'
import { ANONYMOUS, type Gateway, threadRef } from '@turnpike/gateway'
import { ThreadWindow, Ticker } from '@turnpike/gateway/log-port'
import { MemoryLog } from '@turnpike/gateway/memory-log'
import { TestLink, puppetAgent, scriptedAgent } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { defaultLogger } from '../src/telemetry/logger.ts'
import { readHistory } from '../src/logs/history.ts'
import { encodingOf } from '../src/logs/slab.ts'
import { TimerWheel } from '../src/timing/timer-wheel.ts'
import { HeldStore, LinkClient, testGateway } from './harness.ts'

/** A log that knows how many readers follow. */
class CountedLog extends MemoryLog {
  followers = 0

  override async follow(...given: Parameters<MemoryLog['follow']>): ReturnType<MemoryLog['follow']> {
    const follow = await super.follow(...given)
    this.followers++
    let isOpen = true
    const close = (): void => {
      if (isOpen) this.followers--
      isOpen = false
      follow.close()
    }
    return { ...follow, close }
  }
}

async function rolesIn(gateway: Gateway, threadId: string): Promise<string[]> {
  const thread = threadRef(ANONYMOUS, threadId)
  const snapshot = await gateway.log.snapshot(thread)
  const { history } = await readHistory(gateway.store.threads, thread, {
    snapshot,
    limits: gateway.limits,
    reasoning: true,
  })
  return history.map((message) => message.role)
}

test('an answer larger than the cap of the log is in the history, and its end is delivered', async () => {
  const words = Array.from({ length: 3_000 }, (_, i) => `word ${i} `)
  const gateway = testGateway([scriptedAgent('long', words)], { limits: { logBytes: 10_000 } })
  const client = new LinkClient(gateway)
  const { runId } = await client.ask('thread.send', { message: 'm', threadId: 't' })
  expect(await client.end(runId)).toMatchObject({ finishReason: 'stop', text: words.join('') })
  expect(client.link.frames.some((frame) => (frame as { type?: string }).type === 'thread.reset')).toBe(false)
  await expect.poll(() => rolesIn(gateway, 't')).toEqual(['user', 'assistant'])
})

test('a store that fails once costs no thread', async () => {
  const held = new HeldStore()
  const gateway = testGateway([scriptedAgent('a', ['x'])], { store: held.store })
  const client = new LinkClient(gateway)
  for (const failing of ['runs.update', 'threads.messages', undefined] as const) {
    held.failing = failing
    const { runId, status } = await client.ask('thread.send', { message: 'm', threadId: 't' })
    expect(status).toBe('started')
    expect((await client.end(runId)).type).toBe(failing === 'threads.messages' ? 'error' : 'finish')
  }
})

test('a thread is free as soon as the end of its run is told, however slow the store is', async () => {
  const held = new HeldStore()
  const client = new LinkClient(testGateway([scriptedAgent('a', ['x'])], { store: held.store }))
  const release = held.hold('runs.update')
  const first = await client.ask('thread.send', { message: 'm', threadId: 't' })
  await client.end(first.runId)
  const second = await client.ask('thread.send', { message: 'm', threadId: 't', whenBusy: 'reject' })
  expect(second.status).toBe('started')
  release()
})

test('a run cancelled while it is being begun leaves the thread to one run at a time', async () => {
  const held = new HeldStore()
  const agent = puppetAgent('puppet')
  const client = new LinkClient(testGateway([agent], { store: held.store }))
  for (const runId of ['a', 'b']) await client.ask('thread.send', { message: runId, threadId: 't', runId })
  const release = held.hold('threads.messages')
  ;(await agent.nextRun()).end()
  await client.end('a')
  await client.ask('run.cancel', { runId: 'b' })
  const sent = client.ask('thread.send', { message: 'c', threadId: 't', runId: 'c' })
  release()
  await sent
  const active = await agent.nextRun()
  expect(active.context.runId).toBe('c')
  expect((await client.ask('thread.send', { message: 'd', threadId: 't' })).status).toBe('queued')
})

test.each<[string, unknown]>([
  [
    'a usage that JSON cannot say',
    { usage: { inputTokens: 1, outputTokens: 1, providerMetrics: { n: 1n } } },
  ],
  ['a usage that is none', { usage: 'lots' }],
  ['no number of tokens', { usage: { inputTokens: Number.NaN, outputTokens: 1 } }],
  ['a finish reason of its own', { finishReason: 'banana' }],
  ['that it was cancelled', { finishReason: 'cancelled' }],
])('an agent that returns %s fails its run and nothing else', async (_title, outcome) => {
  const agent = defineAgent({
    name: 'odd',
    register: false,
    async *run() {
      yield 'x'
      return outcome as RunOutcome
    },
  })
  const client = new LinkClient(testGateway([agent]))
  for (let i = 0; i < 2; i++) {
    const { runId } = await client.ask('thread.send', { message: 'm', threadId: 't' })
    expect(await client.end(runId)).toMatchObject({ type: 'error', error: { code: 'invalid-agent-event' } })
  }
})

/** Starts background work and waits for the end of it. */
function backgroundAgent(work: (operation: BackgroundOperation) => void): Runnable {
  return defineAgent({
    name: 'background',
    register: false,
    async *run(_input, context) {
      context.background('work', async (operation) => work(operation))
      yield 'started'
    },
  })
}

test.each<[string, (operation: BackgroundOperation) => void]>([
  ['what JSON cannot say', (operation) => operation.update(0.5, 1n as never)],
  ['a message that is no text', (operation) => operation.update(0.5, { a: 1 } as never)],
  ['an endless message', (operation) => operation.update(0.5, 'x'.repeat(2_000_000))],
])('a background operation that reports %s fails, and nothing else', async (_title, work) => {
  const client = new LinkClient(testGateway([backgroundAgent(work)]))
  const { runId } = await client.ask('thread.send', { message: 'm' })
  expect(await client.end(runId)).toMatchObject({ type: 'finish' })
  await expect
    .poll(() =>
      client.events.flatMap((event) => (event.type === 'run-update' ? [event.background.status] : [])),
    )
    .toEqual(['running', 'failed'])
})

test('a background operation that reports nonsense from a timer fails, and the process goes on', async () => {
  const agent = backgroundAgent(() => {})
  const timed = defineAgent({
    name: 'timed',
    register: false,
    async *run(_input, context) {
      context.background('work', async (operation) => {
        setImmediate(() => operation.update(0.5, 'x'.repeat(2_000_000)))
        await new Promise((resolve) => operation.signal.addEventListener('abort', resolve))
      })
      yield 'started'
    },
  })
  const client = new LinkClient(testGateway([timed, agent]))
  const { runId } = await client.ask('thread.send', { message: 'm' })
  await client.end(runId)
  await expect
    .poll(() =>
      client.events.flatMap((event) => (event.type === 'run-update' ? [event.background.status] : [])),
    )
    .toEqual(['running', 'failed'])
})

test('background work begun after a stop, or after the end, is cancelled as it begins', async () => {
  const agent = puppetAgent('puppet')
  const client = new LinkClient(testGateway([agent], { limits: { graceMs: 50 } }))
  for (const stop of [true, false]) {
    const { runId } = await client.ask('thread.send', { message: 'm', threadId: 't' })
    const run = await agent.nextRun()
    if (stop) await client.ask('run.cancel', { runId })
    else run.end()
    await client.end(runId)
    let aborted = false
    run.context.background('late', async ({ signal }) => {
      aborted = signal.aborted
    })
    await expect
      .poll(() => client.events.findLast((event) => event.runId === runId))
      .toMatchObject({ background: { status: 'cancelled' } })
    await expect.poll(() => aborted).toBe(true)
  }
})

test('an event of the wrong shape from anywhere ends its run, and not the process', async () => {
  const agent = puppetAgent('puppet')
  const client = new LinkClient(testGateway([agent]))
  const { runId } = await client.ask('thread.send', { message: 'm' })
  const run = await agent.nextRun()
  setImmediate(() => run.context.emit({ type: 'nonsense' } as never))
  expect(await client.end(runId)).toMatchObject({ type: 'error', error: { code: 'invalid-agent-event' } })
})

test.each<[string, () => AsyncGenerator<string | object>]>([
  [
    'reasoning without end',
    async function* () {
      for (;;) yield { type: 'text-delta', delta: 'x'.repeat(50_000), channel: 'reasoning' }
    },
  ],
  [
    'calls without end',
    async function* () {
      for (let i = 0; ; i++) yield { type: 'tool-call-start', toolCallId: `${i}`, tool: 't' }
    },
  ],
  [
    'results without end',
    async function* () {
      for (let i = 0; ; i++)
        yield { type: 'tool-call-result', toolCallId: `${i}`, tool: 't', result: 'x'.repeat(50_000) }
    },
  ],
])('an agent that reports %s is stopped at a limit', async (_title, run) => {
  const agent = defineAgent({ name: 'endless', register: false, run: run as never })
  const client = new LinkClient(testGateway([agent]))
  const { runId } = await client.ask('thread.send', { message: 'm' })
  expect(await client.end(runId)).toMatchObject({ type: 'error', error: { code: 'output-too-large' } })
})

test('a result nested too deep fails its run', async () => {
  const deep = JSON.parse(`${'['.repeat(4_000)}${']'.repeat(4_000)}`) as unknown
  const agent = scriptedAgent('deep', [
    { type: 'tool-call-result', toolCallId: 'c', tool: 't', result: deep },
  ])
  const client = new LinkClient(testGateway([agent]))
  const { runId } = await client.ask('thread.send', { message: 'm' })
  expect(await client.end(runId)).toMatchObject({ type: 'error', error: { code: 'invalid-agent-event' } })
})

test('what an agent is handed it cannot change for others', async () => {
  const vandal = defineAgent({
    name: 'vandal',
    register: false,
    async *run({ message, history }) {
      for (const each of [message, ...history]) {
        try {
          each.parts.length = 0
        } catch {
          yield 'no '
        }
      }
    },
  })
  const client = new LinkClient(testGateway([vandal]))
  for (const said of ['no ', 'no no no ']) {
    const { runId } = await client.ask('thread.send', { message: 'mine', threadId: 't' })
    expect(await client.end(runId)).toMatchObject({ text: said })
  }
})

test('a connection that closes while the store is asked leaves no reader behind', async () => {
  const held = new HeldStore()
  const log = new CountedLog()
  const gateway = testGateway([scriptedAgent('a', ['x'])], { store: held.store, log })
  const first = new LinkClient(gateway)
  const { runId } = await first.ask('thread.send', { message: 'm', threadId: 't' })
  await first.end(runId)
  first.attachment.closed()
  expect(log.followers).toBe(0)
  for (const method of ['threads.has', 'threads.messages', 'threads.open'] as const) {
    const release = held.hold(method)
    const client = new LinkClient(gateway)
    void client.request('thread.subscribe', { threadId: 't' })
    void client.request('thread.send', { message: 'm', threadId: method })
    await new Promise(setImmediate)
    client.attachment.closed()
    release()
    await new Promise(setImmediate)
  }
  held.failing = 'threads.messages'
  const refused = new LinkClient(gateway)
  expect(await refused.refusal('thread.subscribe', { threadId: 't' })).toBe('internal')
  await expect.poll(() => log.followers).toBe(0)
})

test('a sender is told of every run it sent, in whatever order they begin and end', async () => {
  const agent = puppetAgent('puppet')
  const gateway = testGateway([agent])
  const owner = new LinkClient(gateway)
  await owner.ask('thread.send', { message: 'a', threadId: 't', runId: 'a' })
  const client = new LinkClient(gateway)
  await client.ask('thread.send', { message: 'b', threadId: 't', runId: 'b' })
  await client.ask('thread.send', { message: 'c', threadId: 't', runId: 'c' })
  await client.ask('thread.send', { message: 'd', threadId: 't', runId: 'd', whenBusy: 'interrupt' })
  await client.ask('run.cancel', { runId: 'c' })
  for (const runId of ['a', 'd', 'b']) {
    const run = await agent.nextRun()
    expect(run.context.runId).toBe(runId)
    if (runId !== 'a') run.end()
  }
  for (const runId of ['b', 'c', 'd']) {
    await client.event('start', runId)
    await client.end(runId)
  }
})

test('limits given as options hold', async () => {
  const limits = { deltaChars: 10, eventChars: 200, frameBytes: 8_388_608 }
  const big = { type: 'tool-call-result', toolCallId: 'c', tool: 't', result: 'x'.repeat(300) } as const
  const gateway = testGateway([scriptedAgent('a', ['x'.repeat(35), big])], { limits })
  const client = new LinkClient(gateway)
  const { runId } = await client.ask('thread.send', { message: 'm' })
  expect(await client.end(runId)).toMatchObject({ error: { code: 'event-too-large' } })
  expect(client.events.filter((event) => event.type === 'text-delta')).toHaveLength(4)
  const large = await new LinkClient(gateway).request('thread.send', { message: `m${' '.repeat(4_000_000)}` })
  expect(large.ok).toBe(true)
})

test('a task of the timer wheel does not run early after the event loop was blocked', async () => {
  const wheel = new TimerWheel(10)
  const waited = await new Promise<number>((resolve) => {
    wheel.schedule(10, () => {
      const until = performance.now() + 200
      while (performance.now() < until);
      const begun = performance.now()
      wheel.schedule(100, () => resolve(performance.now() - begun))
    })
  })
  expect(waited).toBeGreaterThanOrEqual(100)
})

test('readers that come ever earlier share the bytes all the same', () => {
  const limits = LIMITS
  const window = new ThreadWindow('t', { head: mintEventId(0, 0) }, { limits, ticker: new Ticker() })
  for (let i = 0; i < 500; i++)
    window.append({ type: 'text-delta', runId: 'r', delta: 'x', channel: 'answer' }, 0)
  let encoded = 0
  const dialect = {
    ...threadStream,
    encode: (...given: Parameters<typeof threadStream.encode>) => (encoded++, threadStream.encode(...given)),
  }
  const { framing } = new TestLink()
  for (let position = 499; position >= 0; position -= 7)
    window.slab(encodingOf({ dialect, framing, reasoning: false }), position)
  expect(encoded).toBeLessThanOrEqual(2 * 500)
})

test('the logger writes whatever it is given', () => {
  const cause: Record<string, unknown> = { n: 1n }
  cause['self'] = cause
  const lines: string[] = []
  const write = process.stderr.write.bind(process.stderr)
  process.stderr.write = (line: string | Uint8Array): boolean => lines.push(String(line)) > 0
  try {
    defaultLogger.error({ error: new GatewayError('internal', 'x', { cause }) }, 'it failed')
  } finally {
    process.stderr.write = write
  }
  expect(lines.join('')).toContain('it failed')
})
