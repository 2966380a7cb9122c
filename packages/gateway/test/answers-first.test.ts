import { type ThreadEvent, LIMITS, ORIGIN } from '@turnpike/protocol'
import { threadStream } from '@turnpike/protocol/thread-stream'
import { defineAgent } from '@turnpike/agents'
import { ANONYMOUS, threadRef } from '@turnpike/gateway'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { TestLink } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { Subscription } from '../src/connections/subscription.ts'
import { LinkClient, WholeLog, testGateway } from './harness.ts'

const agent = defineAgent({
  name: 'brief',
  register: false,
  async *run() {
    yield 'said'
  },
})

const namesOf = (client: LinkClient): string[] =>
  client.link.frames.map((frame) => ('ok' in (frame as object) ? 'answer' : (frame as ThreadEvent).type))

test('the answer to a command comes before the events that it brings', async () => {
  const gateway = testGateway([agent])
  const sender = new LinkClient(gateway)
  const { runId } = await sender.ask('thread.send', { threadId: 't', message: 'hi' })
  await sender.end(runId)
  expect(namesOf(sender)).toEqual(['answer', 'start', 'text-delta', 'finish'])
  const reader = new LinkClient(gateway)
  await reader.ask('thread.subscribe', { threadId: 't', lastEventId: ORIGIN })
  await reader.end(runId)
  expect(namesOf(reader)).toEqual(['answer', 'start', 'text-delta', 'finish'])
  await gateway.drain(0)
})

test('a reader that has its place is told nothing before it begins, and then all of it', async () => {
  const thread = threadRef(ANONYMOUS, 't')
  const log = new WholeLog()
  const link = new TestLink()
  const subscription = new Subscription({
    log,
    store: sqliteStore(),
    limits: LIMITS,
    link,
    dialect: threadStream,
    thread,
    reasoning: false,
    onFailure: (error) => expect.fail(String(error)),
  })
  await subscription.place({ after: ORIGIN })
  for (const delta of ['a', 'b']) {
    log.append(thread, { type: 'text-delta', runId: 'r', delta, channel: 'answer' })
  }
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  expect(link.frames).toEqual([])
  subscription.begin()
  expect(link.frames).toMatchObject([
    { seq: 1, delta: 'a' },
    { seq: 2, delta: 'b' },
  ])
  subscription.close()
  await log.close()
})

test('who subscribes to a thread again is told everything once', async () => {
  const gateway = testGateway([agent])
  const client = new LinkClient(gateway)
  const first = await client.ask('thread.send', { threadId: 't', message: 'hi' })
  const { id: lastEventId } = await client.end(first.runId)
  await client.ask('thread.subscribe', { threadId: 't', lastEventId })
  const { runId } = await client.ask('thread.send', { threadId: 't', message: 'again' })
  await client.end(runId)
  await gateway.drain(0)
  expect(client.events.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6])
})
