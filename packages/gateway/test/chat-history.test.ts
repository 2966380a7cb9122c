import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Limits } from '@turnpike/protocol'
import { countingAgent } from '@turnpike/testkit'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { AgentSocketClient } from './chat-history-agent-socket.ts'
import type { SocketClient } from './chat-history-socket.ts'
import { type Order, ChatWorld } from './chat-history-world.ts'
import { serveChat } from './chat-server.ts'

const SOCKETS = 3
/** A failure tells its seed: `CHAT_SEED` repeats it, and makes it small. `CHAT_RUNS` looks further. */
const { CHAT_SEED, CHAT_RUNS = '40' } = process.env
const much = {
  numRuns: Number(CHAT_RUNS),
  ...(CHAT_SEED === undefined ? { endOnFailure: true } : { seed: Number(CHAT_SEED) }),
}

const orders: fc.Arbitrary<Order> = fc.record({
  pieces: fc.integer({ min: 0, max: 60 }),
  chars: fc.constantFrom(1, 100, 2_000),
  burst: fc.integer({ min: 1, max: 20 }),
  ending: fc.constantFrom('stops', 'stops', 'fails', 'asks'),
  reports: fc.boolean(),
})
const sessions = fc.constantFrom('a', 'b', 'c', undefined)
const socket = fc.nat({ max: SOCKETS - 1 })
const nth = fc.nat({ max: 20 })

const agentSteps = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('ask'),
      session: sessions,
      order: orders,
      as: fc.constantFrom('stream', 'stream', 'generate'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel ask'), nth }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('cut agent', 'pause agent', 'resume agent') }) },
)
const steps = fc.oneof(
  { weight: 4, arbitrary: agentSteps },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('chat'), socket, session: sessions, order: orders }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('request'),
      session: sessions,
      order: orders,
      as: fc.constantFrom('json', 'sse'),
      late: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('again'),
      nth,
      as: fc.constantFrom('json', 'sse', 'socket'),
      socket,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel'), nth, by: fc.option(socket) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('cut'), socket, again: fc.constantFrom('open', 'all') }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pause'), socket }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('resume'), socket }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait'), turns: fc.integer({ min: 1, max: 40 }) }) },
)
const limits: fc.Arbitrary<Partial<Limits>> = fc
  .record({
    queuedRuns: fc.constantFrom(8, 2),
    logBytes: fc.constantFrom(undefined, 32_768),
    highWaterBytes: fc.constantFrom(262_144, 1_024),
    subscriptions: fc.constantFrom(undefined, undefined, 2),
  })
  .map(({ subscriptions, logBytes, ...others }) => ({
    ...others,
    ...(logBytes !== undefined && { logBytes }),
    ...(subscriptions !== undefined && { subscriptions }),
  }))

type Step = typeof steps extends fc.Arbitrary<infer Made> ? Made : never

/** Nobody would decide what is asked where nobody comes back. */
function unattended(order: Order): Order {
  return order.ending === 'asks' ? { ...order, ending: 'stops' } : order
}

interface Clients {
  readonly sockets: readonly SocketClient[]
  readonly agent: AgentSocketClient
}

async function perform(step: Step, world: ChatWorld, { sockets, agent }: Clients): Promise<void> {
  const client = 'socket' in step ? sockets[step.socket] : undefined
  const known = 'nth' in step ? world[step.do === 'cancel ask' ? 'requests' : 'chats'][step.nth] : undefined
  switch (step.do) {
    case 'chat':
      return client?.chat(
        world.newChat(step.session, step.session === undefined ? unattended(step.order) : step.order),
      )
    case 'request':
      return world.request(world.newChat(step.session, unattended(step.order)), step)
    case 'again':
      if (known?.sessionId === undefined) return
      if (step.as !== 'socket') return world.request(known, { as: step.as, late: false })
      if (!client?.asksIn(known.sessionId)) client?.chat(known)
      return
    case 'cancel':
      if (!known) return
      if (step.by === null) return world.cancelOverHttp(known.runId)
      return sockets[step.by]?.cancel(known.runId)
    case 'cut':
      return client?.cut(step.again)
    case 'pause':
      return client?.pause()
    case 'resume':
      return client?.resume()
    case 'wait':
      for (let n = 0; n < step.turns; n++) await nextTurn()
      return
    case 'ask':
      return agent.ask(world.newRequest(step.session, unattended(step.order)), step.as)
    case 'cancel ask':
      return known && agent.cancel(known.runId)
    case 'cut agent':
      return agent.cut()
    case 'pause agent':
      return agent.pause()
    case 'resume agent':
      return agent.resume()
    default:
      return step satisfies never
  }
}

const LONG: Order = { pieces: 60, chars: 16_000, burst: 10, ending: 'stops', reports: true }
const LONG_RUNS = 5

test(
  'whatever is asked, cut, cancelled and asked again, each client is told what the log says',
  async () => {
    const cases = fc.record({
      seed: fc.nat(),
      limits,
      steps: fc.array(steps, { minLength: 4, maxLength: 24 }),
    })
    await fc.assert(
      fc.asyncProperty(cases, async (given) => {
        await using world = await ChatWorld.open(given.seed, given.limits)
        const sockets = await Promise.all(Array.from({ length: SOCKETS }, () => world.socket()))
        const agent = await world.agentSocket()
        for (const step of given.steps) await perform(step, world, { sockets, agent })
        expect(await world.verdicts()).toEqual([])
      }),
      much,
    )
  },
  Math.max(60_000, 1_000 * much.numRuns),
)

test.each([
  { what: 'gets what the log has, in fewer frames', logBytes: 64 * 1_024 * 1_024, isReset: false },
  { what: 'is told so where the log has let go, and gets the history', logBytes: 65_536, isReset: true },
])(
  'who does not read for megabytes $what',
  async ({ logBytes, isReset }) => {
    await using world = await ChatWorld.open(1, { logBytes, highWaterBytes: 16_384, historyChars: 2 ** 26 })
    const [quick, slow] = [await world.socket('nothing'), await world.socket('nothing')]
    slow.pause()
    for (let n = 0; n < LONG_RUNS; n++) {
      const chat = world.newChat('a', LONG)
      slow.chat(chat)
      if (n === 0) world.request(chat, { as: 'sse', late: true })
    }
    const agent = await world.agentSocket('nothing')
    agent.pause()
    for (let n = 0; n < LONG_RUNS; n++) agent.ask(world.newRequest('c', LONG), 'stream')
    quick.chat(world.newChat('b', LONG))
    await quick.answered()
    await world.rest()
    expect(await world.verdicts()).toEqual([])
    for (const name of ['socket r0', 'agent socket q0']) {
      const records = world.told.find(({ who }) => who.startsWith(name))?.records ?? []
      const types = records.flatMap((record) => (record.type === 'told' ? record.frame.type : []))
      expect(types.includes('reset'), name).toBe(isReset)
      expect(types.filter((type) => type === 'chunk').length).toBeLessThan(LONG_RUNS * (LONG.pieces + 3))
    }
  },
  60_000,
)

test('a chat that is asked again is answered, also from before what its socket follows', async () => {
  await using service = await serveChat({ counter: countingAgent() })
  const one = await service.connect()
  for (const runId of ['r1', 'r2']) {
    one.chat(`3 ${runId}`, { sessionId: 's', runId })
    await one.next('done', runId)
  }
  const two = await service.connect()
  for (const runId of ['r2', 'r1', 'r3']) two.chat(`3 ${runId}`, { sessionId: 's', runId })
  for (const runId of ['r1', 'r3']) await two.next('done', runId)
  for (const runId of ['r1', 'r2', 'r3']) {
    expect(two.text(runId)).toBe('1 2 3 ')
    expect(two.all('done', runId)).toHaveLength(1)
  }
})
