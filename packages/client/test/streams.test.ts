import { type RunStream, type ThreadEvent, StreamReset, createClient } from '@turnpike/client'
import { describe, expect, test } from 'vitest'
import { ManualClock } from './manual-clock.ts'
import { MemoryWire } from './memory-wire.ts'
import { ModelGateway } from './model-gateway.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

class World {
  readonly clock = new ManualClock()
  readonly gateway = new ModelGateway()
  readonly wire = new MemoryWire(this.gateway)
  readonly client = createClient({ url: 'http://model', wires: [this.wire], clock: this.clock })

  /** Lets everything on the way arrive. */
  async flow(): Promise<void> {
    for (let i = 0; i < 12; i++) {
      this.wire.current?.accept()
      while (this.wire.current && this.wire.current.up.length + this.wire.current.down.length > 0) {
        this.wire.current.takeUp()
        this.wire.current.takeDown()
      }
      await turn()
    }
  }

  async stream(onReset?: () => void): Promise<RunStream> {
    const begun = this.client.threads.stream({
      threadId: 't',
      message: 'count to 6',
      ...(onReset && { onReset }),
    })
    await this.flow()
    return begun
  }

  /** The connection is lost, and the run ends and expires before it is back. */
  async missTheEnd(): Promise<void> {
    this.wire.current?.end()
    while (this.gateway.step('t'));
    this.gateway.expire('t')
    await turn()
    this.clock.advance(20_000)
    await turn()
    await this.flow()
  }
}

async function all(stream: AsyncIterable<ThreadEvent>): Promise<ThreadEvent[]> {
  const events: ThreadEvent[] = []
  for await (const event of stream) events.push(event)
  return events
}

describe('a stream that cannot go on without a gap', () => {
  test('throws what has happened, and is whole nevertheless', async () => {
    const world = new World()
    const stream = await world.stream()
    await world.missTheEnd()
    const failure = await all(stream).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(StreamReset)
    expect(failure).toMatchObject({ reset: { type: 'thread.reset', threadId: 't', cause: 'expired' } })
    expect(await stream.finished).toMatchObject({ status: 'done', text: '1 3 4 6 ' })
    expect(stream.message?.status).toBe('done')
    expect(await all(stream)).toEqual([])
  })

  test('goes on where somebody takes the reset', async () => {
    const world = new World()
    let resets = 0
    const stream = await world.stream(() => resets++)
    await world.missTheEnd()
    expect(await all(stream)).toEqual([])
    expect(resets).toBe(1)
    expect((await stream.finished).text).toBe('1 3 4 6 ')
  })
})

describe('a consumer that is slow', () => {
  test('gets joined deltas that say how many they stand for', async () => {
    const world = new World()
    const stream = await world.stream()
    while (world.gateway.step('t'));
    await world.flow()
    const events = await all(stream)
    expect(events.map(({ type, covers = 1 }) => [type, covers])).toEqual([
      ['start', 1],
      ['text-delta', 6],
      ['finish', 1],
    ])
    expect(events[1]).toMatchObject({ delta: '1 3 4 6 ', seq: 7 })
  })

  test('that never comes costs a bounded number of events, and is told', async () => {
    const world = new World()
    const updates = world.client.threads.subscribe({ threadId: 't' })
    const stream = await world.stream()
    for (let step = 0; step < 12_000; step++) {
      world.gateway.append('t', { type: 'step-start', step }, stream.runId)
    }
    await world.flow()
    await expect(all(stream)).rejects.toMatchObject({ reset: { cause: 'lagged' } })
    const { value } = await updates[Symbol.asyncIterator]().next()
    expect(value).toMatchObject({ type: 'reset', cause: 'lagged' })
    expect(value?.messages).toHaveLength(2)
  })
})

describe('a stream', () => {
  test('is of its own run only', async () => {
    const world = new World()
    const first = await world.stream()
    const second = world.client.threads.stream({ threadId: 't', message: 'count to 2' })
    await world.flow()
    while (world.gateway.step('t'));
    await world.flow()
    const [one, two] = [await all(first), await all(await second)]
    expect(new Set(one.map(({ runId }) => runId))).toEqual(new Set([first.runId]))
    expect(new Set(two.map(({ runId }) => runId)).size).toBe(1)
    expect(two.at(-1)).toMatchObject({ type: 'finish', text: '1 ' })
  })

  test('ends without an error where the client is closed, and says that its run had not ended', async () => {
    const world = new World()
    const stream = await world.stream()
    const events = all(stream)
    world.client.close()
    expect((await events).map(({ type }) => type)).toEqual(['start'])
    await expect(stream.finished).rejects.toMatchObject({ code: 'cancelled' })
  })

  test('stops reading by its signal, and leaves the run alone', async () => {
    const world = new World()
    const abort = new AbortController()
    const begun = world.client.threads.stream({ threadId: 't', message: 'count to 6', signal: abort.signal })
    await world.flow()
    const stream = await begun
    abort.abort()
    expect((await all(stream)).map(({ type }) => type)).toEqual(['start'])
    await world.flow()
    world.gateway.step('t')
    expect(world.wire.current?.down).toEqual([])
    expect(world.gateway.step('t')).toBe(true)
  })
})

test('a thread that is read before its first message is read from that on', async () => {
  const world = new World()
  const updates = world.client.threads.subscribe({ threadId: 't' })
  const stream = await world.stream()
  while (world.gateway.step('t'));
  await world.flow()
  const iterator = updates[Symbol.asyncIterator]()
  expect((await iterator.next()).value).toMatchObject({ type: 'reset', messages: [] })
  expect((await iterator.next()).value).toMatchObject({ type: 'event', event: { type: 'start', seq: 1 } })
  expect((await stream.finished).status).toBe('done')
  expect(updates.messages.at(-1)?.status).toBe('done')
})
