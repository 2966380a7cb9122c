import { createClient } from '@turnpike/client'
import { type CommandName, GatewayError } from '@turnpike/protocol'
import { expect, test } from 'vitest'
import { ManualClock } from './manual-clock.ts'
import { MemoryWire } from './memory-wire.ts'
import { ModelGateway } from './model-gateway.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

class World {
  readonly clock = new ManualClock()
  readonly gateway = new ModelGateway()
  readonly wire = new MemoryWire(this.gateway)
  readonly client = createClient({ url: 'http://model', wires: [this.wire], clock: this.clock })

  get asked(): readonly CommandName[] {
    return this.wire.current?.up.map(({ name }) => name) ?? []
  }

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

  async connect(): Promise<void> {
    await turn()
    this.wire.current?.accept()
    await turn()
  }

  /** The server asks to wait a minute with the next command. */
  refuse(): void {
    const error = new GatewayError('rate-limited', 'Too fast.', { retryAfterMs: 60_000 })
    this.wire.current?.up.shift()?.settle({ error })
  }

  [Symbol.dispose](): void {
    this.client.close()
  }
}

test('who comes while a refused message waits does not cut its pause short', async () => {
  using world = new World()
  const { client, clock, gateway } = world
  const first = client.threads.stream({ threadId: 't', message: 'count to 1' })
  await world.connect()
  world.refuse()
  const second = client.threads.stream({ threadId: 't', message: 'count to 2' })
  await turn()
  expect(world.asked).toEqual([])
  clock.advance(59_000)
  expect(world.asked).toEqual([])
  clock.advance(2_000)
  expect(world.asked).toEqual(['thread.send'])
  await world.flow()
  await Promise.all([first, second])
  expect(gateway.runs.size).toBe(2)
})

test('a thread that the server did not let go of is let go of later', async () => {
  using world = new World()
  const { client, clock, gateway } = world
  gateway.send({ threadId: 't', runId: 'r', message: 'count to 1' })
  const subscription = client.threads.subscribe({ threadId: 't' })
  await world.flow()
  subscription.close()
  expect(world.asked).toEqual(['thread.unsubscribe'])
  world.refuse()
  clock.advance(59_000)
  expect(world.asked).toEqual([])
  clock.advance(2_000)
  expect(world.asked).toEqual(['thread.unsubscribe'])
  await world.flow()
  clock.advance(120_000)
  expect(world.asked).toEqual([])
})

test('a thread that is followed again meanwhile is kept', async () => {
  using world = new World()
  const { client, clock, gateway } = world
  gateway.send({ threadId: 't', runId: 'r', message: 'count to 1' })
  const subscription = client.threads.subscribe({ threadId: 't' })
  await world.flow()
  subscription.close()
  world.refuse()
  const again = client.threads.subscribe({ threadId: 't' })
  clock.advance(61_000)
  expect(world.asked).not.toContain('thread.unsubscribe')
  await world.flow()
  while (gateway.step('t')) await world.flow()
  expect(again.messages.at(-1)).toMatchObject({ status: 'done' })
})

test('a run that is sent again is read from its beginning, though leaving its thread was refused first', async () => {
  using world = new World()
  const { client, clock, gateway, wire } = world
  const message = { threadId: 't', runId: 'r', message: 'count to 2' }
  gateway.send(message)
  while (gateway.step('t'));
  client.threads.subscribe({ threadId: 't' })
  await world.flow()
  const begun = client.threads.stream(message)
  wire.current?.takeUp()
  wire.current?.takeDown()
  expect(world.asked).toEqual(['thread.unsubscribe', 'thread.send'])
  world.refuse()
  await world.flow()
  clock.advance(61_000)
  await world.flow()
  expect(await (await begun).finished).toMatchObject({ status: 'done', text: '1 ' })
  expect(wire.links).toHaveLength(1)
})

test('a thread is let go of with its connection, whether or not the server heard of it', async () => {
  using world = new World()
  const { client, clock, gateway, wire } = world
  gateway.send({ threadId: 't', runId: 'r', message: 'count to 1' })
  const subscription = client.threads.subscribe({ threadId: 't' })
  await world.flow()
  subscription.close()
  wire.current?.end()
  await turn()
  clock.advance(20_000)
  await world.connect()
  expect(world.asked).toEqual([])
})

test('a command that came too fast is said again after the pause, and its answer has no frame around it', async () => {
  using world = new World()
  const { client, clock, wire } = world
  const decided = client.approvals.resolve({ approvalId: 'a', approved: true })
  await world.connect()
  world.refuse()
  clock.advance(59_000)
  expect(world.asked).toEqual([])
  clock.advance(2_000)
  expect(world.asked).toEqual(['approval.resolve'])
  wire.current?.up.shift()?.settle({ answer: { id: 7, ok: true, approved: true, first: true } })
  expect(await decided).toEqual({ approved: true, first: true })
})

test('a command that waits for its pause goes over the next connection, once', async () => {
  using world = new World()
  const { client, clock, wire } = world
  const decided = client.approvals.resolve({ approvalId: 'a', approved: true })
  await world.connect()
  world.refuse()
  wire.current?.end()
  await turn()
  clock.advance(20_000)
  await world.connect()
  expect(world.asked).toEqual(['approval.resolve'])
  clock.advance(61_000)
  expect(world.asked).toEqual(['approval.resolve'])
  wire.current?.up.shift()?.settle({ answer: { approved: true, first: true } })
  await decided
})
