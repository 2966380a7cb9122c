import { puppetAgent } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { LinkClient, testGateway } from './harness.ts'

test('an agent that was left behind and throws at last does not end its run again', async () => {
  const agent = puppetAgent('stubborn', { obedient: false })
  const client = new LinkClient(testGateway([agent], { limits: { graceMs: 1 } }))
  const { runId } = await client.ask('thread.send', { message: 'm', threadId: 't' })
  const run = await agent.nextRun()
  await client.ask('run.cancel', { runId })
  await client.end(runId)
  run.fail(new Error('at last'))
  await run.closed
  const next = await client.ask('thread.send', { message: 'next', threadId: 't' })
  ;(await agent.nextRun()).end()
  await client.end(next.runId)
  const types = client.events.map((event) => `${event.runId === runId ? 'first' : 'next'} ${event.type}`)
  expect(types).toEqual(['first start', 'first finish', 'next start', 'next finish'])
})
