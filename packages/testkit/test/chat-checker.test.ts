import { type ThreadEvent, seqOf } from '@turnpike/protocol'
import { type Random, createRandom } from '@turnpike/testkit'
import {
  type ChatFrame,
  type ChatRecord,
  type ChatVerdict,
  type CheckChatOptions,
  checkChat,
} from '@turnpike/testkit/chat'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { asked, chunk, kindsIn, logOf, resetAt, tell, tellAll, told } from './chat-logs.ts'

/** A connection that asked in several sessions, whose frames come mixed. */
interface Case {
  readonly log: readonly ThreadEvent[]
  readonly asks: readonly ChatRecord[]
  readonly frames: readonly ChatFrame[]
  readonly seed: number
}

const cases: fc.Arbitrary<Case> = fc
  .record({
    sessions: fc.array(
      fc.record({
        runs: fc.array(fc.record({ words: fc.nat({ max: 8 }), fails: fc.boolean() }), {
          minLength: 1,
          maxLength: 3,
        }),
        from: fc.nat(),
      }),
      { minLength: 1, maxLength: 3 },
    ),
    seed: fc.integer(),
  })
  .map(({ sessions, seed }) => {
    const random = createRandom(seed)
    const parts = sessions.map(({ runs, from }, s) => {
      const named = runs.map((run, n) => ({ ...run, runId: `r${s}.${n}` }))
      const first = `r${s}.${from % runs.length}`
      const log = logOf(`s${s}`, named)
      return { log, first, frames: tell(log, first, random) }
    })
    return {
      log: parts.flatMap(({ log }) => log),
      asks: parts.map(({ first }) => asked(first)),
      frames: mixed(
        parts.map(({ frames }) => frames),
        random,
      ),
      seed,
    }
  })

/** Some order in which each list keeps its own. */
function mixed<Item>(lists: readonly (readonly Item[])[], random: Random): Item[] {
  const rest = lists.map((list) => [...list]).filter((list) => list.length > 0)
  const all: Item[] = []
  while (rest.length > 0) {
    const list = random.pick(rest)
    all.push(...list.splice(0, 1))
    if (list.length === 0) rest.splice(rest.indexOf(list), 1)
  }
  return all
}

function verdictsOn({ log, asks }: Case, frames: readonly ChatFrame[]): ChatVerdict[] {
  return checkChat({ log, records: [...asks, ...told(...frames)], left: 'settled' })
}

/** Damages each random case in one place, and looks for the verdicts; no others may appear. */
function damaged(
  isEligible: (frame: ChatFrame, next: ChatFrame | undefined) => boolean,
  damage: (frames: readonly ChatFrame[], index: number) => ChatFrame[],
  { some, only }: { some: readonly string[]; only: readonly string[] },
): void {
  fc.assert(
    fc.property(cases, (given) => {
      const { frames, seed } = given
      const places = frames.flatMap((frame, i) => (isEligible(frame, frames[i + 1]) ? [i] : []))
      fc.pre(places.length > 0)
      const kinds = kindsIn(verdictsOn(given, damage(frames, createRandom(seed).pick(places))))
      expect(some.some((kind) => kinds.has(kind))).toBe(true)
      for (const kind of kinds) expect(only).toContain(kind)
    }),
    { numRuns: 300 },
  )
}

const isOfType = (type: string) => (frame: ChatFrame) => frame.type === type
const isNoReset = (frame: ChatFrame): boolean => frame.type !== 'reset'
const isSameRun = (frame: ChatFrame, next: ChatFrame | undefined): boolean =>
  isNoReset(frame) && next !== undefined && next['runId'] === frame['runId']

test('sessions told in whatever mixture, joined and reset at random, have no verdict', () => {
  fc.assert(
    fc.property(cases, (given) => {
      expect(verdictsOn(given, given.frames)).toEqual([])
    }),
    { numRuns: 1_000 },
  )
})

test('a connection that was cut anywhere has no verdict', () => {
  fc.assert(
    fc.property(cases, ({ log, asks, frames, seed }) => {
      const records = [...asks, ...told(...frames.slice(0, createRandom(seed).int(0, frames.length)))]
      expect(checkChat({ log, records, left: 'cut' })).toEqual([])
    }),
    { numRuns: 300 },
  )
})

describe('damage is told', () => {
  test('a frame that is left out is lost, unless a later history has it', () => {
    // A reset that is left out is as good as what it would have told.
    damaged(isNoReset, (frames, i) => frames.toSpliced(i, 1).filter(isNoReset), {
      some: ['LOST'],
      only: ['LOST', 'SILENT-GAP'],
    })
  })

  test('a frame that comes twice is a duplicate', () => {
    damaged(isNoReset, (frames, i) => frames.toSpliced(i, 0, ...frames.slice(i, i + 1)), {
      some: ['DUP'],
      only: ['DUP'],
    })
  })

  test('frames of a run that change places are a wrong order', () => {
    damaged(isSameRun, (frames, i) => frames.toSpliced(i, 2, ...frames.slice(i, i + 2).toReversed()), {
      some: ['REORDER'],
      only: ['REORDER', 'SILENT-GAP'],
    })
  })

  test('a chunk that says something else is a phantom, and what it should have said is lost', () => {
    const change = (frames: readonly ChatFrame[], i: number): ChatFrame[] =>
      frames.map((frame, at) => (at === i ? { ...frame, text: `${String(frame['text'])}!` } : frame))
    damaged(isOfType('chunk'), change, { some: ['PHANTOM'], only: ['PHANTOM', 'LOST', 'SILENT-GAP'] })
  })

  test('a chunk that is told of another run is a phantom', () => {
    const change = (frames: readonly ChatFrame[], i: number): ChatFrame[] =>
      frames.map((frame, at) => (at === i ? { ...frame, runId: 'another' } : frame))
    damaged(isOfType('chunk'), change, { some: ['PHANTOM'], only: ['PHANTOM', 'LOST', 'SILENT-GAP'] })
  })

  test.each([
    ['whose text differs', { text: 'another' }],
    ['without its text', { text: undefined }],
    ['that tells another reason', { finishReason: 'cancelled' }],
    ['that names another session', { sessionId: 'another' }],
    ['with a field that the wire does not have', { usage: {} }],
  ])('a done %s is a phantom', (_what, changes) => {
    const change = (frames: readonly ChatFrame[], i: number): ChatFrame[] =>
      frames.map((frame, at) => (at === i ? { ...frame, ...changes } : frame))
    damaged(isOfType('done'), change, { some: ['PHANTOM'], only: ['PHANTOM', 'LOST', 'SILENT-GAP'] })
  })

  test('a reset that is left out is a gap', () => {
    const log = logOf('s', [{ runId: 'r', words: 6 }])
    const frames = tellAll(log)
    const [third] = [log[3]]
    if (!third) throw new Error('There is no third event.')
    const rest = frames.slice(3)
    const withReset = [asked('r'), ...told(frames[0] ?? {}, resetAt(log, third), ...rest)]
    expect(checkChat({ log, records: withReset, left: 'settled' })).toEqual([])
    const without = [asked('r'), ...told(frames[0] ?? {}, ...rest)]
    expect(kindsIn(checkChat({ log, records: without, left: 'settled' }))).toEqual(
      new Set(['SILENT-GAP', 'LOST']),
    )
  })
})

describe('one chat', () => {
  const log = logOf('s', [{ runId: 'r', words: 4 }])
  const frames = tellAll(log)
  const done = frames.at(-1)
  const check = (given: readonly object[], options: Partial<CheckChatOptions> = {}): string[] =>
    checkChat({ log, records: [asked('r'), ...told(...given)], left: 'answered', ...options }).map(
      ({ kind }) => kind,
    )

  test('is exact as it is logged, and with all of its neighbours joined', () => {
    expect(check(frames)).toEqual([])
    const [one, two, three, ...rest] = frames
    expect([one, two, three].map((frame) => frame?.type)).toEqual(['chunk', 'chunk', 'chunk'])
    expect(check([chunk('r', 'r.0 r.1 r.2 '), ...rest])).toEqual([])
  })

  test('has not joined what something else came between', () => {
    const texts = frames.filter(({ type }) => type === 'chunk').map(({ text }) => String(text))
    const others = frames.filter(({ type }) => type !== 'chunk')
    expect(check([chunk('r', texts.join('')), ...others])).toContain('PHANTOM')
  })

  test('has no piece that ends within one that was logged', () => {
    const [, ...rest] = frames
    expect(check([chunk('r', 'r.'), chunk('r', '0 '), ...rest])).toContain('PHANTOM')
  })

  test('ends once', () => {
    expect(check([...frames, done ?? {}])).toEqual(['DUP'])
    expect(check([...frames, { type: 'error', message: 'No.', code: 'agent-failed', runId: 'r' }])).toEqual([
      'PHANTOM',
    ])
    expect(check([...frames, chunk('r', 'r.0 ')])).toEqual(['DUP'])
    expect(check([...frames, chunk('r', 'more')])).toEqual(['PHANTOM'])
  })

  test('that was left before its end has lost what was not cut off', () => {
    expect(check(frames.slice(0, -1), { left: 'cut' })).toEqual([])
    expect(check(frames.slice(0, -1))).toEqual(['LOST'])
    expect(check([])).toContain('LOST')
  })

  test('has no result without its call', () => {
    const without = frames.filter(({ type }) => type !== 'tool_call')
    expect(check(without)).toEqual(['SILENT-GAP', 'LOST'])
  })

  test('is told in no words that the wire does not have', () => {
    expect(check([...frames, { type: 'thought', text: 'hm', runId: 'r' }])).toEqual(['PHANTOM'])
    expect(check([...frames, { type: 'chunk', text: 'r.0 ' }])).toEqual(['PHANTOM'])
    expect(check([{ type: 'pong' }, ...frames, { type: 'ping' }])).toEqual([])
  })

  test('as a stream of its own ends with it', () => {
    const more = logOf('s', [
      { runId: 'r', words: 4 },
      { runId: 'later', words: 1 },
    ])
    expect(check(tellAll(more), { log: more })).toEqual([])
    expect(new Set(check(tellAll(more), { log: more, endsWithRun: true }))).toEqual(new Set(['FOREIGN']))
    expect(check(frames, { log: more, endsWithRun: true })).toEqual([])
  })
})

describe('who follows a session', () => {
  const log = logOf('s', [
    { runId: 'one', words: 3 },
    { runId: 'two', words: 3 },
    { runId: 'three', words: 3, fails: true },
  ])
  const other = logOf('t', [{ runId: 'other', words: 2 }])
  const frames = tellAll(log)
  const of = (runId: string): ChatFrame[] => frames.filter((frame) => frame['runId'] === runId)
  const check = (records: readonly ChatRecord[], options: Partial<CheckChatOptions> = {}): string[] => [
    ...kindsIn(checkChat({ log: [...log, ...other], records, left: 'settled', ...options })),
  ]

  test('is told from the run that was asked for on, and what others ask', () => {
    expect(check([asked('two'), ...told(...of('two'), ...of('three'))])).toEqual([])
    expect(check([asked('two'), ...told(...of('two'))])).toEqual(['LOST'])
    expect(check([asked('two'), ...told(...of('two'))], { left: 'answered' })).toEqual([])
  })

  test('is told nothing of before', () => {
    expect(check([asked('two'), ...told(...of('one'), ...of('two'), ...of('three'))])).toEqual(['FOREIGN'])
  })

  test('is told nothing of a session that was not asked in', () => {
    expect(check([asked('two'), ...told(...of('two'), ...tellAll(other), ...of('three'))])).toEqual([
      'FOREIGN',
    ])
    const reset = other[0] && resetAt(other, other[0])
    expect(check([asked('two'), ...told(...of('two'), reset ?? {}, ...of('three'))])).toEqual(['FOREIGN'])
  })

  test('has missed the beginning of what it asked for', () => {
    expect(check([asked('two'), ...told(...of('two').slice(1), ...of('three'))])).toEqual([
      'SILENT-GAP',
      'LOST',
    ])
  })

  test('has to be told of all that it asks for, also of what was before', () => {
    const records = [asked('two'), ...told(...of('two')), asked('one'), ...told(...of('three'))]
    expect(check(records, { left: 'answered' })).toEqual(['LOST'])
  })

  test('may ask for the same again, and is told once', () => {
    expect(check([asked('two'), asked('two'), ...told(...of('two'), ...of('three'))])).toEqual([])
  })

  test('that has made room is told from the next question on', () => {
    const gave = [asked('one'), ...told(...of('one')), asked('other'), ...told(...tellAll(other))]
    const records = [...gave, asked('three'), ...told(...of('three'))]
    expect(check(records, { subscriptions: 1 })).toEqual([])
    expect(check(records)).toEqual(['SILENT-GAP', 'LOST'])
    expect(check([...records, asked('one'), ...told(...frames)], { subscriptions: 1 })).toEqual([])
  })
})

describe('a question that comes to nothing', () => {
  const log = logOf('s', [{ runId: 'r', words: 2 }])
  const refusal = { type: 'error', message: 'Busy.', code: 'thread-busy', runId: 'x' }
  const check = (records: readonly ChatRecord[]): string[] =>
    checkChat({ log, records, left: 'answered' }).map(({ kind }) => kind)

  test('is refused once', () => {
    expect(check([asked('x'), ...told(refusal)])).toEqual([])
    expect(check([asked('x'), ...told(refusal, refusal)])).toEqual(['PHANTOM'])
    expect(check([asked('x'), asked('x'), ...told(refusal, refusal)])).toEqual([])
  })

  test('has to be refused', () => {
    expect(check([asked('x')])).toEqual(['LOST'])
    expect(check([...told(refusal)])).toEqual(['PHANTOM'])
  })

  test('is not answered all the same', () => {
    const limited = { ...refusal, code: 'rate-limited', runId: 'r' }
    expect(check([asked('r'), ...told(limited)])).toEqual([])
    expect(new Set(check([asked('r'), ...told(limited, ...tellAll(log))]))).toEqual(new Set(['FOREIGN']))
  })

  test('may be about a run that somebody else asked for later', () => {
    const busy = { ...refusal, runId: 'r' }
    const options = { log, records: [asked('r'), ...told(busy)], left: 'answered' } as const
    expect(checkChat({ ...options, askedElsewhere: new Set(['r']) })).toEqual([])
    expect(checkChat({ ...options, askedElsewhere: new Set(['x']) })).not.toEqual([])
  })

  test('is no excuse for a run that took place', () => {
    expect(check([asked('r'), ...told({ ...refusal, runId: 'r' })])).toContain('PHANTOM')
  })

  test('may be a stop of what is not there', () => {
    const unknown = { ...refusal, code: 'unknown-run' }
    expect(check([{ type: 'cancelled', runId: 'x' }, ...told(unknown)])).toEqual([])
    expect(check([{ type: 'cancelled', runId: 'x' }, ...told(unknown, unknown)])).toEqual(['PHANTOM'])
    expect(check([asked('x'), { type: 'cancelled', runId: 'x' }, ...told(refusal, unknown)])).toEqual([])
    expect(
      check([asked('r'), { type: 'cancelled', runId: 'r' }, ...told({ ...unknown, runId: 'r' })]),
    ).toContain('PHANTOM')
  })
})

describe('a reset', () => {
  const log = logOf('s', [{ runId: 'r', words: 8 }])
  const frames = tellAll(log)
  const at = (seq: number): ThreadEvent => {
    const event = log.find((each) => each.seq === seq)
    if (!event) throw new Error(`There is no event ${seq}.`)
    return event
  }
  const behind = (seq: number): ChatFrame[] => tellAll(log.filter((event) => event.seq > seq))
  const check = (given: readonly object[]): string[] => [
    ...kindsIn(checkChat({ log, records: [asked('r'), ...told(...given)], left: 'settled' })),
  ]

  test('takes the place of what it jumps over', () => {
    for (const { seq } of log.slice(2, -1))
      expect(check([...frames.slice(0, 1), resetAt(log, at(seq)), ...behind(seq)])).toEqual([])
    expect(check([resetAt(log, at(4)), ...behind(4)])).toEqual([])
  })

  test('is followed by the ends of what was asked for, once', () => {
    const [first = {}, reset, end = {}] = [frames[0], resetAt(log, at(log.length)), frames.at(-1)]
    expect(check([first, reset, end])).toEqual([])
    expect(check([first, reset])).toEqual(['LOST'])
    expect(check([first, reset, { ...end, text: 'another' }])).toEqual(['PHANTOM', 'LOST'])
    expect(check([first, reset, end, end])).toEqual(['DUP'])
    expect(check([...frames, reset, end])).toEqual(['DUP'])
  })

  test('does not skip more than its history has', () => {
    const reset = resetAt(log, at(4))
    expect(check([frames[0] ?? {}, { ...reset, head: at(5).id }, ...behind(5)])).toEqual(['PHANTOM'])
    expect(check([frames[0] ?? {}, reset, ...behind(5)])).toEqual(['SILENT-GAP', 'LOST'])
    expect(check([frames[0] ?? {}, { ...reset, history: [] }, ...behind(4)])).toEqual(['PHANTOM'])
  })

  test('is not followed by what its history has', () => {
    expect(check([frames[0] ?? {}, resetAt(log, at(4)), ...behind(3)])).toEqual(['DUP'])
  })

  test('goes forward, and has a cause', () => {
    expect(check([...frames.slice(0, 4), resetAt(log, at(3)), ...frames.slice(4)])).toContain('REORDER')
    const reset = resetAt(log, at(4))
    expect(check([frames[0] ?? {}, { ...reset, cause: 'rolled-back' }, ...behind(4)])).toEqual(['SILENT-GAP'])
    expect(check([{ ...reset, cause: 'expired' }, ...behind(4)])).toEqual([])
    expect(check([frames[0] ?? {}, { ...reset, cause: 'expired' }, ...behind(4)])).toEqual(['SILENT-GAP'])
    expect(seqOf(String(reset['head']) as ThreadEvent['id'])).toBe(4)
  })
})
