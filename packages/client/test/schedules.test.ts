import {
  type Message,
  type MessagePart,
  type RunStream,
  type ThreadSubscription,
  type ThreadUpdate,
  createClient,
  reduce,
} from '@turnpike/client'
import { type ThreadEvent, mergeDeltas } from '@turnpike/protocol'
import { type HistoryRecord, checkHistory } from '@turnpike/testkit'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ManualClock } from './manual-clock.ts'
import { MemoryWire } from './memory-wire.ts'
import { ModelGateway } from './model-gateway.ts'

const THREADS = ['a', 'b']
const NUDGE = 'nudge-'
const RUNS = Number(process.env['SCHEDULES'] ?? 2_000)

const thread = fc.constantFrom(...THREADS)
const nth = fc.integer({ min: 0, max: 3 })
const few = fc.integer({ min: 1, max: 6 })
const honest = [
  { weight: 4, arbitrary: fc.record({ act: fc.constant('up' as const), times: few }) },
  { weight: 6, arbitrary: fc.record({ act: fc.constant('down' as const), times: few }) },
  { weight: 4, arbitrary: fc.record({ act: fc.constant('connect' as const) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('refuse' as const) }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant('drop' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({ act: fc.constant('send' as const), thread, count: few, reasoning: fc.boolean() }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ act: fc.constant('subscribe' as const), thread, reasoning: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('resume' as const), nth }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('leave' as const), nth }) },
  { weight: 5, arbitrary: fc.record({ act: fc.constant('step' as const), thread, times: few }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('tick' as const) }) },
]
const expiring = [{ weight: 2, arbitrary: fc.record({ act: fc.constant('expire' as const), thread }) }]
const hostile = [
  { weight: 1, arbitrary: fc.record({ act: fc.constant('twice' as const) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('lose' as const) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('swap' as const) }) },
]
const rolling = [
  { weight: 1, arbitrary: fc.record({ act: fc.constant('rollBack' as const), thread, count: few }) },
]

type Arbitrary = (typeof honest | typeof expiring | typeof hostile | typeof rolling)[number]['arbitrary']
type Action = Arbitrary extends infer One ? (One extends fc.Arbitrary<infer Value> ? Value : never) : never

/** One subscription, and what it was told. */
interface Followed {
  readonly subscription: ThreadSubscription
  readonly records: HistoryRecord[]
  readonly reasoning: boolean
  readonly after: string | undefined
  error?: unknown
  isClosed: boolean
}

interface Streamed {
  readonly runId: string
  readonly threadId: string
  readonly reasoning: boolean
  readonly events: ThreadEvent[]
  resets: number
  stream?: RunStream
}

/** A client, a gateway, and a network between them that does what the schedule says. */
class World {
  readonly clock = new ManualClock()
  readonly gateway = new ModelGateway()
  readonly wire = new MemoryWire(this.gateway)
  readonly client = createClient({
    url: 'http://model',
    wires: [this.wire],
    clock: this.clock,
    fetch: async () => Response.json({}, { status: 503 }),
  })
  readonly followed: Followed[] = []
  readonly streamed: Streamed[] = []
  readonly errors: unknown[] = []

  async run(actions: readonly Action[]): Promise<void> {
    for (const action of actions) {
      this.#do(action)
      await turn()
    }
    await this.#quiesce()
  }

  /** Somebody else writes to every thread: what was lost on the way shows now at the latest, on the same connection. */
  async nudge(): Promise<void> {
    for (const threadId of this.gateway.threads.keys()) {
      this.gateway.send({ threadId, runId: `${NUDGE}${threadId}`, message: 'count to 1' })
    }
    await this.#quiesce()
  }

  #do(action: Action): void {
    const link = this.wire.current
    switch (action.act) {
      case 'up':
        for (let i = 0; i < action.times; i++) link?.takeUp()
        return
      case 'down':
        for (let i = 0; i < action.times; i++) link?.takeDown()
        return
      case 'connect':
        return link?.accept()
      case 'refuse':
        return link?.isOpen ? undefined : link?.end()
      case 'drop':
        return link?.end()
      case 'send':
        return this.#send(action)
      case 'subscribe':
        return this.#subscribe(action.thread, { reasoning: action.reasoning })
      case 'resume':
        return this.#resume(action.nth)
      case 'leave':
        return this.#leave(this.followed[action.nth])
      case 'step':
        for (let i = 0; i < action.times; i++) this.gateway.step(action.thread)
        return
      case 'tick':
        return this.clock.advance(1_000)
      case 'expire':
        return this.gateway.expire(action.thread)
      case 'rollBack':
        return this.gateway.rollBack(action.thread, action.count)
      case 'twice':
      case 'lose':
      case 'swap':
        return this.#tamper(action.act)
      default:
        return action satisfies never
    }
  }

  #tamper(act: 'twice' | 'lose' | 'swap'): void {
    const down = this.wire.current?.down ?? []
    const index = down.findIndex((each) => each.kind === 'frame' && each.frame.type !== 'thread.reset')
    const [one, two] = [down[index], down[index + 1]]
    if (!one) return
    if (act === 'twice') down.splice(index, 0, one)
    else if (act === 'lose') down.splice(index, 1)
    else if (two?.kind === 'frame') down.splice(index, 2, two, one)
  }

  #send({ thread: threadId, count, reasoning }: { thread: string; count: number; reasoning: boolean }): void {
    const runId = `r${this.streamed.length}`
    const streamed: Streamed = { runId, threadId, reasoning, events: [], resets: 0 }
    this.streamed.push(streamed)
    const message = `count to ${count}`
    const onReset = (): void => void streamed.resets++
    this.client.threads
      .stream({ threadId, runId, message, reasoning, onReset })
      .then(async (stream) => {
        streamed.stream = stream
        for await (const event of stream) streamed.events.push(event)
      })
      .catch((error: unknown) => this.errors.push(error))
  }

  #leave(followed: Followed | undefined): void {
    followed?.subscription.close()
    if (followed) followed.isClosed = true
  }

  #subscribe(threadId: string, { reasoning, from }: { reasoning: boolean; from?: Followed }): void {
    const after = from?.subscription.lastEventId
    const subscription = this.client.threads.subscribe({
      threadId,
      reasoning,
      ...(after && { lastEventId: after, messages: from?.subscription.messages ?? [] }),
    })
    const followed: Followed = { subscription, records: [], reasoning, after, isClosed: false }
    this.followed.push(followed)
    void take(subscription, followed).catch((error: unknown) => (followed.error = error))
  }

  #resume(nth: number): void {
    const from = this.followed[nth]
    if (from) this.#subscribe(from.subscription.threadId, { reasoning: from.reasoning, from })
  }

  /** The network works, and every run comes to its end. */
  async #quiesce(): Promise<void> {
    for (let quiet = 0, steps = 0; quiet < 3; steps++) {
      if (steps > 20_000) throw new Error('It never comes to rest.')
      const link = this.wire.current
      let moved = false
      if (link && !link.isOpen) {
        link.accept()
        moved = true
      }
      while (link && !link.isEnded && (link.up.length > 0 || link.down.length > 0)) {
        if (steps++ > 20_000) throw new Error('It never stops asking.')
        link.takeUp()
        link.takeDown()
        moved = true
      }
      for (const threadId of THREADS) moved = this.gateway.step(threadId) || moved
      await turn()
      if (!this.wire.current && this.wire.links.length > 0) this.clock.advance(20_000)
      quiet = moved || !(this.wire.current ?? this.wire.links.length === 0) ? 0 : quiet + 1
      if (quiet === 2) this.clock.advance(100)
    }
  }
}

async function take(subscription: ThreadSubscription, followed: Followed): Promise<void> {
  for await (const update of subscription) {
    followed.records.push(recordOf(update))
  }
}

function recordOf(update: ThreadUpdate): HistoryRecord {
  if (update.type === 'event') return update
  const { messages: history, head, cause } = update
  return { type: 'reset', history, head, cause }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function schedules(
  arbitraries: readonly { weight: number; arbitrary: fc.Arbitrary<Action> }[],
): fc.Arbitrary<Action[]> {
  return fc.array(fc.oneof(...arbitraries), { minLength: 5, maxLength: 60, size: 'max' })
}

/** Every run began once, and every stream was told all of its own. */
function checkRuns({ gateway, streamed, errors }: World, { exact }: { exact: boolean }): void {
  expect(errors).toEqual([])
  expect([...gateway.runs.keys()].filter((runId) => !runId.startsWith(NUDGE)).toSorted()).toEqual(
    streamed.map(({ runId }) => runId).toSorted(),
  )
  for (const { runId, threadId, reasoning, events, resets, stream } of streamed) {
    const own = (gateway.threads.get(threadId)?.log ?? []).filter((event) => event.runId === runId)
    expect(own.filter(({ type }) => type === 'start')).toHaveLength(1)
    const visible = own.filter(
      (event) => reasoning || event.type !== 'text-delta' || event.channel === 'answer',
    )
    expect(stream?.runId).toBe(runId)
    expect(stream?.message?.status).toBe('done')
    const folded = visible.reduce(reduce, [] as readonly Message[])
    expect(stream?.message && shown(stream.message)).toEqual(folded.map(shown).at(-1))
    if (exact) expect(resets).toBe(0)
    if (resets === 0) expect(mergeDeltas(events).map(plain)).toEqual(mergeDeltas(visible).map(plain))
  }
}

/** What an event says, however many it stands for. */
function plain({ covers: _covers, ...event }: ThreadEvent): object {
  return event
}

/** What a subscription was told is what the log says, and continues itself. */
function checkRecords({ gateway, followed }: World, { exact }: { exact: boolean }): void {
  for (const { subscription, records, reasoning, after, error } of followed) {
    const { threadId, lastEventId } = subscription
    if (error || !lastEventId) continue
    const { log = [] } = gateway.threads.get(threadId) ?? {}
    const verdicts = checkHistory({
      log,
      records,
      // Compared below, with adjacent text joined.
      histories: false,
      reasoning,
      upTo: lastEventId,
      ...(exact && { causes: [] }),
      ...(after !== undefined && { after: lastEventIdOf(after) }),
    })
    expect(verdicts).toEqual([])
    for (const record of records) {
      if (record.type !== 'reset') continue
      const known = log.filter(({ id }) => id <= record.head)
      const folded = known.reduce<readonly Message[]>(reduce, []).map((each) => visibleTo(each, reasoning))
      expect(record.history.map(shown)).toEqual(folded.map(shown))
    }
  }
}

/** Who stands at the end of a thread has all of it. */
function checkMessages({ gateway, followed }: World): void {
  for (const { subscription, reasoning, error } of followed) {
    if (error) expect(error).toMatchObject({ code: 'unknown-thread' })
    const { log = [], messages = [] } = gateway.threads.get(subscription.threadId) ?? {}
    if (error || subscription.lastEventId !== log.at(-1)?.id) continue
    expect(subscription.messages.map(shown)).toEqual(
      messages.map((each) => shown(visibleTo(each, reasoning))),
    )
  }
}

function visibleTo(message: Message, reasoning: boolean): Message {
  return { ...message, parts: message.parts.filter(({ type }) => reasoning || type !== 'reasoning') }
}

/** A message with adjacent text joined: a history has two parts where reasoning stood between, who read along has one. */
function shown(message: Message): Message {
  const parts: MessagePart[] = []
  for (const part of message.parts) {
    const last = parts.at(-1)
    if (part.type === 'text' && last?.type === 'text')
      parts[parts.length - 1] = { ...last, text: last.text + part.text }
    else parts.push(part)
  }
  return { ...message, parts }
}

const lastEventIdOf = (text: string): NonNullable<ThreadSubscription['lastEventId']> =>
  text as NonNullable<ThreadSubscription['lastEventId']>

/** Those that are still open stand at the end of their thread. */
function checkHeads({ gateway, followed }: World): void {
  for (const { subscription, error, isClosed } of followed) {
    if (error || isClosed) continue
    expect(subscription.lastEventId).toBe(gateway.threads.get(subscription.threadId)?.log.at(-1)?.id)
  }
}

describe('under any schedule of connections, losses, lost answers and sends', () => {
  test.each([
    ['nothing is lost or doubled, and each send is one run', honest, 'exact'],
    ['what has expired is told by a reset', [...honest, ...expiring], 'complete'],
    [
      'frames that come twice, too late or not at all change nothing',
      [...honest, ...expiring, ...hostile],
      'healed',
    ],
  ] as const)(
    '%s',
    async (_title, arbitraries, promise) => {
      await fc.assert(
        fc.asyncProperty(schedules(arbitraries), async (actions) => {
          const world = new World()
          await world.run(actions)
          if (promise !== 'healed') checkHeads(world)
          await world.nudge()
          checkRuns(world, { exact: promise === 'exact' })
          checkRecords(world, { exact: promise === 'exact' })
          checkMessages(world)
          checkHeads(world)
          world.client.close()
        }),
        { seed: 20_261_121, numRuns: RUNS },
      )
    },
    120_000,
  )

  test('a server that lost its newest events leaves nobody with them', async () => {
    await fc.assert(
      fc.asyncProperty(schedules([...honest, ...rolling]), async (actions) => {
        const world = new World()
        await world.run(actions)
        // Who was not cut off when it happened learns of it by the next connection.
        world.wire.current?.end()
        await world.nudge()
        checkMessages(world)
        checkHeads(world)
        world.client.close()
      }),
      { seed: 20_261_121, numRuns: RUNS / 4 },
    )
  }, 120_000)
})
