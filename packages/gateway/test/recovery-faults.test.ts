import { defineAgent } from '@turnpike/agents'
import { type Store, ANONYMOUS, threadRef } from '@turnpike/gateway'
import type { RunState } from '@turnpike/gateway/store'
import { puppetAgent } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { HeldStore, LinkClient, parkingAgent, testGateway } from './harness.ts'
import { durableStore, processOn } from './restarts.ts'

const echo = defineAgent({
  name: 'echo',
  register: false,
  async *run({ text }) {
    yield `echo ${text}`
  },
})

/** Begins work in the background, and asks before it goes on. */
const digger = defineAgent({
  name: 'digger',
  register: false,
  async *run({ resume }, { approvals, background }) {
    if (resume) return yield 'resumed'
    background(
      'dig',
      ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
    )
    await approvals.open({ toolCallId: 'c', tool: 'send', args: {} })
    return { parked: { state: {} } }
  },
})

const reaches = (store: Store, runId: string, state: RunState): Promise<void> =>
  expect.poll(async () => (await store.runs.find('anonymous', runId))?.state).toBe(state)

test('a shutdown keeps a parked run, and ends only what it did in the background', async () => {
  const store = durableStore()
  const first = processOn(store, [digger])
  const client = new LinkClient(first.gateway)
  await client.ask('thread.send', { message: 'm', threadId: 't', runId: 'r' })
  await client.event('approval-pending')
  await reaches(store, 'r', 'parked')
  await first.gateway.drain(0)
  const said = first.log.drafts.map((draft) => draft.type)
  expect(said).toEqual(['start', 'run-update', 'approval-pending', 'run-update'])
  expect((await store.runs.find('anonymous', 'r'))?.state).toBe('parked')
})

test('background work of a parked run that was lost is ended as failed', async () => {
  const store = durableStore()
  const first = processOn(store, [digger])
  const client = new LinkClient(first.gateway)
  await client.ask('thread.send', { message: 'm', threadId: 't', runId: 'r' })
  const { approvalId } = await client.event('approval-pending')
  await reaches(store, 'r', 'parked')
  first.die()
  const second = processOn(store, [digger])
  const next = new LinkClient(second.gateway)
  await next.ask('approval.resolve', { approvalId, approved: true })
  await reaches(store, 'r', 'done')
  expect(second.log.drafts[0]).toMatchObject({ type: 'run-update', background: { status: 'failed' } })
})

test('a parked run keeps its thread over a restart, though older messages wait', async () => {
  const store = durableStore()
  const puppet = puppetAgent('puppet')
  const first = processOn(store, [puppet, parkingAgent()])
  const client = new LinkClient(first.gateway)
  await client.ask('thread.send', { message: 'a', threadId: 't', runId: 'active' })
  await client.ask('thread.send', { message: 'b', threadId: 't', runId: 'waits' })
  const payload = { message: 'c', threadId: 't', runId: 'parked', agent: 'parking' }
  await client.ask('thread.send', { ...payload, whenBusy: 'interrupt' })
  const { approvalId } = await client.event('approval-pending')
  await reaches(store, 'parked', 'parked')
  first.die()
  const second = processOn(store, [puppet, parkingAgent()])
  const next = new LinkClient(second.gateway)
  await second.gateway.open()
  expect(second.log.drafts).toEqual([])
  await next.ask('approval.resolve', { approvalId, approved: true })
  await expect
    .poll(() => second.log.drafts.map((draft) => `${draft.runId} ${draft.type}`))
    .toEqual(['parked approval-resolved', 'parked text-delta', 'parked finish', 'waits start'])
})

test.each(['drain', 'die'] as const)(
  'a decision just before a %s is in the history after it',
  async (how) => {
    const store = durableStore()
    const first = processOn(store, [parkingAgent()])
    const client = new LinkClient(first.gateway)
    await client.ask('thread.send', { message: 'a b', threadId: 't', runId: 'r' })
    const { approvalId } = await client.event('approval-pending')
    await reaches(store, 'r', 'parked')
    await client.ask('approval.resolve', { approvalId, approved: true })
    if (how === 'drain') await first.gateway.drain(0)
    first.die()
    const second = processOn(store, [parkingAgent()])
    await second.gateway.open()
    const fresh = await new LinkClient(second.gateway).ask('thread.subscribe', { threadId: 't' })
    expect(fresh.recovered ? [] : fresh.history[1]?.parts[0]).toMatchObject({
      toolCallId: 'a',
      approval: { approvalId, approved: true },
    })
  },
)

test('what an agent did is not done again, though the store never heard that it began', async () => {
  const held = new HeldStore(durableStore())
  let executed = 0
  const mailer = defineAgent({
    name: 'mailer',
    register: false,
    async *run() {
      executed++
      yield 'mailed'
      await new Promise(() => {})
    },
  })
  const first = processOn(held.store, [mailer])
  const client = new LinkClient(first.gateway)
  held.failing = 'runs.update'
  await client.ask('thread.send', { message: 'm', threadId: 't', runId: 'r' })
  await client.event('text-delta')
  first.die()
  held.failing = undefined
  const second = processOn(held.store, [mailer])
  await second.gateway.open()
  expect(executed).toBe(1)
  expect((await held.store.runs.find('anonymous', 'r'))?.state).toBe('failed')
})

test('a run whose numbers cannot be reserved is refused, and the thread is free', async () => {
  const store = durableStore()
  let isDown = true
  const { numbering } = store
  const failing: Store['numbering'] = {
    resume: (thread) => numbering.resume(thread),
    settle: (...given) => numbering.settle(...given),
    reserve: (...given) =>
      isDown ? Promise.reject(new Error('the disk is full')) : numbering.reserve(...given),
  }
  const { gateway } = processOn({ ...store, numbering: failing }, [echo])
  const client = new LinkClient(gateway)
  expect(await client.refusal('thread.send', { message: 'm', threadId: 't', runId: 'r' })).toBe('internal')
  expect(client.events).toEqual([])
  isDown = false
  const { runId } = await client.ask('thread.send', { message: 'm', threadId: 't' })
  expect(await client.end(runId)).toMatchObject({ text: 'echo m' })
})

test('a run that is stopped while its numbers are reserved ends behind its start', async () => {
  const store = durableStore()
  const gate = Promise.withResolvers<void>()
  const { numbering } = store
  const slow: Store['numbering'] = {
    resume: (thread) => numbering.resume(thread),
    settle: (...given) => numbering.settle(...given),
    reserve: async (...given) => {
      await gate.promise
      return numbering.reserve(...given)
    },
  }
  const { gateway, log } = processOn({ ...store, numbering: slow }, [echo], { graceMs: 20 })
  const client = new LinkClient(gateway)
  void client.request('thread.send', { message: 'a', threadId: 't', runId: 'a' })
  const other = new LinkClient(gateway)
  await expect.poll(async () => (await store.runs.find('anonymous', 'a'))?.state).toBe('running')
  await other.ask('thread.send', { message: 'b', threadId: 't', runId: 'b', whenBusy: 'interrupt' })
  const grace = Promise.withResolvers<void>()
  gateway.wheel.schedule(200, grace.resolve)
  await grace.promise
  expect(log.drafts.filter((draft) => draft.type === 'finish')).toEqual([])
  gate.resolve()
  await other.end('b')
  expect(log.drafts.map((draft) => `${draft.runId} ${draft.type}`).slice(0, 3)).toEqual([
    'a start',
    'a finish',
    'b start',
  ])
  await reaches(store, 'a', 'cancelled')
})

test('an answer is stored although the store was down for longer than the log remembers', async () => {
  const held = new HeldStore()
  const limits = { replayWindowMs: 50, checkpointMs: 100 }
  const gateway = testGateway([echo], { store: held.store, limits })
  const client = new LinkClient(gateway)
  held.failing = 'runs.update'
  const { runId } = await client.ask('thread.send', { message: 'm', threadId: 't' })
  await client.end(runId)
  client.attachment.closed()
  const thread = threadRef(ANONYMOUS, 't')
  // Following trims what is too old.
  await expect
    .poll(async () => {
      ;(await gateway.log.follow(thread, 'head', () => {})).close()
      return (await gateway.log.snapshot(thread)).messages.length
    })
    .toBe(0)
  held.failing = undefined
  await expect
    .poll(async () => (await held.store.threads.messages(thread, { limit: 9 })).length, { timeout: 5_000 })
    .toBe(2)
})

test('a decision that cannot be stored was none, and may be made again', async () => {
  const store = durableStore()
  let isDown = false
  const { approvals } = store
  const failing: Store['approvals'] = {
    find: (...given) => approvals.find(...given),
    ofRun: (...given) => approvals.ofRun(...given),
    owners: (id) => approvals.owners(id),
    save: (record) => (isDown ? Promise.reject(new Error('the disk is full')) : approvals.save(record)),
  }
  const { gateway } = processOn({ ...store, approvals: failing }, [parkingAgent()])
  const client = new LinkClient(gateway)
  const { runId } = await client.ask('thread.send', { message: 'a', threadId: 't' })
  const { approvalId } = await client.event('approval-pending')
  isDown = true
  expect(await client.refusal('approval.resolve', { approvalId, approved: true })).toBe('internal')
  isDown = false
  expect(await client.ask('approval.resolve', { approvalId, approved: false })).toMatchObject({ first: true })
  expect(await client.end(runId)).toMatchObject({ text: 'asked. a=false' })
})

test('a store that fails once at the start is asked again', async () => {
  const store = durableStore()
  let asked = 0
  const { runs } = store
  const failing: Store['runs'] = {
    create: (...given) => runs.create(...given),
    update: (...given) => runs.update(...given),
    find: (...given) => runs.find(...given),
    answer: (...given) => runs.answer(...given),
    usage: (...given) => runs.usage(...given),
    owners: (id) => runs.owners(id),
    unfinished: () => (asked++ === 0 ? Promise.reject(new Error('busy')) : runs.unfinished()),
  }
  const client = new LinkClient(processOn({ ...store, runs: failing }, [echo]).gateway)
  expect(await client.refusal('thread.send', { message: 'm' })).toBe('internal')
  expect(await client.request('thread.send', { message: 'm' })).toMatchObject({ ok: true })
})

test('a shutdown waits for what is being stored, but not for a store that hangs', async () => {
  const held = new HeldStore(durableStore())
  const { gateway } = processOn(held.store, [echo], { graceMs: 50 })
  const client = new LinkClient(gateway)
  const release = held.hold('runs.update')
  const { runId } = await client.ask('thread.send', { message: 'm', threadId: 't' })
  await client.end(runId)
  const drained = gateway.drain(5_000)
  await new Promise(setImmediate)
  release()
  await drained
  await reaches(held.store, runId, 'done')

  const hanging = new HeldStore(durableStore())
  const second = processOn(hanging.store, [echo], { graceMs: 50 })
  const other = new LinkClient(second.gateway)
  hanging.hold('runs.update')
  await other.end((await other.ask('thread.send', { message: 'm', threadId: 't' })).runId)
  await second.gateway.drain(0)
  expect(other.link.frames.at(-1)).toMatchObject({ type: 'goodbye' })
})
