import { type Message, type ThreadSubscription, createClient } from '@turnpike/client'
import { expect, test } from 'vitest'
import { ManualClock } from './manual-clock.ts'
import { MemoryWire } from './memory-wire.ts'
import { ModelGateway } from './model-gateway.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

class World {
  readonly gateway = new ModelGateway()
  readonly wire = new MemoryWire(this.gateway)
  readonly client = createClient({ url: 'http://model', wires: [this.wire], clock: new ManualClock() })

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

  async follow(options: Parameters<typeof this.client.threads.subscribe>[0]): Promise<ThreadSubscription> {
    const subscription = this.client.threads.subscribe(options)
    await this.flow()
    return subscription
  }

  async finish(): Promise<void> {
    while (this.gateway.step('t')) await this.flow()
  }

  [Symbol.dispose](): void {
    this.client.close()
  }
}

function partsOf({ messages }: { readonly messages: readonly Message[] }): Message['parts'] | undefined {
  return messages.at(-1)?.parts
}

test('who joins with a cursor for the reasoning has all of it, whatever still comes without', async () => {
  using world = new World()
  const { client, gateway, wire } = world
  gateway.send({ threadId: 't', runId: 'r', message: 'count to 9' })
  const plain = await world.follow({ threadId: 't' })
  gateway.step('t')
  await world.flow()
  const { lastEventId, messages } = plain
  const reasoning = client.threads.subscribe({
    threadId: 't',
    reasoning: true,
    messages,
    ...(lastEventId && { lastEventId }),
  })
  // These were on their way before the server knew.
  gateway.step('t')
  gateway.step('t')
  while (wire.current?.down.length) wire.current.takeDown()
  await world.flow()
  await world.finish()
  expect(partsOf(reasoning)).toEqual(gateway.threads.get('t')?.messages.at(-1)?.parts)
  expect(partsOf(plain)).toEqual([{ type: 'text', text: '1 3 4 6 7 9 ' }])
})

test('who takes a history from a reader with reasoning has it as those who read along', async () => {
  using world = new World()
  const { gateway } = world
  gateway.send({ threadId: 't', runId: 'r', message: 'count to 6' })
  await world.follow({ threadId: 't', reasoning: true })
  const early = await world.follow({ threadId: 't' })
  await world.finish()
  const late = await world.follow({ threadId: 't' })
  expect(partsOf(late)).toEqual([{ type: 'text', text: '1 3 4 6 ' }])
  expect(late.messages).toEqual(early.messages)
})
