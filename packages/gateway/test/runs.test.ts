import { setTimeout as sleep } from 'node:timers/promises'
import { defineAgent, emit } from '@turnpike/agents'
import { ALL_REPORTS, puppetAgent, scriptedAgent } from '@turnpike/testkit'
import { expect, test, vi } from 'vitest'
import { LinkClient, recordingLogger, testGateway } from './harness.ts'

const limits = { graceMs: 50, runMs: 60_000 }

function typesOf(client: LinkClient, runId: string): string[] {
  return client.events.filter((event) => event.runId === runId).map((event) => event.type)
}

test('a run begins with start, ends with one finish, and tells everything between', async () => {
  const client = new LinkClient(testGateway([scriptedAgent('all', ALL_REPORTS, { finishReason: 'length' })]))
  const { threadId, runId } = await client.ask('thread.send', { message: 'hi', reasoning: true })
  const finish = await client.end(runId)
  expect(finish).toMatchObject({
    agent: 'all',
    finishReason: 'length',
    text: 'It is -3 °C in Oslo.',
    steps: 2,
    usage: { inputTokens: 30, outputTokens: 12 },
  })
  expect(client.events.map((event) => event.seq)).toEqual(client.events.map((_, index) => index + 1))
  const said = ALL_REPORTS.map((report) => (typeof report === 'string' ? 'text-delta' : report.type))
  expect(typesOf(client, runId)).toEqual(['start', ...said, 'finish'])
  expect(client.events[0]).toMatchObject({
    threadId,
    input: { role: 'user', parts: [{ type: 'text', text: 'hi' }] },
  })
})

test('the same run id is the same run; with another message or thread it is a conflict', async () => {
  const agent = puppetAgent('puppet')
  const client = new LinkClient(testGateway([agent]))
  const send = { message: 'once', threadId: 't', runId: 'r' }
  const answers = await Promise.all([client.ask('thread.send', send), client.ask('thread.send', send)])
  expect(answers[0]).toEqual(expect.objectContaining({ threadId: 't', runId: 'r', status: 'started' }))
  expect(await client.refusal('thread.send', { ...send, message: 'twice' })).toBe('run-id-conflict')
  expect(await client.refusal('thread.send', { ...send, threadId: 'u' })).toBe('run-id-conflict')
  const run = await agent.nextRun()
  run.end()
  await client.end('r')
  await client.ask('thread.send', send)
  expect(typesOf(client, 'r')).toEqual(['start', 'finish'])
})

test('a finished run sent again is told once more to a connection that does not follow the thread', async () => {
  const gateway = testGateway([scriptedAgent('s', ['a', 'b'])])
  const first = new LinkClient(gateway)
  await first.ask('thread.send', { message: 'm', threadId: 't', runId: 'r' })
  await first.end('r')
  const second = new LinkClient(gateway)
  await second.ask('thread.send', { message: 'm', threadId: 't', runId: 'r' })
  await second.end('r')
  expect(second.events).toEqual(first.events)
})

test('messages for a busy thread wait in order, eight of them', async () => {
  const agent = puppetAgent('puppet')
  const client = new LinkClient(testGateway([agent]))
  const ids = Array.from({ length: 9 }, (_, i) => `r${i}`)
  for (const runId of ids) {
    const { status } = await client.ask('thread.send', { message: runId, threadId: 't', runId })
    expect(status).toBe(runId === 'r0' ? 'started' : 'queued')
  }
  expect(await client.refusal('thread.send', { message: 'x', threadId: 't' })).toBe('thread-busy')
  for (const runId of ids) {
    const run = await agent.nextRun()
    expect(run.context.runId).toBe(runId)
    expect(run.input.history.filter((message) => message.role === 'user')).toHaveLength(ids.indexOf(runId))
    await run.say(`answer ${runId}`)
    run.end()
    await client.end(runId)
  }
  const order = client.events.filter((event) => event.type === 'start' || event.type === 'finish')
  expect(order.map((event) => event.runId)).toEqual(ids.flatMap((id) => [id, id]))
})

test('a busy thread rejects where it is asked to, by the send or the server', async () => {
  const agent = puppetAgent('puppet')
  const client = new LinkClient(testGateway([agent], { whenBusy: 'reject' }))
  await client.ask('thread.send', { message: 'a', threadId: 't' })
  expect(await client.refusal('thread.send', { message: 'b', threadId: 't' })).toBe('thread-busy')
  const { status } = await client.ask('thread.send', { message: 'c', threadId: 't', whenBusy: 'enqueue' })
  expect(status).toBe('queued')
})

test('an interrupting message cancels the active run and goes before those that wait', async () => {
  const agent = puppetAgent('puppet')
  const client = new LinkClient(testGateway([agent]))
  for (const runId of ['active', 'waiting'])
    await client.ask('thread.send', { message: runId, threadId: 't', runId })
  const active = await agent.nextRun()
  await active.say('half an ans')
  await client.ask('thread.send', { message: 'now', threadId: 't', runId: 'urgent', whenBusy: 'interrupt' })
  expect(await client.end('active')).toMatchObject({ finishReason: 'cancelled', text: 'half an ans' })
  expect((await agent.nextRun()).context.runId).toBe('urgent')
})

test('a cancelled run keeps the text so far, and tells later cancels how it ended', async () => {
  const agent = puppetAgent('puppet')
  const client = new LinkClient(testGateway([agent]))
  const { runId, threadId } = await client.ask('thread.send', { message: 'm' })
  const run = await agent.nextRun()
  await run.say('so far')
  expect(await client.ask('run.cancel', { runId })).toMatchObject({ status: 'cancelling' })
  expect(run.context.signal.aborted).toBe(true)
  expect(await client.end(runId)).toMatchObject({ finishReason: 'cancelled', text: 'so far' })
  await run.closed
  expect(await client.ask('run.cancel', { runId })).toMatchObject({ status: 'cancelled' })
  expect(await client.refusal('run.cancel', { runId: 'another' })).toBe('unknown-run')
  const { recovered, ...opening } = await client.ask('thread.subscribe', { threadId })
  expect(recovered).toBe(false)
  expect('history' in opening && opening.history.at(-1)).toMatchObject({
    status: 'cancelled',
    parts: [{ type: 'text', text: 'so far' }],
  })
})

test('a run cancelled while it waits is logged, and ends, without waiting for its turn', async () => {
  const agent = puppetAgent('puppet')
  const client = new LinkClient(testGateway([agent]))
  for (const runId of ['a', 'b', 'c'])
    await client.ask('thread.send', { message: runId, threadId: 't', runId })
  expect(await client.ask('run.cancel', { runId: 'b' })).toMatchObject({ status: 'cancelled' })
  expect(await client.end('b')).toMatchObject({ finishReason: 'cancelled', text: '' })
  ;(await agent.nextRun()).end()
  await client.end('a')
  expect((await agent.nextRun()).context.runId).toBe('c')
})

test('an agent that ignores its signal is left behind after the grace time, and what it yields then is dropped', async () => {
  const agent = puppetAgent('stubborn', { obedient: false })
  const client = new LinkClient(testGateway([agent], { limits }))
  const { runId } = await client.ask('thread.send', { message: 'm', threadId: 't' })
  const run = await agent.nextRun()
  await run.say('before')
  await client.ask('run.cancel', { runId })
  expect(await client.end(runId)).toMatchObject({ finishReason: 'cancelled', text: 'before' })
  void run.say('too late')
  run.context.emit({ type: 'step-start', step: 9 })
  await run.closed
  const next = await client.ask('thread.send', { message: 'next', threadId: 't' })
  ;(await agent.nextRun()).end()
  await client.end(next.runId)
  expect(typesOf(client, runId)).toEqual(['start', 'text-delta', 'finish'])
})

test('after a stop no text is taken, and what closes things still is', async () => {
  const agent = puppetAgent('puppet', { obedient: false })
  const client = new LinkClient(testGateway([agent]))
  const { runId } = await client.ask('thread.send', { message: 'm' })
  const run = await agent.nextRun()
  await client.ask('run.cancel', { runId })
  run.context.emit({ type: 'text-delta', delta: 'no', channel: 'answer' })
  run.context.emit({
    type: 'tool-call-error',
    toolCallId: 'c',
    tool: 't',
    error: { code: 'x', message: 'y' },
  })
  run.end()
  await client.end(runId)
  expect(typesOf(client, runId)).toEqual(['start', 'tool-call-error', 'finish'])
})

test('a run that takes too long ends with run-timeout', async () => {
  const agent = puppetAgent('slow')
  const client = new LinkClient(testGateway([agent], { limits: { graceMs: 50, runMs: 50 } }))
  const { runId } = await client.ask('thread.send', { message: 'm' })
  expect(await client.end(runId)).toMatchObject({ type: 'error', error: { code: 'run-timeout' } })
})

test('an agent that throws fails its run with a safe message; the cause goes to the log', async () => {
  const logger = recordingLogger()
  const agent = puppetAgent('puppet')
  const client = new LinkClient(testGateway([agent], { logger }))
  const { runId } = await client.ask('thread.send', { message: 'm' })
  const run = await agent.nextRun()
  await run.say('partly')
  run.fail(new Error('password=hunter2'))
  const error = await client.end(runId)
  expect(error).toMatchObject({ type: 'error', error: { code: 'agent-failed' } })
  expect(JSON.stringify(client.link.frames)).not.toContain('hunter2')
  expect(logger.errors).toEqual([expect.objectContaining({ runId, error: new Error('password=hunter2') })])
})

test.each([
  [
    'throws before its first yield',
    () => {
      throw new Error('no')
    },
    'agent-failed',
  ],
  ['is no iterable', () => 7, 'agent-failed'],
  [
    'rejects at its first step',
    () => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('no')) }) }),
    'agent-failed',
  ],
  [
    'yields something that is no event',
    async function* () {
      yield { type: 'finish' }
    },
    'invalid-agent-event',
  ],
  [
    'yields a number',
    async function* () {
      yield 7
    },
    'invalid-agent-event',
  ],
  [
    'yields what JSON cannot say',
    async function* () {
      yield { type: 'tool-call-result', result: 1n }
    },
    'invalid-agent-event',
  ],
  [
    'yields an enormous event',
    async function* () {
      yield { type: 'tool-call-result', toolCallId: 'c', tool: 't', result: 'x'.repeat(1_100_000) }
    },
    'event-too-large',
  ],
])('an agent that %s ends its run with one error', async (_title, run, code) => {
  const agent = defineAgent({ name: 'bad', register: false, run: run as never })
  const client = new LinkClient(testGateway([agent]))
  const { runId } = await client.ask('thread.send', { message: 'm' })
  expect(await client.end(runId)).toMatchObject({ type: 'error', error: { code } })
  expect(typesOf(client, runId)).toEqual(['start', 'error'])
})

test('an answer beyond the limit ends its run', async () => {
  const agent = scriptedAgent('endless', ['x'.repeat(60), 'x'.repeat(60)])
  const client = new LinkClient(testGateway([agent], { limits: { answerChars: 100 } }))
  const { runId } = await client.ask('thread.send', { message: 'm' })
  expect(await client.end(runId)).toMatchObject({ type: 'error', error: { code: 'output-too-large' } })
})

test('a long text is cut into deltas, never through a character', async () => {
  const text = '😀'.repeat(20_001)
  const client = new LinkClient(testGateway([scriptedAgent('long', [`x${text}`])]))
  const { runId } = await client.ask('thread.send', { message: 'm' })
  expect(await client.end(runId)).toMatchObject({ text: `x${text}` })
  const deltas = client.events.flatMap((event) => (event.type === 'text-delta' ? [event.delta] : []))
  expect(deltas.length).toBeGreaterThan(2)
  expect(deltas.join('')).toBe(`x${text}`)
  for (const delta of deltas) expect(delta.isWellFormed()).toBe(true)
})

test('an agent that never waits does not keep others from the event loop', async () => {
  let stop = false
  const greedy = defineAgent({
    name: 'greedy',
    register: false,
    async *run() {
      while (!stop) yield 'x'
    },
  })
  const client = new LinkClient(testGateway([greedy, scriptedAgent('polite', ['hello'])]))
  const { runId } = await client.ask('thread.send', { message: 'm', agent: 'greedy' })
  const polite = await client.ask('thread.send', { message: 'm', agent: 'polite' })
  await client.end(polite.runId)
  await client.ask('run.cancel', { runId })
  expect(await client.end(runId)).toMatchObject({ finishReason: 'cancelled' })
  stop = true
})

test('emit works at any depth of a run, and each run finds its own', async () => {
  const deep = async (text: string): Promise<void> => {
    await sleep(1)
    emit({ type: 'memory-write', memory: { id: 'm', text, scope: 'user' } })
  }
  const agent = defineAgent({
    name: 'deep',
    register: false,
    async *run({ text }) {
      for (let i = 0; i < 3; i++) {
        await Promise.all([deep(text), deep(text)])
        yield '.'
      }
    },
  })
  const client = new LinkClient(testGateway([agent]))
  const sent = await Promise.all(['a', 'b'].map((message) => client.ask('thread.send', { message })))
  for (const [index, { runId }] of sent.entries()) {
    await client.end(runId)
    const texts = client.events.flatMap((event) =>
      event.runId === runId && event.type === 'memory-write' ? [event.memory.text] : [],
    )
    expect(texts).toEqual(Array.from({ length: 6 }, () => (index === 0 ? 'a' : 'b')))
  }
  expect(() => emit({ type: 'step-start', step: 0 })).toThrow('inside a run')
})

test('a background operation reports after its run, does not hold the thread, and ends once', async () => {
  const agent = puppetAgent('puppet')
  const client = new LinkClient(testGateway([agent]))
  const { runId } = await client.ask('thread.send', { message: 'm', threadId: 't' })
  const run = await agent.nextRun()
  const gate = Promise.withResolvers<void>()
  const id = run.context.background('index', async (operation) => {
    operation.update(0.25, 'reading')
    await gate.promise
    operation.update(7)
  })
  run.end()
  await client.end(runId)
  const next = await client.ask('thread.send', { message: 'next', threadId: 't' })
  expect(next.status).toBe('started')
  gate.resolve()
  await vi.waitFor(() => {
    const updates = client.events.flatMap((event) => (event.type === 'run-update' ? [event] : []))
    expect(updates.every((event) => event.runId === runId && event.background.id === id)).toBe(true)
    expect(updates.map(({ background }) => [background.status, background.progress])).toEqual([
      ['running', 0],
      ['running', 0.25],
      ['running', 1],
      ['done', 1],
    ])
  })
})

test('cancelling a run that has ended cancels what goes on in its background', async () => {
  const agent = puppetAgent('puppet')
  const client = new LinkClient(testGateway([agent]))
  const { runId } = await client.ask('thread.send', { message: 'm' })
  const run = await agent.nextRun()
  let aborted = false
  run.context.background('endless', (operation) => {
    operation.signal.addEventListener('abort', () => (aborted = true))
    return new Promise(() => {})
  })
  run.end()
  await client.end(runId)
  expect(await client.ask('run.cancel', { runId })).toMatchObject({ status: 'done' })
  expect(aborted).toBe(true)
  const last = client.events.findLast((event) => event.type === 'run-update')
  await vi.waitFor(() => expect(client.events.at(-1)).toMatchObject({ background: { status: 'cancelled' } }))
  expect(last).toBeDefined()
})

test('a drain refuses new runs, lets those in progress end, and interrupts what does not', async () => {
  const agent = puppetAgent('puppet')
  const gateway = testGateway([agent], { limits })
  const client = new LinkClient(gateway)
  const quick = await client.ask('thread.send', { message: 'quick', threadId: 'a' })
  const slow = await client.ask('thread.send', { message: 'slow', threadId: 'b' })
  const waiting = await client.ask('thread.send', { message: 'waiting', threadId: 'b' })
  const quickRun = await agent.nextRun()
  const slowRun = await agent.nextRun()
  await slowRun.say('half')
  const drained = gateway.drain(100)
  expect(await client.refusal('thread.send', { message: 'late' })).toBe('draining')
  await quickRun.say('whole')
  quickRun.end()
  await drained
  expect(await client.end(quick.runId)).toMatchObject({ finishReason: 'stop', text: 'whole' })
  expect(await client.end(slow.runId)).toMatchObject({ finishReason: 'interrupted', text: 'half' })
  expect(await client.end(waiting.runId)).toMatchObject({ finishReason: 'interrupted', text: '' })
  expect(client.link.frames.at(-1)).toMatchObject({ type: 'goodbye', code: 'draining' })
  expect(client.link.closedWith?.code).toBe(1012)
})

test('losing every connection does not end a run', async () => {
  const agent = puppetAgent('puppet')
  const gateway = testGateway([agent])
  const first = new LinkClient(gateway)
  const { runId, threadId } = await first.ask('thread.send', { message: 'm' })
  const run = await agent.nextRun()
  await run.say('one ')
  const { id } = await first.event('text-delta')
  first.attachment.closed()
  await run.say('two ')
  const second = new LinkClient(gateway)
  expect(await second.ask('thread.subscribe', { threadId, lastEventId: id })).toMatchObject({
    recovered: true,
  })
  await run.say('three')
  run.end()
  expect(await second.end(runId)).toMatchObject({ finishReason: 'stop', text: 'one two three' })
  expect(second.events.map((event) => event.seq)).toEqual([3, 4, 5])
})
