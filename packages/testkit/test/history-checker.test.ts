import {
  type AgentEvent,
  type EventId,
  type ThreadEvent,
  ORIGIN,
  mergeDeltas,
  mintEventId,
  reduce,
  seqOf,
} from '@turnpike/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type CheckHistoryOptions,
  type HistoryRecord,
  type VerdictKind,
  checkHistory,
} from '../src/history-checker.ts'
import { type Random, createRandom } from '../src/random.ts'

type EventRecord = Extract<HistoryRecord, { type: 'event' }>
type Case = { log: ThreadEvent[]; records: HistoryRecord[]; reasoning: boolean }

type Expected = { all: VerdictKind[]; none: VerdictKind[] }

const usage = { inputTokens: 1, outputTokens: 2 }
const steps = ['answer', 'answer', 'answer', 'reasoning', 'args', 'step', 'progress'] as const

/** What an agent reports at a place; the text tells the place, so that no two events are alike. */
function report(step: (typeof steps)[number], at: string): AgentEvent[] {
  const call = { toolCallId: `call-${at}`, tool: 'search' }
  switch (step) {
    case 'answer':
    case 'reasoning':
      return [{ type: 'text-delta', channel: step, delta: `<${at}>` }]
    case 'args':
      return [
        { type: 'tool-call-start', ...call },
        { type: 'tool-call-args', ...call, delta: `{"q":` },
        { type: 'tool-call-args', ...call, delta: `"${at}"}`, args: { q: at } },
        { type: 'tool-call-result', ...call, result: undefined },
      ]
    case 'step':
      return [{ type: 'step-finish', step: 0, finishReason: 'stop', usage }]
    case 'progress':
      return [{ type: 'run-update', background: { id: at, name: 'job', status: 'running', progress: 0.5 } }]
  }
}

/** The log of a thread; between two of its runs the numbering may skip ahead, as after a restart. */
function logOf(runs: readonly { steps: readonly (typeof steps)[number][]; skip: number }[]): ThreadEvent[] {
  const log: ThreadEvent[] = []
  let seq = 0
  runs.forEach((run, index) => {
    const runId = `run-${index}`
    const input = { id: `in-${index}`, role: 'user', parts: [], status: 'done', createdAt: 1 } as const
    const reports = run.steps.flatMap((step, i) => report(step, `${index}.${i}`))
    const payloads = [
      { type: 'start', agent: 'a', input: { ...input, parts: [] }, messageId: `out-${index}` } as const,
      ...reports,
      { type: 'finish', agent: 'a', finishReason: 'stop', text: '', steps: 1, usage } as const,
    ]
    seq += index === 0 ? 0 : run.skip
    for (const payload of payloads) {
      seq++
      const ts = 1_000 + seq
      const envelope = { id: mintEventId(ts, seq), seq, threadId: 't', runId, ts }
      log.push({ ...envelope, ...payload } as ThreadEvent)
    }
  })
  return log
}

function resetAt(log: readonly ThreadEvent[], head: EventId, random: Random): HistoryRecord {
  const history = log
    .filter((event) => event.seq <= seqOf(head))
    .reduce(reduce, [] as ReturnType<typeof reduce>)
  const cut = random.next() < 0.3 && history.length > 1
  const cause = random.pick(['expired', 'unknown', 'rolled-back', 'lagged'] as const)
  return { type: 'reset', cause, head, history: cut ? history.slice(1) : history, ...(cut && { more: true }) }
}

/** What a faithful gateway delivers to a client that is cut, resumes, lags and is reset at random. */
function deliver(log: readonly ThreadEvent[], reasoning: boolean, random: Random): HistoryRecord[] {
  const records: HistoryRecord[] = [{ type: 'connected', recovered: true }]
  let position = 0
  let visible = 0
  for (;;) {
    const batch: ThreadEvent[] = []
    const size = random.int(1, 8)
    for (const event of log) {
      const last = batch.at(-1)?.seq ?? position
      if (event.seq > last && batch.length < size && event.seq === last + 1) batch.push(event)
    }
    const next = log.find((event) => event.seq > position)
    if (!next) return records
    // A cut: the client comes back with what it has; a reader that is ahead in hidden events starts over from there.
    if (random.next() < 0.2) {
      position = visible
      records.push({ type: 'connected' })
    }
    if (batch.length === 0 || random.next() < 0.15) {
      const target = batch.length === 0 ? next : random.pick(log.filter((event) => event.seq > position))
      // The head may be where numbering has skipped ahead, right before the next event.
      const head = batch.length === 0 ? mintEventId(1, target.seq - 1) : target.id
      records.push(seenBy(reasoning, resetAt(log, head, random)))
      position = visible = seqOf(head)
      continue
    }
    for (const event of random.next() < 0.5 ? mergeDeltas(batch) : batch) {
      if (event.seq <= position) continue
      position = event.seq
      if (!reasoning && event.type === 'text-delta' && event.channel === 'reasoning') continue
      const covers = event.seq - visible
      records.push({ type: 'event', event: covers === 1 ? event : { ...event, covers } })
      visible = event.seq
    }
  }
}

/** A history has reasoning for those who asked for it. */
function seenBy(reasoning: boolean, record: HistoryRecord): HistoryRecord {
  if (reasoning || record.type !== 'reset') return record
  const history = record.history.map((message) => ({
    ...message,
    parts: message.parts.filter((part) => part.type !== 'reasoning'),
  }))
  return { ...record, history }
}

const runs = fc.array(
  fc.record({
    steps: fc.array(fc.constantFrom(...steps), { maxLength: 12 }),
    skip: fc.constantFrom(0, 0, 40),
  }),
  { minLength: 1, maxLength: 3 },
)
const cases: fc.Arbitrary<Case & { random: Random }> = fc
  .record({ runs, reasoning: fc.boolean(), seed: fc.integer() })
  .map(({ runs: made, reasoning, seed }) => {
    const [log, random] = [logOf(made), createRandom(seed)]
    return { log, reasoning, records: deliver(log, reasoning, random), random }
  })

const kindsOf = (options: CheckHistoryOptions): Set<VerdictKind> =>
  new Set(checkHistory(options).map((verdict) => verdict.kind))

/** Indices of frames for which nothing but a cut comes between them and the next frame. */
function framesBeforeFrames(records: readonly HistoryRecord[]): number[] {
  return records.flatMap((record, index) => {
    const next = records.slice(index + 1).find((each) => each.type !== 'connected')
    return record.type === 'event' && next?.type === 'event' ? [index] : []
  })
}

function frames(records: readonly HistoryRecord[]): number[] {
  return records.flatMap((record, index) => (record.type === 'event' ? [index] : []))
}

function frameAt(records: readonly HistoryRecord[], index: number): EventRecord {
  const record = records[index]
  if (record?.type !== 'event') throw new Error('There is no frame here.')
  return record
}

/** Damages each random case in one place, and looks for the verdicts; no other may appear. */
function damaged(
  places: (records: readonly HistoryRecord[], given: Case) => number[],
  damage: (index: number, given: Case, random: Random) => HistoryRecord[],
  expected: Expected,
) {
  fc.assert(
    fc.property(cases, ({ random, ...given }) => {
      const eligible = places(given.records, given)
      fc.pre(eligible.length > 0)
      const records = damage(random.pick(eligible), given, random)
      const kinds = kindsOf({ ...given, records })
      for (const kind of expected.all) expect(kinds).toContain(kind)
      for (const kind of expected.none) expect(kinds).not.toContain(kind)
    }),
    { numRuns: 300 },
  )
}

test('a history that is merged, cut, resumed and reset at random has no verdict', () => {
  fc.assert(
    fc.property(cases, ({ log, records, reasoning }) => {
      expect(checkHistory({ log, records, reasoning })).toEqual([])
    }),
    { numRuns: 1_000 },
  )
})

test('a history that travelled as JSON has no verdict', () => {
  fc.assert(
    fc.property(cases, ({ log, records, reasoning }) => {
      const travelled = JSON.parse(JSON.stringify(records)) as HistoryRecord[]
      expect(checkHistory({ log, records: travelled, reasoning })).toEqual([])
    }),
  )
})

describe('damage is told', () => {
  test('a dropped frame is a gap that nobody told, and lost unless a later history holds it', () => {
    const none: VerdictKind[] = ['DUP', 'REORDER', 'PHANTOM']
    const drop = (index: number, { records }: Case) => records.toSpliced(index, 1)
    damaged(framesBeforeFrames, drop, { all: ['SILENT-GAP'], none })
    const lastReset = (records: readonly HistoryRecord[]) =>
      records.findLastIndex(({ type }) => type === 'reset')
    damaged((records) => framesBeforeFrames(records).filter((index) => index > lastReset(records)), drop, {
      all: ['SILENT-GAP', 'LOST'],
      none,
    })
  })

  test('a dropped last frame is lost', () => {
    damaged(
      (records) => (records.at(-1)?.type === 'event' ? [records.length - 1] : []),
      (index, { records }) => records.toSpliced(index, 1),
      { all: ['LOST'], none: ['SILENT-GAP', 'DUP', 'REORDER', 'PHANTOM'] },
    )
  })

  test('a repeated frame is a duplicate, at once and later', () => {
    const all: Expected = { all: ['DUP'], none: ['LOST', 'SILENT-GAP', 'REORDER', 'PHANTOM'] }
    damaged(frames, (index, { records }) => records.toSpliced(index + 1, 0, frameAt(records, index)), all)
    damaged(frames, (index, { records }) => [...records, frameAt(records, index)], all)
  })

  test('two frames that change places are a wrong order', () => {
    damaged(
      (records) => frames(records).filter((index) => records[index + 1]?.type === 'event'),
      (index, { records }) =>
        records.toSpliced(index, 2, frameAt(records, index + 1), frameAt(records, index)),
      { all: ['REORDER'], none: ['LOST', 'DUP', 'PHANTOM'] },
    )
  })

  test('a frame that says something else is a phantom', () => {
    damaged(
      frames,
      (index, { records }, random) => {
        const { event } = frameAt(records, index)
        const changes = [
          { ts: event.ts + 1 },
          { id: mintEventId(1, event.seq) },
          { runId: 'another' },
          { threadId: 'another' },
          'delta' in event ? { delta: `${event.delta}!` } : { type: 'memory-write' },
        ]
        const changed = { ...event, ...random.pick(changes) } as ThreadEvent
        return records.with(index, { type: 'event', event: changed })
      },
      { all: ['PHANTOM'], none: ['LOST', 'SILENT-GAP', 'DUP', 'REORDER'] },
    )
  })

  test('a frame that the log does not hold is a phantom', () => {
    damaged(
      frames,
      (index, { records, log }) => {
        const { event } = frameAt(records, index)
        const seq = (log.at(-1)?.seq ?? 0) + 1
        const invented = { ...event, seq, id: mintEventId(event.ts, seq), covers: 1 }
        return records.toSpliced(index + 1, 0, { type: 'event', event: invented })
      },
      { all: ['PHANTOM'], none: ['LOST', 'SILENT-GAP', 'DUP', 'REORDER'] },
    )
  })

  test('a merged frame with a piece missing is a phantom', () => {
    damaged(
      (records) => frames(records).filter((index) => 'delta' in frameAt(records, index).event),
      (index, { records }) => {
        const { event } = frameAt(records, index)
        const cut = { ...event, delta: 'delta' in event ? event.delta.slice(1) : '' } as ThreadEvent
        return records.with(index, { type: 'event', event: cut })
      },
      { all: ['PHANTOM'], none: ['LOST', 'SILENT-GAP', 'DUP', 'REORDER'] },
    )
  })

  test('a frame that claims a frame before it has swallowed that one', () => {
    damaged(
      (records) =>
        frames(records).filter((index) => {
          const next = records[index + 1]
          return (
            next?.type === 'event' && mergeDeltas([frameAt(records, index).event, next.event]).length === 2
          )
        }),
      (index, { records }) => {
        const [swallowed, { event }] = [frameAt(records, index).event, frameAt(records, index + 1)]
        const covers = (event.covers ?? 1) + (swallowed.covers ?? 1)
        return records.toSpliced(index, 2, { type: 'event', event: { ...event, covers } })
      },
      { all: ['LOST'], none: ['SILENT-GAP', 'DUP', 'REORDER'] },
    )
  })

  test('a frame that overlaps one before it is a duplicate', () => {
    damaged(
      (records) => frames(records).filter((index) => records[index + 1]?.type === 'event'),
      (index, { records }) => {
        const { event } = frameAt(records, index + 1)
        return records.with(index + 1, {
          type: 'event',
          event: { ...event, covers: (event.covers ?? 1) + 1 },
        })
      },
      { all: ['DUP'], none: ['SILENT-GAP', 'REORDER'] },
    )
  })

  const jumps = (records: readonly HistoryRecord[]) =>
    records.flatMap((record, index) => {
      if (record.type !== 'reset') return []
      const next = records.slice(index + 1).find((each) => each.type !== 'connected')
      return next?.type === 'event' ? [index] : []
    })

  test('a reset that is left out leaves a silent gap', () => {
    damaged(
      (records, { log }) =>
        jumps(records).filter((index) => {
          const record = records[index]
          const before = records.slice(0, index).findLast((each) => each.type !== 'connected')
          const from = before?.type === 'event' ? before.event.seq : before ? seqOf(before.head) : 0
          // Where numbering skipped, or only hidden events lie between, nothing is lost; only the gap is to be told.
          return (
            record?.type === 'reset' &&
            log.some((event) => event.seq > from && event.seq <= seqOf(record.head))
          )
        }),
      (index, { records }) => records.toSpliced(index, 1),
      { all: ['SILENT-GAP'], none: ['DUP', 'REORDER', 'PHANTOM'] },
    )
  })

  test('a reset without a legal cause excuses nothing', () => {
    damaged(
      (records) =>
        records.flatMap((record, index) => {
          const began = records.slice(0, index).some((each) => each.type !== 'connected')
          return record.type === 'reset' && began ? [index] : []
        }),
      (index, { records }) =>
        records.map((each, i) => (i === index ? { ...each, cause: undefined } : each)) as HistoryRecord[],
      { all: ['SILENT-GAP'], none: ['LOST', 'DUP', 'REORDER', 'PHANTOM'] },
    )
  })

  test('a reset whose history differs from the log is a phantom', () => {
    damaged(
      (records) =>
        records.flatMap((record, index) =>
          record.type === 'reset' && record.history.length > 0 ? [index] : [],
        ),
      (index, { records }) => {
        const record = records[index]
        if (record?.type !== 'reset') return []
        const history = record.history.map((message) => ({ ...message, id: 'another' }))
        return records.with(index, { ...record, history })
      },
      { all: ['PHANTOM'], none: ['LOST', 'SILENT-GAP', 'DUP', 'REORDER'] },
    )
  })

  test('reasoning that was not asked for is a phantom', () => {
    const log = logOf([{ steps: ['answer', 'reasoning', 'answer'], skip: 0 }])
    const records = log.map((event): HistoryRecord => ({ type: 'event', event }))
    expect(checkHistory({ log, records, reasoning: true })).toEqual([])
    expect(checkHistory({ log, records })).toMatchObject([{ kind: 'PHANTOM', at: 3 }])
  })
})

describe('what a client may do', () => {
  const log = logOf([{ steps: ['answer', 'step', 'answer', 'step', 'answer'], skip: 0 }])
  const all = log.map((event): HistoryRecord => ({ type: 'event', event }))
  const [first, , third] = log as [ThreadEvent, ThreadEvent, ThreadEvent]
  const [one, two, three, four, ...rest] = all as [HistoryRecord, HistoryRecord, HistoryRecord, HistoryRecord]

  test('a client that goes back over a gap has lost nothing, but the gap is told', () => {
    const records = [one, two, four, { type: 'connected' } as const, three, four, ...rest]
    expect(checkHistory({ log, records })).toMatchObject([{ kind: 'SILENT-GAP', at: 3 }])
  })

  test('a client that takes no notice of a gap has lost what was in it', () => {
    const records = [one, two, four, { type: 'connected' } as const, ...rest]
    expect(checkHistory({ log, records })).toMatchObject([
      { kind: 'SILENT-GAP', at: 3 },
      { kind: 'LOST', at: 3 },
    ])
  })

  test('a raw duplicate is excused where that is asked for, an overlap never', () => {
    expect(checkHistory({ log, records: [one, two, one, two, three, four, ...rest], strict: false })).toEqual(
      [],
    )
    const both = { type: 'event', event: { ...third, covers: 2 } } as HistoryRecord
    const kinds = kindsOf({ log, records: [one, two, both, four, ...rest], strict: false })
    expect(kinds).toContain('DUP')
  })

  test('a client that began and stopped in the middle has lost nothing outside', () => {
    const [after, upTo] = [first.id, third.id]
    expect(checkHistory({ log, records: [two, three], after, upTo })).toEqual([])
    expect(checkHistory({ log, records: [two], after, upTo })).toMatchObject([{ kind: 'LOST', at: 3 }])
  })

  test('only the first history needs no cause, and causes can be ruled out', () => {
    const history = reduce([], first)
    const opening: HistoryRecord = { type: 'reset', head: first.id, history }
    expect(checkHistory({ log, records: [opening, ...all.slice(1)] })).toEqual([])
    expect(kindsOf({ log, records: [opening, ...all.slice(1)], after: ORIGIN })).toEqual(
      new Set(['SILENT-GAP']),
    )
    const expired = { ...opening, cause: 'expired' } as const
    expect(kindsOf({ log, records: [expired, ...all.slice(1)], causes: ['lagged'] })).toEqual(
      new Set(['SILENT-GAP']),
    )
  })

  test('a reset may go back only where the place was not known', () => {
    const history = reduce([], first)
    const back = (cause: 'expired' | 'rolled-back'): HistoryRecord[] => [
      one,
      two,
      { type: 'reset', cause, head: first.id, history },
      ...all.slice(1),
    ]
    expect(checkHistory({ log, records: back('rolled-back') })).toEqual([])
    expect(checkHistory({ log, records: back('expired') })).toMatchObject([{ kind: 'REORDER', at: 1 }])
  })
})
