import { defineAgent } from '@turnpike/agents'
import type { ThreadEvent } from '@turnpike/protocol'
import { type Gateway, ANONYMOUS, threadRef } from '@turnpike/gateway'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { puppetAgent } from '@turnpike/testkit'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { LinkClient, parkingAgent, waitingAgent } from './harness.ts'
import { type RecordingLog, durableStore, processOn } from './restarts.ts'

const worker = defineAgent({
  name: 'worker',
  register: false,
  async *run(_input, { background }) {
    background('dig', async ({ signal, update }) => {
      update(0.5, 'half way')
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
    })
    yield 'digging'
  },
})

test('background work that was lost is ended as failed, once, where it was', async () => {
  const store = sqliteStore()
  const first = processOn(store, [worker])
  const client = new LinkClient(first.gateway)
  const { runId } = await client.ask('thread.send', { message: 'm', threadId: 't' })
  await client.end(runId)
  await expect.poll(async () => (await store.runs.find('anonymous', runId))?.state).toBe('done')
  first.die()
  const second = processOn(store, [worker])
  await second.gateway.open()
  const updates = second.log.drafts.filter((draft) => draft.type === 'run-update')
  expect(updates).toMatchObject([{ runId, background: { name: 'dig', status: 'failed', progress: 0.5 } }])
  const third = processOn(store, [worker])
  await third.gateway.open()
  expect(third.log.drafts).toEqual([])
})

test('a run that waits in its process for an approval is lost with it, and the approval is denied', async () => {
  const store = sqliteStore()
  const first = processOn(store, [waitingAgent])
  const client = new LinkClient(first.gateway)
  await client.ask('thread.send', { message: 'm', threadId: 't', runId: 'r' })
  const { approvalId } = await client.event('approval-pending')
  first.die()
  const second = processOn(store, [waitingAgent])
  const next = new LinkClient(second.gateway)
  expect(await next.ask('approval.resolve', { approvalId, approved: true })).toMatchObject({
    approved: false,
    first: false,
  })
  expect(second.log.drafts.map((draft) => draft.type)).toContain('approval-resolved')
  expect(second.log.drafts.at(-1)).toMatchObject({ type: 'error', error: { code: 'run-lost' } })
})

test('a run whose agent is gone after a restart fails when its turn comes', async () => {
  const store = sqliteStore()
  const first = processOn(store, [parkingAgent()])
  const client = new LinkClient(first.gateway)
  await client.ask('thread.send', { message: 'word', threadId: 't', runId: 'r' })
  const { approvalId } = await client.event('approval-pending')
  await expect.poll(async () => (await store.runs.find('anonymous', 'r'))?.state).toBe('parked')
  first.die()
  const second = processOn(store, [worker])
  const next = new LinkClient(second.gateway)
  await next.ask('thread.subscribe', { threadId: 't' })
  await next.ask('approval.resolve', { approvalId, approved: true })
  expect(await next.end('r')).toMatchObject({ type: 'error', error: { code: 'unknown-agent' } })
})

type Step =
  | { do: 'send'; thread: string; agent: 'puppet' | 'parking' | 'worker' }
  | { do: 'cancel' | 'approve' | 'end'; n: number }
  | { do: 'turn' | 'die' | 'drain' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      thread: fc.constantFrom('a', 'b'),
      agent: fc.constantFrom('puppet' as const, 'parking' as const, 'worker' as const),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('cancel' as const, 'approve' as const, 'end' as const),
      n: fc.nat(9),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('turn' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('die' as const, 'drain' as const) }) },
)

test('whatever dies when, every accepted run begins at most once, ends exactly once, and is in the history', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), playSchedule), {
    numRuns: Number(process.env['RECOVERY_SCHEDULES'] ?? 60),
  })
}, 60_000)

async function playSchedule(steps: readonly Step[]): Promise<void> {
  const store = durableStore()
  const puppet = puppetAgent('puppet')
  const agents = [puppet, parkingAgent(), worker]
  const logs: RecordingLog[] = []
  const sent: { runId: string; thread: string }[] = []
  const begun: Awaited<ReturnType<typeof puppet.nextRun>>[] = []
  const collect = (): void => void puppet.nextRun().then((run) => (begun.push(run), collect()))
  collect()
  let now = processOn(store, agents)
  let client = new LinkClient(now.gateway)
  const restart = async (): Promise<void> => {
    // Nothing leaves a process but between two turns, and until then the store has it.
    await new Promise(setImmediate)
    now.die()
    logs.push(now.log)
    now = processOn(store, agents)
    client = new LinkClient(now.gateway)
    await now.gateway.open()
    for (const threadId of ['a', 'b']) await client.request('thread.subscribe', { threadId })
  }
  for (const one of steps) {
    if (one.do === 'send') {
      const runId = `r${sent.length}`
      const answer = await client.request('thread.send', {
        message: 'x',
        threadId: one.thread,
        agent: one.agent,
        runId,
      })
      if (answer.ok) sent.push({ runId, thread: one.thread })
    } else if (one.do === 'cancel') {
      const run = sent[one.n % Math.max(1, sent.length)]
      if (run) await client.request('run.cancel', { runId: run.runId })
    } else if (one.do === 'approve') {
      const asked = client.events.filter((event) => event.type === 'approval-pending')
      const approval = asked[one.n % Math.max(1, asked.length)]
      if (approval)
        await client.request('approval.resolve', { approvalId: approval.approvalId, approved: true })
    } else if (one.do === 'end') begun[one.n % Math.max(1, begun.length)]?.end()
    else if (one.do === 'turn') await new Promise(setImmediate)
    else {
      if (one.do === 'drain') await now.gateway.drain(0)
      await restart()
    }
  }
  // Everybody ends what it can.
  await restart()
  for (const { runId } of sent) await client.request('run.cancel', { runId })
  await expect.poll(async () => (await store.runs.unfinished()).length).toBe(0)
  logs.push(now.log)
  checkEnds(logs, sent)
  await checkHistories(now.gateway, sent)
}

function checkEnds(logs: readonly RecordingLog[], sent: readonly { runId: string }[]): void {
  const drafts = logs.flatMap((log) => log.drafts)
  const count = (runId: string, types: readonly ThreadEvent['type'][]): number =>
    drafts.filter((draft) => draft.runId === runId && types.includes(draft.type)).length
  for (const { runId } of sent) {
    expect([runId, count(runId, ['start']), count(runId, ['finish', 'error'])]).toEqual([runId, 1, 1])
    const last = drafts.findLastIndex((draft) => draft.runId === runId && draft.type !== 'run-update')
    expect(['finish', 'error']).toContain(drafts[last]?.type)
  }
}

async function checkHistories(
  gateway: Gateway,
  sent: readonly { runId: string; thread: string }[],
): Promise<void> {
  for (const thread of ['a', 'b']) {
    const mine = sent.filter((run) => run.thread === thread).map(({ runId }) => runId)
    const stored = await gateway.store.threads.messages(threadRef(ANONYMOUS, thread), { limit: 200 })
    const answers = stored.filter(({ message }) => message.role === 'assistant')
    expect(new Set(answers.map(({ message }) => message.runId))).toEqual(new Set(mine))
    expect(answers).toHaveLength(mine.length)
    expect(answers.every(({ message }) => message.status !== 'open')).toBe(true)
  }
}
