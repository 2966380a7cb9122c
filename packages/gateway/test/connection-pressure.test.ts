import { expect, test } from 'vitest'
import { HeldStore, LinkClient, testGateway } from './harness.ts'

async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise(setImmediate)
}

test('who sends faster than it is served is not read until what it sent is handled', async () => {
  const held = new HeldStore()
  const gateway = testGateway([], { store: held.store, limits: { earlyFrames: 4 } })
  const client = new LinkClient(gateway)
  const pauses: boolean[] = []
  client.link.pause = (paused = false) => void pauses.push(paused)
  const letGo = held.hold('threads.has')
  const answers = Array.from({ length: 5 }, () => client.refusal('thread.subscribe', { threadId: 'none' }))
  await turns()
  expect(pauses).toEqual([])
  const last = client.refusal('thread.subscribe', { threadId: 'none' })
  await turns()
  expect(pauses).toEqual([true])
  letGo()
  expect(await Promise.all([...answers, last])).toEqual(Array(6).fill('unknown-thread'))
  await turns()
  expect(pauses).toEqual([true, false])
  await gateway.drain(0)
})

test('who does not read its answers is not given more of them', async () => {
  const gateway = testGateway([])
  const client = new LinkClient(gateway)
  client.link.bufferedBytes = gateway.limits.answerBytes
  const answer = client.request('thread.unsubscribe', { threadId: 't' })
  await turns()
  expect(client.link.frames).toEqual([])
  client.link.drain()
  client.attachment.drained()
  expect(await answer).toMatchObject({ ok: true })
  await gateway.drain(0)
})
