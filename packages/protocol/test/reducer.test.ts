import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type EventPayload,
  type Message,
  type ThreadEvent,
  EVENT_TYPES,
  advance,
  canMerge,
  isTerminal,
  mergeDeltas,
  mintEventId,
  reduce,
} from '../src/index.ts'
import { arbitraryRun, arbitraryThread, chunksOf, splitDeltas } from './arbitraries.ts'

const picks = fc.infiniteStream(fc.nat()).map((numbers) => (max: number): number => {
  const next = numbers.next()
  return next.done ? 0 : next.value % (max + 1)
})

const userMessage: Message = {
  id: 'm1',
  role: 'user',
  parts: [{ type: 'text', text: 'hi' }],
  status: 'done',
  createdAt: 0,
}

describe('any log of a thread', () => {
  test('the generated logs hold all 17 types', () => {
    const logs = fc.sample(arbitraryThread, { numRuns: 200, seed: 1 })
    expect(new Set(logs.flat().map((event) => event.type))).toEqual(new Set(EVENT_TYPES))
  })

  test('gives the same messages one by one and merged, whatever the chunks', () => {
    fc.assert(
      fc.property(arbitraryThread, picks, (events, pick) => {
        const merged = chunksOf(events, pick).flatMap((chunk) => mergeDeltas(chunk))
        expect(fold(merged)).toStrictEqual(fold(events))
      }),
    )
  })

  test('merges to the same events in one go and chunk by chunk', () => {
    fc.assert(
      fc.property(arbitraryThread, picks, (events, pick) => {
        const chunked = mergeDeltas(chunksOf(events, pick).flatMap((chunk) => mergeDeltas(chunk)))
        expect(chunked).toStrictEqual(mergeDeltas(events))
      }),
    )
  })

  test('gives the same messages wherever its deltas are cut', () => {
    fc.assert(
      fc.property(arbitraryThread, picks, (events, pick) => {
        expect(fold(splitDeltas(events, pick))).toStrictEqual(fold(events))
      }),
    )
  })

  test('keeps every event covered, once, when it is merged', () => {
    fc.assert(
      fc.property(arbitraryThread, picks, (events, pick) => {
        const merged = chunksOf(events, pick).flatMap((chunk) => mergeDeltas(chunk))
        let lastSeq = 0
        for (const event of merged) {
          expect(advance(lastSeq, event)).toBe('apply')
          expect(event.id).toBe(events[event.seq - 1]?.id)
          lastSeq = event.seq
        }
        expect(lastSeq).toBe(events.length)
        expect(merged.reduce((sum, event) => sum + (event.covers ?? 1), 0)).toBe(events.length)
      }),
    )
  })

  test('leaves what it is given unchanged', () => {
    fc.assert(
      fc.property(arbitraryThread, (events) => {
        let messages: readonly Message[] = deepFreeze([])
        for (const event of deepFreeze(events)) messages = deepFreeze(reduce(messages, event))
        mergeDeltas(events)
      }),
    )
  })

  test('goes on from messages that went through JSON', () => {
    fc.assert(
      fc.property(arbitraryThread, fc.nat(), (events, cut) => {
        const at = cut % (events.length + 1)
        const stored: Message[] = JSON.parse(JSON.stringify(fold(events.slice(0, at))))
        expect(fold(events.slice(at), stored)).toEqual(fold(events))
      }),
    )
  })

  test('leaves no call and no answer open once its runs have ended', () => {
    fc.assert(
      fc.property(arbitraryThread, (events) => {
        const messages = fold(events)
        const tools = messages.flatMap(({ parts }) => parts.filter((part) => part.type === 'tool'))
        expect(messages.filter(({ status }) => status === 'open')).toEqual([])
        expect(tools.filter(({ state }) => state !== 'done' && state !== 'failed')).toEqual([])
      }),
    )
  })

  test('holds the text of `finish` in its answer', () => {
    fc.assert(
      fc.property(arbitraryRun, (events) => {
        const end = events.find(isTerminal)
        fc.pre(end?.type === 'finish')
        const parts = fold(events)[1]?.parts ?? []
        const answer = parts.map((part) => (part.type === 'text' ? part.text : '')).join('')
        expect(answer).toBe(end?.type === 'finish' ? end.text : undefined)
      }),
    )
  })
})

describe('one run', () => {
  const call = { toolCallId: 'c1', tool: 'search' }
  const approval = { approvalId: 'a1', expiresAt: 9 }
  const pending: EventPayload = { type: 'approval-pending', ...approval, ...call, args: { q: 1 } }

  test('opens with the message of the user and an open answer', () => {
    expect(fold(run([]))).toStrictEqual([
      userMessage,
      { id: 'm2', role: 'assistant', parts: [], runId: 'r1', agent: 'demo', status: 'open', createdAt: 1 },
    ])
  })

  test('keeps text, reasoning and text apart, and joins what is adjacent', () => {
    expect(
      partsOf([
        { type: 'text-delta', delta: 'a', channel: 'answer' },
        { type: 'text-delta', delta: 'b', channel: 'answer' },
        { type: 'text-delta', delta: 'c', channel: 'reasoning' },
        { type: 'text-delta', delta: 'd', channel: 'answer' },
      ]),
    ).toStrictEqual([
      { type: 'text', text: 'ab' },
      { type: 'reasoning', text: 'c' },
      { type: 'text', text: 'd' },
    ])
  })

  test('is one text, also where two agents have said it', () => {
    const said: EventPayload[] = [
      { type: 'text-delta', delta: 'a', channel: 'answer', agent: 'one' },
      { type: 'text-delta', delta: 'b', channel: 'answer', agent: 'two' },
      { type: 'text-delta', delta: 'c', channel: 'answer', agent: 'two' },
      { type: 'text-delta', delta: 'd', channel: 'answer' },
    ]
    expect(partsOf(said)).toStrictEqual([{ type: 'text', text: 'abcd' }])
    const merged = mergeDeltas(run(said).slice(1))
    expect(merged.map((event) => 'delta' in event && [event.delta, event.agent, event.covers])).toStrictEqual(
      [
        ['a', 'one', undefined],
        ['bc', 'two', 2],
        ['d', undefined, undefined],
      ],
    )
  })

  test('shows a call whose beginning the reader missed', () => {
    expect(partsOf([{ type: 'tool-call-result', ...call, result: 7 }])).toStrictEqual([
      { type: 'tool', ...call, result: 7, state: 'done' },
    ])
  })

  test('takes `null` as arguments', () => {
    expect(partsOf([{ type: 'tool-call-args', ...call, delta: 'null', args: null }])).toStrictEqual([
      { type: 'tool', ...call, args: null, state: 'running' },
    ])
  })

  test('shows who approved a call', () => {
    const resolved: EventPayload = { type: 'approval-resolved', approvalId: 'a1', approved: true, by: 'ada' }
    expect(partsOf([pending])).toMatchObject([{ approval, state: 'approval' }])
    expect(partsOf([pending, resolved])).toStrictEqual([
      {
        type: 'tool',
        ...call,
        args: { q: 1 },
        approval: { ...approval, approved: true, by: 'ada' },
        state: 'running',
      },
    ])
  })

  test('leaves a call that has ended as it is when its approval comes late', () => {
    const resolved: EventPayload = { type: 'approval-resolved', approvalId: 'a1', approved: true }
    const result: EventPayload = { type: 'tool-call-result', ...call, result: 7 }
    expect(partsOf([pending, result, resolved])).toMatchObject([
      { state: 'done', approval: { approved: true } },
    ])
  })

  test('shows a denied call as failed, with the reason', () => {
    const denied: EventPayload = {
      type: 'approval-resolved',
      approvalId: 'a1',
      approved: false,
      reason: 'too dear',
    }
    expect(partsOf([pending, denied])).toMatchObject([
      { approval: { approved: false, reason: 'too dear' }, state: 'failed' },
    ])
  })

  test('shows an artifact once, at its latest version', () => {
    const artifact = { id: 'd1', kind: 'markdown', title: 'Draft' }
    expect(
      partsOf([
        { type: 'artifact-created', artifact: { ...artifact, version: 1, content: '' } },
        { type: 'artifact-updated', artifact: { ...artifact, version: 2 }, content: 'x' },
      ]),
    ).toStrictEqual([{ type: 'artifact', ...artifact, version: 2 }])
  })

  test.each([
    ['stop', 'done'],
    ['length', 'done'],
    ['cancelled', 'cancelled'],
    ['interrupted', 'cancelled'],
  ] as const)('that ends with %s leaves its answer %s', (finishReason, status) => {
    const usage = { inputTokens: 0, outputTokens: 0 }
    const end: EventPayload = { type: 'finish', agent: 'demo', finishReason, text: '', steps: 0, usage }
    expect(fold(run([end]))[1]?.status).toBe(status)
  })

  test('that fails leaves its answer and its open calls failed', () => {
    const error = { code: 'run-lost', message: 'The process died.' }
    const messages = fold(
      run([
        { type: 'tool-call-start', ...call },
        { type: 'error', agent: 'demo', error },
      ]),
    )
    expect(messages[1]).toMatchObject({
      status: 'failed',
      parts: [{ state: 'failed', error: { code: 'run-ended' } }],
    })
  })

  test('opens no part for an empty delta', () => {
    expect(partsOf([{ type: 'text-delta', delta: '', channel: 'answer' }])).toStrictEqual([])
  })

  test('changes nothing where its `start` is not known', () => {
    const events = run([{ type: 'text-delta', delta: 'a', channel: 'answer' }]).slice(1)
    expect(fold(events)).toStrictEqual([])
  })
})

test('a run of an id that was there before changes the newer answer', () => {
  const again = run([{ type: 'text-delta', delta: 'new', channel: 'answer' }])
  const answers = fold([...run([]), ...again]).filter(({ role }) => role === 'assistant')
  expect(answers.map(({ parts }) => parts)).toStrictEqual([[], [{ type: 'text', text: 'new' }]])
})

describe('adjacent deltas are merged', () => {
  const [, text, args] = run([
    { type: 'text-delta', delta: 'a', channel: 'answer' },
    { type: 'tool-call-args', toolCallId: 'c1', tool: 'search', delta: '{' },
  ])
  const cases: readonly { where: string; event: object | undefined; change: object; merged: boolean }[] = [
    { where: 'of one text', event: text, change: {}, merged: true },
    { where: 'not of two channels', event: text, change: { channel: 'reasoning' }, merged: false },
    { where: 'not of two runs', event: text, change: { runId: 'r2' }, merged: false },
    { where: 'of the arguments of one call', event: args, change: {}, merged: true },
    { where: 'with the last arguments of the call', event: args, change: { args: {} }, merged: true },
    { where: 'not of two calls', event: args, change: { toolCallId: 'c2' }, merged: false },
    { where: 'not of calls of two runs', event: args, change: { runId: 'r2' }, merged: false },
  ]

  test.each(cases)('where they are $where', ({ event, change, merged }) => {
    const first = event as ThreadEvent
    expect(canMerge(first, { ...first, ...change } as ThreadEvent)).toBe(merged)
  })

  test('never where a text and arguments meet, or the arguments are complete', () => {
    const [one, other] = [text, args] as [ThreadEvent, ThreadEvent]
    const complete = { ...other, args: null } as ThreadEvent
    expect([canMerge(one, other), canMerge(other, one), canMerge(complete, other)]).toEqual([
      false,
      false,
      false,
    ])
  })
})

function run(payloads: readonly EventPayload[]): ThreadEvent[] {
  const start: EventPayload = { type: 'start', agent: 'demo', input: userMessage, messageId: 'm2' }
  return [start, ...payloads].map((payload, index) => {
    const seq = index + 1
    return { ...payload, id: mintEventId(seq, seq), seq, threadId: 't1', runId: 'r1', ts: seq }
  })
}

function partsOf(payloads: readonly EventPayload[]): unknown {
  return fold(run(payloads))[1]?.parts
}

function fold(events: readonly ThreadEvent[], from: readonly Message[] = []): readonly Message[] {
  return events.reduce(reduce, from)
}

function deepFreeze<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value
  Object.values(value).forEach(deepFreeze)
  return Object.freeze(value)
}
