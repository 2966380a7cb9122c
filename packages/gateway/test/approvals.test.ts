import { type RunInput, defineAgent } from '@turnpike/agents'
import { expect, test } from 'vitest'
import { LinkClient, parkingAgent, recordingLogger, testGateway, waitingAgent } from './harness.ts'

async function pendingOf(client: LinkClient, count: number): Promise<string[]> {
  await expect
    .poll(() => client.events.filter((event) => event.type === 'approval-pending').length)
    .toBe(count)
  return client.events.flatMap((event) => (event.type === 'approval-pending' ? [event.approvalId] : []))
}

test('a run that only waits for approvals is parked, and goes on under its id once all are decided', async () => {
  const seen: RunInput['resume'][] = []
  const gateway = testGateway([parkingAgent(seen)], { limits: { runMs: 50 } })
  const client = new LinkClient(gateway)
  const { runId } = await client.ask('thread.send', { message: 'a b', threadId: 't' })
  const [a = '', b = ''] = await pendingOf(client, 2)
  expect(
    await client.ask('approval.resolve', { approvalId: b, approved: false, reason: 'no' }),
  ).toMatchObject({
    approved: false,
    first: true,
  })
  // Longer than a run may take: what is parked takes no time.
  await new Promise<void>((resolve) => gateway.wheel.schedule(400, resolve))
  expect(seen).toEqual([])
  await client.ask('approval.resolve', { approvalId: a, approved: true })
  expect(await client.end(runId)).toMatchObject({ type: 'finish', text: 'asked. b=false a=true' })
  expect(seen).toEqual([
    {
      state: { asked: 'a b' },
      decisions: [
        { approvalId: b, toolCallId: 'b', approved: false, by: 'anonymous', reason: 'no' },
        { approvalId: a, toolCallId: 'a', approved: true, by: 'anonymous' },
      ],
    },
  ])
})

test('an approval is decided from any connection, once; the second answer learns of the first', async () => {
  const gateway = testGateway([waitingAgent])
  const sender = new LinkClient(gateway)
  const { runId } = await sender.ask('thread.send', { message: 'm' })
  const [approvalId = ''] = await pendingOf(sender, 1)
  const other = new LinkClient(gateway)
  const answers = await Promise.all([
    other.ask('approval.resolve', { approvalId, approved: true }),
    sender.ask('approval.resolve', { approvalId, approved: false }),
  ])
  expect(answers).toMatchObject([
    { approved: true, first: true },
    { approved: true, first: false },
  ])
  expect(await sender.end(runId)).toMatchObject({ text: 'approved' })
  const resolved = sender.events.filter((event) => event.type === 'approval-resolved')
  expect(resolved).toMatchObject([{ approvalId, approved: true, by: 'anonymous' }])
})

test('somebody else\u2019s approval is an unknown one', async () => {
  const authenticate = (token: string): Promise<{ id: string }> => Promise.resolve({ id: token })
  const gateway = testGateway([waitingAgent], { authenticate })
  const [ada, bob] = [new LinkClient(gateway, 'ada'), new LinkClient(gateway, 'bob')]
  await ada.ask('thread.send', { message: 'm' })
  const [approvalId = ''] = await pendingOf(ada, 1)
  expect(await bob.refusal('approval.resolve', { approvalId, approved: true })).toBe('unknown-approval')
  expect(await ada.ask('approval.resolve', { approvalId, approved: true })).toMatchObject({ first: true })
})

test('an approval that nobody decides in time is denied, and stays so', async () => {
  const gateway = testGateway([waitingAgent], { limits: { approvalMs: 100 } })
  const client = new LinkClient(gateway)
  const { runId } = await client.ask('thread.send', { message: 'm' })
  const [approvalId = ''] = await pendingOf(client, 1)
  expect(await client.end(runId)).toMatchObject({ text: 'denied: expired' })
  expect(await client.ask('approval.resolve', { approvalId, approved: true })).toMatchObject({
    approved: false,
    first: false,
  })
})

test('a parked run can be cancelled; what it asked for is denied', async () => {
  const gateway = testGateway([parkingAgent()])
  const client = new LinkClient(gateway)
  const { runId } = await client.ask('thread.send', { message: 'a', threadId: 't' })
  const [approvalId = ''] = await pendingOf(client, 1)
  await client.event('text-delta')
  expect(await client.ask('run.cancel', { runId })).toMatchObject({ status: 'cancelled' })
  expect(await client.end(runId)).toMatchObject({ finishReason: 'cancelled', text: 'asked. ' })
  expect(await client.event('approval-resolved')).toMatchObject({
    approvalId,
    approved: false,
    reason: 'cancelled',
  })
  expect(await client.ask('approval.resolve', { approvalId, approved: true })).toMatchObject({
    approved: false,
  })
  const types = client.events.map((event) => event.type)
  expect(types).toEqual(['start', 'approval-pending', 'text-delta', 'approval-resolved', 'finish'])
})

test('a parked run holds its thread, and a message meanwhile waits', async () => {
  const gateway = testGateway([parkingAgent()])
  const client = new LinkClient(gateway)
  const first = await client.ask('thread.send', { message: 'a', threadId: 't' })
  const [approvalId = ''] = await pendingOf(client, 1)
  const second = await client.ask('thread.send', { message: 'b', threadId: 't' })
  expect(second.status).toBe('queued')
  await client.ask('approval.resolve', { approvalId, approved: true })
  await client.end(first.runId)
  await client.event('start', second.runId)
})

test('a run that parks with everything decided already goes on at once', async () => {
  const eager = defineAgent({
    name: 'eager',
    register: false,
    async *run({ resume }, { approvals, runId }) {
      if (resume) return void (yield `went on with ${resume.decisions.length}`)
      const approvalId = await approvals.open({ toolCallId: 'c', tool: 't', args: null })
      await client.ask('approval.resolve', { approvalId, approved: true })
      yield `${runId === '' ? '' : 'asked, '}`
      return { parked: { state: null } }
    },
  })
  const client = new LinkClient(testGateway([eager]))
  const { runId } = await client.ask('thread.send', { message: 'm' })
  expect(await client.end(runId)).toMatchObject({ text: 'asked, went on with 1' })
})

test('an approval for no call at all fails its run, and is not asked for', async () => {
  const careless = defineAgent({
    name: 'careless',
    register: false,
    async *run(_input, { approvals }) {
      yield await approvals.open({ tool: 't', args: null } as never)
    },
  })
  const client = new LinkClient(testGateway([careless], { logger: recordingLogger() }))
  const { runId } = await client.ask('thread.send', { message: 'm' })
  expect(await client.event('error', runId)).toMatchObject({ error: { code: 'invalid-agent-event' } })
})

test('a shutdown does not wait for approvals', async () => {
  const gateway = testGateway([parkingAgent()], { logger: recordingLogger() })
  const client = new LinkClient(gateway)
  const { runId } = await client.ask('thread.send', { message: 'a' })
  await client.event('text-delta')
  await gateway.drain(60_000)
  expect(await client.end(runId)).toMatchObject({ finishReason: 'interrupted' })
})

test('an agent that parks and waits for nothing fails its run', async () => {
  const idle = defineAgent({
    name: 'idle',
    register: false,
    async *run() {
      yield 'x'
      return { parked: { state: null } }
    },
  })
  const client = new LinkClient(testGateway([idle]))
  const { runId } = await client.ask('thread.send', { message: 'm' })
  expect(await client.end(runId)).toMatchObject({ type: 'error', error: { code: 'agent-failed' } })
})

test('a parked run that is cancelled is not run again', async () => {
  const seen: RunInput['resume'][] = []
  const client = new LinkClient(testGateway([parkingAgent(seen)]))
  const { runId } = await client.ask('thread.send', { message: 'a b' })
  await pendingOf(client, 2)
  await client.event('text-delta')
  await client.ask('run.cancel', { runId })
  await client.end(runId)
  await new Promise(setImmediate)
  expect(seen).toEqual([])
})

test('a run that has ended is not parked, and nothing can be asked for it any more', async () => {
  let late: Promise<unknown> = Promise.resolve()
  const odd = defineAgent({
    name: 'odd',
    register: false,
    async *run(_input, { approvals, emit }) {
      await approvals.open({ toolCallId: 'c', tool: 't', args: {} })
      emit({ type: 'nonsense' } as never)
      late = approvals.open({ toolCallId: 'd', tool: 't', args: {} })
      await late.catch(() => {})
      yield ''
      return { parked: { state: null } }
    },
  })
  const client = new LinkClient(testGateway([odd]))
  const { runId } = await client.ask('thread.send', { message: 'm' })
  expect(await client.end(runId)).toMatchObject({ type: 'error', error: { code: 'invalid-agent-event' } })
  await expect(late).rejects.toMatchObject({ code: 'cancelled' })
  const types = client.events.map((event) => event.type)
  expect(types).toEqual(['start', 'approval-pending', 'approval-resolved', 'error'])
})
