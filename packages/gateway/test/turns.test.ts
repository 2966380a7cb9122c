import { type RunOutcome, type Runnable, defineAgent } from '@turnpike/agents'
import { type Gateway, type Store, ANONYMOUS, threadRef } from '@turnpike/gateway'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { puppetAgent } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { parkingAgent, testGateway } from './harness.ts'
import { durableStore } from './restarts.ts'

type Sent = Awaited<ReturnType<Gateway['runs']['send']>>

/** Sends in the name of somebody, to a thread of everybody. */
function sendFor(
  gateway: Gateway,
  chargedTo: string,
  where: { thread: string; agent?: string },
): Promise<Sent> {
  const { thread, agent } = where
  return gateway.runs.send({
    principal: ANONYMOUS,
    chargedTo,
    thread: threadRef(ANONYMOUS, thread),
    payload: { message: `for ${chargedTo}`, ...(agent !== undefined && { agent }) },
  })
}

/** An agent that tells how many of it go on, and ends one when it is told to. */
class Workers {
  going = 0
  most = 0
  readonly #ends: (() => void)[] = []
  readonly agent = defineAgent({
    name: 'worker',
    register: false,
    run: (_input, { signal }) => this.#work(signal),
  })

  async *#work(signal: AbortSignal): AsyncGenerator<string, RunOutcome> {
    this.most = Math.max(this.most, ++this.going)
    await new Promise<void>((resolve) => {
      this.#ends.push(resolve)
      signal.addEventListener('abort', () => resolve())
    })
    this.going--
    yield 'done'
    return {}
  }

  endOne(): void {
    this.#ends.shift()?.()
  }
}

test('of runs that waited in several threads, no more go on at once than their sender may have', async () => {
  const first = puppetAgent('first')
  const workers = new Workers()
  const budget = { concurrentRuns: 2 }
  await using gateway = closing(testGateway([first, workers.agent], { budget }))
  const threads = ['a', 'b', 'c', 'd', 'e']
  const waiting: Sent[] = []
  for (const [index, thread] of threads.entries()) {
    await sendFor(gateway, `x${index}`, { thread })
    waiting.push(await sendFor(gateway, 'y', { thread, agent: 'worker' }))
  }
  for (const _ of threads) (await first.nextRun()).end()
  for (let ended = 0; ended < threads.length; ended++) {
    await expect.poll(() => workers.going).toBe(Math.min(2, threads.length - ended))
    workers.endOne()
  }
  await Promise.all(waiting.map(({ ended }) => ended))
  expect(workers.most).toBe(2)
})

test('of runs that were approved together, no more go on at once than their sender may have', async () => {
  const workers = new Workers()
  const parking = parkingAgent()
  const agent: Runnable = {
    ...parking,
    run: (input, context) => (input.resume ? workers.agent : parking).run(input, context),
  }
  await using gateway = closing(testGateway([agent], { limits: { userRuns: 1 } }))
  const ada = { id: 'ada' }
  const sent: Sent[] = []
  for (const thread of ['a', 'b', 'c']) {
    const payload = { message: 'x', runId: thread }
    sent.push(await gateway.runs.send({ principal: ada, thread: threadRef(ada, thread), payload }))
    await expect.poll(() => gateway.runs.count().parked).toBe(sent.length)
  }
  for (const thread of ['a', 'b', 'c']) {
    const [approval] = await gateway.store.approvals.ofRun(ada.id, thread)
    await gateway.approvals.resolve(ada.id, ada, { approvalId: approval?.id ?? '', approved: true })
  }
  for (const left of [3, 2, 1]) {
    await expect.poll(() => workers.going).toBe(1)
    expect(gateway.runs.count()).toEqual({ running: 1, queued: 0, parked: left - 1 })
    workers.endOne()
    await sent[3 - left]?.ended
  }
  expect(workers.most).toBe(1)
})

test('a run that waits for its sender’s others can be stopped', async () => {
  const first = puppetAgent('first')
  const workers = new Workers()
  await using gateway = closing(testGateway([first, workers.agent], { budget: { concurrentRuns: 1 } }))
  await sendFor(gateway, 'x', { thread: 'a' })
  const held = await sendFor(gateway, 'y', { thread: 'a', agent: 'worker' })
  await sendFor(gateway, 'y', { thread: 'b', agent: 'worker' })
  const run = await first.nextRun()
  run.end()
  await run.closed
  expect(await gateway.runs.cancel(ANONYMOUS.id, held.runId)).toBe('cancelled')
  await held.ended
  expect(workers.most).toBe(1)
  workers.endOne()
})

test('a run that waits for its sender’s others is left to the next process', async () => {
  const store = durableStore()
  const budget = { concurrentRuns: 1 }
  const first = puppetAgent('first')
  const workers = new Workers()
  const old = testGateway([first, workers.agent], { budget, store })
  await sendFor(old, 'x', { thread: 'a' })
  const held = await sendFor(old, 'y', { thread: 'a', agent: 'worker' })
  await sendFor(old, 'y', { thread: 'b', agent: 'worker' })
  const run = await first.nextRun()
  run.end()
  await run.closed
  await old.drain(0)
  expect(await store.runs.find(ANONYMOUS.id, held.runId)).toMatchObject({ state: 'queued' })
  const next = new Workers()
  await using gateway = closing(testGateway([next.agent], { budget, store }))
  await gateway.open()
  await expect.poll(() => next.going).toBe(1)
  next.endOne()
  await expect.poll(async () => (await store.runs.find(ANONYMOUS.id, held.runId))?.state).toBe('done')
})

test('a run that waited while its sender’s tokens were used up does not begin', async () => {
  const agent = puppetAgent('agent')
  await using gateway = closing(testGateway([agent], { budget: { tokensPerDay: 10 } }))
  await sendFor(gateway, 'y', { thread: 'a' })
  const second = await sendFor(gateway, 'y', { thread: 'a' })
  const other = await sendFor(gateway, 'z', { thread: 'a' })
  const run = await agent.nextRun()
  run.end({ usage: { inputTokens: 9, outputTokens: 1 } })
  expect((await agent.nextRun()).input.text).toBe('for z')
  await second.ended
  await expect
    .poll(async () => {
      const messages = await gateway.store.threads.messages(threadRef(ANONYMOUS, 'a'), { limit: 10 })
      return messages.find(({ message }) => message.runId === second.runId && message.role === 'assistant')
    })
    .toMatchObject({ message: { error: { code: 'budget-exhausted' } } })
  await gateway.runs.cancel(ANONYMOUS.id, other.runId)
})

test('a run that cannot be begun when its turn has come ends, and frees its thread and its sender’s place', async () => {
  const agent = puppetAgent('agent')
  const store = sqliteStore()
  let isBusy = false
  const update: typeof store.runs.update = async (...given) => {
    if (isBusy && given[1].state === 'running') {
      isBusy = false
      throw new Error('The database is locked.')
    }
    return store.runs.update(...given)
  }
  const options = { store: withRuns(store, { update }), limits: { userRuns: 1 } }
  await using gateway = closing(testGateway([agent], options))
  const ada = { id: 'ada' }
  const send = (runId: string): Promise<Sent> =>
    gateway.runs.send({ principal: ada, thread: threadRef(ada, 't'), payload: { message: runId, runId } })
  await send('one')
  const second = await send('two')
  await send('three')
  isBusy = true
  ;(await agent.nextRun()).end()
  await second.ended
  expect((await agent.nextRun()).input.text).toBe('three')
})

test('a run that was left is not begun by an agent that only has the same name', async () => {
  const store = durableStore()
  const [free, pro] = [puppetAgent('assistant'), puppetAgent('assistant')]
  const findPro = (name?: string): Runnable | undefined => (name === 'assistant' ? pro : undefined)
  const send = (gateway: Gateway, runId: string): Promise<Sent> =>
    gateway.runs.send({
      principal: ANONYMOUS,
      thread: threadRef(ANONYMOUS, 't'),
      payload: { message: 'hi', agent: 'assistant', runId },
      findAgent: findPro,
    })
  const first = testGateway([free], { store })
  first.runs.alsoFind(findPro)
  await send(first, 'one')
  await send(first, 'two')
  await pro.nextRun()
  await first.drain(0)
  await using second = closing(testGateway([free], { store }))
  second.runs.alsoFind(findPro)
  await second.open()
  await expect.poll(async () => (await store.runs.find(ANONYMOUS.id, 'two'))?.state).toBe('failed')
  expect(await store.runs.answer(ANONYMOUS.id, 'two')).toMatchObject({ error: { code: 'unknown-agent' } })
})

test('a message that was on its way when the server began to leave is refused, and nothing of it is done', async () => {
  const agent = puppetAgent('agent')
  const store = sqliteStore()
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<void>()
  const usage: typeof store.runs.usage = async (...given) => {
    asked.resolve()
    await answer.promise
    return store.runs.usage(...given)
  }
  const gateway = testGateway([agent], { budget: { runsPerMinute: 5 }, store: withRuns(store, { usage }) })
  const sent = sendFor(gateway, 'y', { thread: 'a' })
  await asked.promise
  const drained = gateway.drain(0)
  answer.resolve()
  await expect(sent).rejects.toMatchObject({ code: 'draining' })
  await drained
  expect(gateway.runs.count()).toEqual({ running: 0, queued: 0, parked: 0 })
})

/** A store some of whose methods are others. */
function withRuns(store: Store, others: Partial<Store['runs']>): Store {
  const runs = new Proxy(store.runs, {
    get(target, name) {
      const member: unknown = Reflect.get(others, name) ?? Reflect.get(target, name)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
  return { ...store, runs }
}

function closing(gateway: Gateway): Gateway & AsyncDisposable {
  return Object.assign(gateway, { [Symbol.asyncDispose]: () => gateway.drain(0) })
}
