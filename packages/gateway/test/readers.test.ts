import {
  type Message,
  type ThreadEvent,
  LIMITS,
  advance,
  mergeDeltas,
  reduce,
  seqOf,
} from '@turnpike/protocol'
import { threadStream } from '@turnpike/protocol/thread-stream'
import { ANONYMOUS, threadRef } from '@turnpike/gateway'
import type { EventDraft, ThreadWindow } from '@turnpike/gateway/log-port'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { type HistoryRecord, TestLink } from '@turnpike/testkit'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Subscription } from '../src/connections/subscription.ts'
import { WholeLog, storeMessages } from './harness.ts'

const thread = threadRef(ANONYMOUS, 't')
const RUNS = Number(process.env['READER_SCHEDULES'] ?? 150)

interface Reader {
  readonly link: TestLink
  readonly subscription: Subscription
  readonly reasoning: boolean
  readonly from: number
  readonly end: number
  hasEnded: boolean
}

const move = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('talk' as const),
      n: fc.integer({ min: 1, max: 120 }),
      chars: fc.constantFrom(1, 10, 300, 5_000),
      hidden: fc.constantFrom('never', 'every other', 'mostly', 'always'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('call' as const), n: fc.integer({ min: 1, max: 30 }) }),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'next run' as const }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('read' as const),
      reasoning: fc.boolean(),
      from: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
      span: fc.option(fc.integer({ min: 0, max: 200 })),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('stall' as const, 'drain' as const), who: fc.nat(9) }),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'turn' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1_000, 40_000) }),
  },
)
type Move = typeof move extends fc.Arbitrary<infer Value> ? Value : never

/** A thread that talks, in many runs, and readers that come and go as a schedule says. */
class Stage {
  now = 1_000_000
  readonly log: WholeLog
  readonly readers: Reader[] = []
  readonly #store = sqliteStore()
  readonly #window: ThreadWindow
  #run = 0

  private constructor(log: WholeLog, window: ThreadWindow) {
    this.log = log
    this.#window = window
  }

  static async open(logBytes: number): Promise<Stage> {
    const clock = { now: () => 0 }
    const log = new WholeLog({ limits: { logBytes }, now: () => clock.now() })
    const { window } = await log.follow(thread, 'head', () => {})
    const stage = new Stage(log, window)
    clock.now = () => stage.now
    stage.#begin()
    return stage
  }

  async play(step: Move): Promise<void> {
    if (step.do === 'talk') this.#talk(step)
    else if (step.do === 'call') this.#call(step.n)
    else if (step.do === 'next run') await this.#nextRun()
    else if (step.do === 'read') await this.#read(step)
    else if (step.do === 'turn') await turn()
    else if (step.do === 'wait') this.now += step.ms
    else {
      const reader = this.readers[step.who % Math.max(1, this.readers.length)]
      if (reader && step.do === 'stall') reader.link.reading = false
      else if (reader) drain(reader)
    }
  }

  async settle(): Promise<void> {
    for (let n = 0; n < 3; n++) {
      this.readers.forEach(drain)
      await turn()
    }
  }

  #talk({ n, chars, hidden }: Move & { do: 'talk' }): void {
    const isHidden = (i: number): boolean =>
      hidden === 'always' || (hidden === 'mostly' && i % 7 < 5) || (hidden === 'every other' && i % 2 === 0)
    for (let i = 0; i < n; i++) {
      const delta = `${this.log.events.length}${'x'.repeat(chars)};`
      this.#append({ type: 'text-delta', delta, channel: isHidden(i) ? 'reasoning' : 'answer' })
    }
  }

  #call(n: number): void {
    for (let i = 0; i < n; i++) {
      const args = i % 5 === 4 ? { args: {} } : {}
      this.#append({ type: 'tool-call-args', toolCallId: 'c', tool: 't', delta: `${i},`, ...args })
    }
  }

  #begin(): void {
    const runId = `r${++this.#run}`
    const input: Message = { id: `in-${runId}`, role: 'user', parts: [], runId, status: 'done', createdAt: 0 }
    this.#append({ type: 'start', agent: 'a', messageId: `out-${runId}`, input })
  }

  async #nextRun(): Promise<void> {
    const usage = { inputTokens: 0, outputTokens: 0 }
    this.#append({ type: 'finish', agent: 'a', finishReason: 'stop', text: '', steps: 0, usage })
    const { messages } = await this.log.snapshot(thread)
    await storeMessages(
      this.#store,
      thread,
      messages.filter((entry) => entry.message.runId === `r${this.#run}`),
    )
    this.#begin()
  }

  async #read({ reasoning, from, span }: Move & { do: 'read' }): Promise<void> {
    const { floorSeq, headSeq } = this.#window
    const at = from === null ? undefined : Math.floor(floorSeq + (headSeq - floorSeq) * from)
    const after = at === undefined ? undefined : this.#window.at(at)?.id
    const link = new TestLink()
    let reader: Reader | undefined
    const subscription = new Subscription({
      log: this.log,
      store: this.#store,
      limits: { ...LIMITS, highWaterBytes: 8_192 },
      link,
      dialect: threadStream,
      thread,
      reasoning,
      onFailure: (error) => expect.fail(String(error)),
      onEnd: () => {
        if (reader) reader.hasEnded = true
      },
    })
    const opening = await subscription.place(after === undefined ? 'head' : { after })
    const start = seqOf(opening.head)
    const end = span === null ? Infinity : start + span
    reader = { link, subscription, reasoning, from: start, end, hasEnded: false }
    this.readers.push(reader)
    subscription.endAt(end)
    subscription.begin()
  }

  #append(payload: DistributiveOmit<EventDraft, 'runId'>): void {
    this.log.append(thread, { ...payload, runId: `r${this.#run}` } as EventDraft)
  }
}

type DistributiveOmit<Value, Key extends PropertyKey> = Value extends unknown ? Omit<Value, Key> : never

function drain({ link, subscription }: Reader): void {
  link.reading = true
  link.drain()
  subscription.pump()
}

async function turn(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise(setImmediate)
}

function visibleTo({ reasoning }: Reader): (event: ThreadEvent) => boolean {
  return (event) => reasoning || event.type !== 'text-delta' || event.channel === 'answer'
}

/** What a reader got is every event it may see, once and in order, or a history in its place. */
function expectWhole(reader: Reader, log: readonly ThreadEvent[]): void {
  let last = reader.from
  const visible = visibleTo(reader)
  for (const frame of reader.link.frames as (ThreadEvent & { head?: never })[] | { head: string }[]) {
    if ('history' in frame) {
      last = expectHistory(frame as unknown as HistoryRecord & { type: 'reset' }, reader, log)
      continue
    }
    const event = frame as ThreadEvent
    expect(advance(last, event)).toBe('apply')
    const covered = mergeDeltas(log.slice(last, event.seq).filter(visible))
    expect(covered.map((each) => each.type)).toEqual([event.type])
    if ('delta' in event)
      expect(event.delta).toBe(covered.map((each) => ('delta' in each ? each.delta : '')).join(''))
    last = event.seq
  }
  const goal = Math.min(log.length, reader.end)
  expect(log.slice(last, goal).filter(visible)).toEqual([])
  expect(reader.hasEnded).toBe(log.length >= reader.end)
}

function expectHistory(
  { head, history, more }: Pick<HistoryRecord & { type: 'reset' }, 'head' | 'history' | 'more'>,
  reader: Reader,
  log: readonly ThreadEvent[],
): number {
  const seq = seqOf(head)
  const visible = visibleTo(reader)
  const folded = mergeDeltas(log.slice(0, seq).filter(visible)).reduce<readonly Message[]>(reduce, [])
  const seen = folded.map(({ id, status, parts }) => ({ id, status, parts }))
  const told = history.map(({ id, status, parts }) => ({ id, status, parts }))
  expect(told).toEqual(seen.slice(-told.length))
  if (!more) expect(told).toHaveLength(seen.length)
  return seq
}

test('readers of every kind have everything, whatever the schedule', async () => {
  const caps = fc.constantFrom(20_000, 200_000, 4_000_000)
  await fc.assert(
    fc.asyncProperty(fc.array(move, { minLength: 5, maxLength: 60 }), caps, async (schedule, logBytes) => {
      const stage = await Stage.open(logBytes)
      for (const step of schedule) await stage.play(step)
      await stage.settle()
      for (const reader of stage.readers) expectWhole(reader, stage.log.events)
      await stage.log.close()
    }),
    { numRuns: RUNS },
  )
}, 120_000)
