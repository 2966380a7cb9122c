import { type RunInput, defineAgent } from '@turnpike/agents'
import { textOf } from '@turnpike/protocol'
import { type Store, ANONYMOUS, threadRef } from '@turnpike/gateway'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { puppetAgent } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { HeldStore, LinkClient, parkingAgent, testGateway } from './harness.ts'

const thread = threadRef(ANONYMOUS, 't')

/** What of the latest message a process would find that came after this one. */
async function stored(store: Store): Promise<string | undefined> {
  const { message } = (await store.threads.messages(thread, { limit: 10 })).at(-1) ?? {}
  return message && `${message.status}: ${textOf(message)}`
}

test('what a run has said is stored soon, although no step of it ends', async () => {
  const store = sqliteStore()
  const agent = puppetAgent('puppet')
  const gateway = testGateway([agent], { store, limits: { checkpointMs: 1 } })
  await new LinkClient(gateway).ask('thread.send', { message: 'm', threadId: 't' })
  const run = await agent.nextRun()
  for (const text of ['a', 'b']) {
    // Only once what came before is there, so that no border of the run can bring it along.
    await expect.poll(() => stored(store)).toBe(text === 'a' ? 'open: ' : 'open: a')
    await run.say(text)
  }
  await expect.poll(() => stored(store)).toBe('open: ab')
  await gateway.drain(0)
})

test('what a step has come to is stored when it ends', async () => {
  const store = sqliteStore()
  const agent = puppetAgent('puppet')
  const gateway = testGateway([agent], { store, limits: { checkpointMs: 3_600_000 } })
  await new LinkClient(gateway).ask('thread.send', { message: 'm', threadId: 't' })
  const run = await agent.nextRun()
  await expect.poll(() => stored(store)).toBe('open: ')
  await run.say({ type: 'step-start', step: 0 })
  await run.say('a')
  expect(await stored(store)).toBe('open: ')
  const usage = { inputTokens: 0, outputTokens: 0 }
  await run.say({ type: 'step-finish', step: 0, finishReason: 'stop', usage })
  await expect.poll(() => stored(store)).toBe('open: a')
  await gateway.drain(0)
})

test('a run that waited begins only once the store knows that it has', async () => {
  const held = new HeldStore()
  const first = puppetAgent('first')
  const second = defineAgent({
    name: 'second',
    register: false,
    async *run(_input, { runId }) {
      yield (await held.store.runs.find(ANONYMOUS.id, runId))?.state ?? 'unknown'
    },
  })
  const gateway = testGateway([first, second], { store: held.store })
  const client = new LinkClient(gateway)
  const { runId } = await client.ask('thread.send', { message: 'a', threadId: 't', agent: 'first' })
  const waits = await client.ask('thread.send', { message: 'b', threadId: 't', agent: 'second' })
  const run = await first.nextRun()
  const letGo = held.hold('runs.update')
  run.end()
  await client.end(runId)
  for (let i = 0; i < 20; i++) await new Promise(setImmediate)
  letGo()
  expect(await client.end(waits.runId)).toMatchObject({ text: 'running' })
  await gateway.drain(0)
})

test('what was approved is done only once the store knows that the run goes on', async () => {
  const held = new HeldStore()
  const seen: RunInput['resume'][] = []
  const gateway = testGateway([parkingAgent(seen)], { store: held.store })
  const client = new LinkClient(gateway)
  const { runId } = await client.ask('thread.send', { message: 'word', threadId: 't' })
  await expect.poll(async () => (await held.store.runs.find(ANONYMOUS.id, runId))?.state).toBe('parked')
  const letGo = held.hold('runs.update')
  const { approvalId } = await client.event('approval-pending')
  await client.ask('approval.resolve', { approvalId, approved: true })
  for (let i = 0; i < 20; i++) await new Promise(setImmediate)
  expect(seen).toEqual([])
  letGo()
  expect(await client.end(runId)).toMatchObject({ text: 'asked. word=true' })
  await gateway.drain(0)
})
