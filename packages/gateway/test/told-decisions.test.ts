import { expect, test } from 'vitest'
import { LinkClient, parkingAgent } from './harness.ts'
import { durableStore, processOn } from './restarts.ts'

test('a decision that was told of before a restart is not told of again', async () => {
  const store = durableStore()
  const first = processOn(store, [parkingAgent()])
  const client = new LinkClient(first.gateway)
  await client.ask('thread.send', { message: 'a b', threadId: 't', runId: 'r' })
  await expect.poll(async () => (await store.runs.find('anonymous', 'r'))?.state).toBe('parked')
  const pending = client.events.flatMap((event) => (event.type === 'approval-pending' ? [event] : []))
  const [a, b] = pending.map(({ approvalId }) => approvalId)
  await client.ask('approval.resolve', { approvalId: a ?? '', approved: true })
  await client.event('approval-resolved')
  await first.gateway.drain(0)
  first.die()
  const second = processOn(store, [parkingAgent()])
  await second.gateway.open()
  expect(second.log.drafts).toEqual([])
  const next = new LinkClient(second.gateway)
  await next.ask('thread.subscribe', { threadId: 't' })
  await next.ask('approval.resolve', { approvalId: b ?? '', approved: false })
  expect(await next.end('r')).toMatchObject({ type: 'finish', text: 'asked. a=true b=false' })
  expect(second.log.drafts).toMatchObject([
    { type: 'approval-resolved', approvalId: b },
    { type: 'text-delta' },
    { type: 'finish' },
  ])
})
