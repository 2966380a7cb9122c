import { type ClientOptions, type ConnectionState, type Surroundings, createClient } from '@turnpike/client'
import type { Link, LinkHandlers, Wire } from '@turnpike/client/wire'
import { GatewayError } from '@turnpike/protocol'
import { describe, expect, test } from 'vitest'
import { ManualClock } from './manual-clock.ts'
import { MemoryWire } from './memory-wire.ts'
import { ModelGateway } from './model-gateway.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A page whose network and attention the test decides about. */
class Page implements Surroundings {
  online = true
  readonly #listeners = new Set<(news: 'online' | 'visible') => void>()

  isOnline(): boolean {
    return this.online
  }

  watch(listener: (news: 'online' | 'visible') => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  tell(news: 'online' | 'visible'): void {
    for (const listener of this.#listeners) listener(news)
  }

  get listeners(): number {
    return this.#listeners.size
  }
}

function setUp(options: Partial<ClientOptions> = {}) {
  const clock = new ManualClock()
  const page = new Page()
  const gateway = new ModelGateway()
  const wire = new MemoryWire(gateway, 'websocket')
  const client = createClient({
    url: 'http://model',
    wires: [wire],
    clock,
    surroundings: page,
    fetch: async () => Response.json({}),
    ...options,
  })
  const states: ConnectionState[] = []
  client.connection.onChange((state) => states.push(state))
  return { clock, page, gateway, wire, client, states }
}

/** Lets everything on the way arrive. */
async function flow(wire: MemoryWire): Promise<void> {
  for (let i = 0; i < 20; i++) {
    wire.current?.accept()
    wire.current?.takeUp()
    wire.current?.takeDown()
    await turn()
  }
}

describe('a connection', () => {
  test('is made when something needs it, and tells where it stands', async () => {
    const { client, wire, states, clock } = setUp()
    expect(client.connection.state).toEqual({ status: 'idle' })
    expect(wire.links).toHaveLength(0)
    void client.runs.cancel('r').catch(() => {})
    await turn()
    wire.current?.accept()
    wire.current?.end()
    expect(states.slice(0, 3)).toEqual([
      { status: 'connecting' },
      { status: 'open', wire: 'websocket' },
      { status: 'connecting' },
    ])
    await turn()
    expect(states.at(-1)).toEqual({ status: 'reconnecting', attempt: 1, delayMs: 250, offline: false })
    clock.advance(249)
    await turn()
    expect(wire.links).toHaveLength(1)
    clock.advance(1)
    await turn()
    expect(wire.links).toHaveLength(2)
    client.close()
    expect(client.connection.state).toEqual({ status: 'closed' })
  })

  test('waits longer after every failure, and begins from anew after one that lasted', async () => {
    const { client, wire, states, clock } = setUp()
    void client.runs.cancel('r').catch(() => {})
    await turn()
    const delays: number[] = []
    const fail = async (): Promise<void> => {
      wire.current?.end({ reached: true })
      await turn()
      const state = states.at(-1)
      if (state?.status === 'reconnecting') delays.push(state.delayMs)
      clock.advance(20_000)
      await turn()
    }
    for (let i = 0; i < 8; i++) await fail()
    wire.current?.accept()
    await fail()
    wire.current?.accept()
    clock.advance(5_000)
    await fail()
    expect(delays).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000, 250])
    client.close()
  })

  test('is not tried while there is no network, and at once when there is', async () => {
    const { client, wire, page, states, clock } = setUp()
    page.online = false
    void client.runs.cancel('r').catch(() => {})
    expect(states.at(-1)).toMatchObject({ status: 'reconnecting', offline: true })
    clock.advance(3_600_000)
    page.tell('visible')
    await turn()
    expect(wire.links).toHaveLength(0)
    page.online = true
    page.tell('online')
    await turn()
    expect(wire.links).toHaveLength(1)
    wire.current?.accept()
    wire.current?.end()
    await turn()
    page.online = false
    clock.advance(20_000)
    await turn()
    expect(wire.links).toHaveLength(1)
    expect(states.at(-1)).toMatchObject({ offline: true })
    client.close()
  })

  test('is tried at once when somebody looks, but not before the server wants it', async () => {
    const { client, wire, page, clock } = setUp()
    void client.runs.cancel('r').catch(() => {})
    await turn()
    wire.current?.accept()
    clock.chance = 0.99
    wire.current?.end()
    await turn()
    page.tell('visible')
    await turn()
    expect(wire.links).toHaveLength(2)
    wire.current?.end({ retryAfterMs: 8_000, reached: true })
    await turn()
    page.tell('visible')
    page.tell('online')
    clock.advance(7_999)
    await turn()
    expect(wire.links).toHaveLength(2)
    clock.advance(1)
    await turn()
    expect(wire.links).toHaveLength(3)
    client.close()
  })

  test('is probed after a silence, after sleep, and when somebody comes back', async () => {
    const { client, wire, page, clock } = setUp()
    void client.runs.cancel('r').catch(() => {})
    await flow(wire)
    const link = wire.current
    clock.advance(20_000)
    expect(link?.probes).toBe(0)
    clock.advance(5_000)
    expect(link?.probes).toBe(1)
    if (link) link.heardAt = clock.now()
    clock.freeze(60_000)
    if (link) link.heardAt = clock.now()
    clock.advance(5_000)
    expect(link?.probes).toBe(2)
    page.tell('visible')
    expect(link?.probes).toBe(3)
    client.close()
    expect(page.listeners).toBe(0)
  })

  test('comes back with the ticket of a goodbye, once, and needs no token for it', async () => {
    const { client, wire, clock } = setUp({ getToken: () => 'token' })
    void client.runs.cancel('r').catch(() => {})
    await turn()
    wire.current?.accept()
    wire.current?.end({ ticket: 'once' })
    for (let i = 0; i < 2; i++) {
      await turn()
      clock.advance(20_000)
      await turn()
      if (i === 0) wire.current?.end({ reached: true, error: new GatewayError('unauthorized', 'Too late.') })
    }
    const presented = wire.links.map(({ address: { ticket, token } }) => ticket ?? token)
    expect(presented.slice(0, 3)).toEqual(['token', 'once', 'token'])
    client.close()
  })
})

describe('what is asked for without a connection', () => {
  test('waits for one, up to a bound', async () => {
    const { client, wire, gateway } = setUp({ maxQueued: 3 })
    const sent = ['a', 'b', 'c'].map((threadId) => client.threads.stream({ threadId, message: 'count to 1' }))
    await expect(client.threads.stream({ message: 'one more' })).rejects.toMatchObject({
      code: 'early-overflow',
    })
    await expect(client.runs.cancel('r')).rejects.toMatchObject({ code: 'early-overflow' })
    await turn()
    await flow(wire)
    expect((await Promise.all(sent)).map(({ threadId }) => threadId)).toEqual(['a', 'b', 'c'])
    expect(gateway.runs.size).toBe(3)
    client.close()
  })

  test('is not asked for where it was aborted meanwhile', async () => {
    const { client, wire, gateway } = setUp()
    const abort = new AbortController()
    const sent = client.threads.stream({ message: 'count to 1', signal: abort.signal })
    abort.abort(new Error('never mind'))
    await expect(sent).rejects.toThrow('never mind')
    await turn()
    await flow(wire)
    expect(gateway.runs.size).toBe(0)
    client.close()
  })

  test('is refused once the client is closed', async () => {
    const { client } = setUp()
    const waiting = client.threads.stream({ message: 'hi' })
    client.close()
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' })
    await expect(client.threads.stream({ message: 'hi' })).rejects.toMatchObject({ code: 'cancelled' })
    await expect(client.runs.cancel('r')).rejects.toMatchObject({ code: 'cancelled' })
  })
})

describe('a client that may choose', () => {
  test('goes back to the preferred wire once it is no longer blocked, and misses nothing', async () => {
    const gateway = new ModelGateway()
    const open = new MemoryWire(gateway, 'sse')
    const blocked = new MemoryWire(gateway, 'websocket')
    const { client, clock, states } = setUp({ wires: [blocked, open] })
    const begun = client.threads.stream({ threadId: 't', message: 'count to 6' })
    await turn()
    blocked.current?.end()
    await flow(open)
    const stream = await begun
    gateway.step('t')
    await flow(open)
    expect(states.at(-1)).toEqual({ status: 'open', wire: 'sse' })
    clock.advance(60_000)
    await turn()
    expect(blocked.links).toHaveLength(2)
    gateway.step('t')
    blocked.current?.accept()
    expect(open.current).toBeUndefined()
    while (gateway.step('t')) await flow(blocked)
    await flow(blocked)
    const text: string[] = []
    for await (const event of stream) if (event.type === 'text-delta') text.push(event.delta)
    expect(text.join('')).toBe('1 3 4 6 ')
    expect(states.at(-1)).toEqual({ status: 'open', wire: 'websocket' })
    client.close()
  })

  test('does not fall back where nothing works', async () => {
    const gateway = new ModelGateway()
    const wires = [new MemoryWire(gateway), new MemoryWire(gateway)] as const
    const { client, states } = setUp({ wires, fetch: () => Promise.reject(new TypeError('no network')) })
    void client.runs.cancel('r').catch(() => {})
    await turn()
    wires[0].current?.end()
    await turn()
    await turn()
    expect(wires[1].links).toHaveLength(0)
    expect(states.at(-1)).toMatchObject({ status: 'reconnecting', attempt: 1 })
    client.close()
  })
})

test('a wire that calls back when it should not changes nothing', async () => {
  const seen: LinkHandlers[] = []
  const rude: Wire = {
    name: 'rude',
    open(_address, handlers): Link {
      seen.push(handlers)
      return { heardAt: 0, request() {}, probe() {}, close() {} }
    },
  }
  const { client, states } = setUp({ wires: [rude] })
  void client.runs.cancel('r').catch(() => {})
  await turn()
  client.close()
  const before = states.length
  seen[0]?.onOpen()
  seen[0]?.onEnd({ reached: true })
  await turn()
  expect(states).toHaveLength(before)
})
