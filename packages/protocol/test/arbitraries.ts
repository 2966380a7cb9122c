import * as fc from 'fast-check'
import { type EventPayload, type FinishReason, type ThreadEvent, mintEventId } from '../src/index.ts'

const FINISH_REASONS = ['stop', 'length', 'tool-calls', 'content-filter', 'cancelled', 'interrupted'] as const
const STARTED_AT = 1_700_000_000_000

/** Text as models and users really send it: any UTF-16, halves of surrogate pairs included. */
export const arbitraryText = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary-ascii' }),
  fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
  fc.constantFrom('', '"', '\\', '\n', '\u2028', '\ud800', '\udc00', '😀', '\u0000'),
)

/** A value that is the same after a round trip through JSON. */
export const arbitraryJson = fc
  .jsonValue({ maxDepth: 3 })
  .map((value): unknown => JSON.parse(JSON.stringify(value)))

const plain = { noNullPrototype: true } as const

const usage = fc.record({ inputTokens: fc.nat(), outputTokens: fc.nat() }, plain)
const failure = fc.record({ code: fc.constantFrom('agent-failed', 'timeout'), message: fc.string() }, plain)

const text = fc
  .record({
    channel: fc.constantFrom('answer' as const, 'reasoning' as const),
    deltas: fc.array(arbitraryText, { minLength: 1, maxLength: 8 }),
    speaker: fc.constantFrom({}, {}, { agent: 'writer' }, { agent: '"__proto__"' }),
  })
  .map(({ channel, deltas, speaker }) =>
    deltas.map((delta): EventPayload => ({ type: 'text-delta', delta, channel, ...speaker })),
  )

type Outcome = 'open' | 'denied' | 'result' | 'error'

const toolCall = fc
  .record({
    toolCallId: fc.uuid(),
    tool: fc.constantFrom('search', 'shop_status', '__proto__'),
    deltas: fc.array(arbitraryText, { maxLength: 5 }),
    args: arbitraryJson,
    asks: fc.boolean(),
    outcome: fc.constantFrom<Outcome>('open', 'denied', 'result', 'error'),
    result: arbitraryJson,
    error: failure,
  })
  .map(({ toolCallId, tool, deltas, args, asks, outcome, result, error }) => {
    const call = { toolCallId, tool }
    const approvalId = `approval-${toolCallId}`
    const events: EventPayload[] = [{ type: 'tool-call-start', ...call }]
    for (const delta of deltas) events.push({ type: 'tool-call-args', ...call, delta })
    events.push({ type: 'tool-call-args', ...call, delta: '', args })
    if (asks || outcome === 'denied') {
      events.push({ type: 'approval-pending', approvalId, ...call, args, expiresAt: STARTED_AT + 900_000 })
      if (outcome === 'open') return events
      events.push({ type: 'approval-resolved', approvalId, approved: outcome !== 'denied', by: 'ada' })
    }
    if (outcome === 'result') events.push({ type: 'tool-call-result', ...call, result })
    if (outcome === 'error') events.push({ type: 'tool-call-error', ...call, error })
    return events
  })

const artifact = fc
  .record({
    id: fc.uuid(),
    kind: fc.constantFrom('markdown', 'code'),
    titles: fc.array(fc.string(), { minLength: 1, maxLength: 4 }),
    content: arbitraryJson,
  })
  .map(({ id, kind, titles, content }) =>
    titles.map((title, index): EventPayload => {
      if (index === 0) return { type: 'artifact-created', artifact: { id, version: 1, kind, title, content } }
      return { type: 'artifact-updated', artifact: { id, version: index + 1, kind, title }, content }
    }),
  )

const step = fc
  .record({ step: fc.nat(20), finishReason: fc.constantFrom(...FINISH_REASONS), usage })
  .map((ended): EventPayload[] => [
    { type: 'step-start', step: ended.step },
    { type: 'step-finish', ...ended },
  ])

const memory = fc
  .record({ id: fc.uuid(), text: fc.string(), score: fc.nat(1) }, plain)
  .map((item): EventPayload[] => [
    { type: 'memory-write', memory: { id: item.id, text: item.text, scope: 'user' } },
    { type: 'memory-recall-result', query: item.text, memories: [item] },
  ])

const background = fc
  .record({ id: fc.uuid(), ended: fc.constantFrom('done' as const, 'failed' as const, 'cancelled' as const) })
  .map(({ id, ended }): EventPayload[] => [
    { type: 'run-update', background: { id, name: 'index', status: 'running', progress: 0.5 } },
    { type: 'run-update', background: { id, name: 'index', status: ended, progress: 1 } },
  ])

/** Several things go on at once: each keeps its own order, and any order between them is possible. */
const body = fc
  .array(fc.oneof(text, text, toolCall, toolCall, artifact, step, memory, background), { maxLength: 8 })
  .chain((strands) => {
    const owners = strands.flatMap((strand, index) => strand.map(() => index))
    const order = fc.oneof(
      fc.constant(owners),
      fc.shuffledSubarray(owners, { minLength: owners.length, maxLength: owners.length }),
    )
    return order.map((indexes) => interleave(strands, indexes))
  })

interface RunEnd {
  readonly failed: boolean
  readonly finishReason: FinishReason
  readonly usage: { inputTokens: number; outputTokens: number }
}

const runEnd: fc.Arbitrary<RunEnd> = fc.record({
  failed: fc.boolean(),
  finishReason: fc.constantFrom(...FINISH_REASONS),
  usage,
})

const payloads = fc
  .record({
    runId: fc.uuid(),
    input: arbitraryText,
    body,
    end: runEnd,
    late: fc.oneof(fc.constant([]), background),
  })
  .map(({ runId, input, body: inner, end, late }) => {
    const start: EventPayload = {
      type: 'start',
      agent: 'demo',
      input: {
        id: `input-${runId}`,
        role: 'user',
        parts: [{ type: 'text', text: input }],
        status: 'done',
        createdAt: STARTED_AT,
      },
      messageId: `answer-${runId}`,
    }
    return { runId, events: [start, ...inner, ending(inner, end), ...late] }
  })

/** The log of a thread: one valid run after another, numbered from 1. */
export const arbitraryThread: fc.Arbitrary<ThreadEvent[]> = fc
  .array(payloads, { minLength: 1, maxLength: 3 })
  .map((runs) =>
    numbered(runs.flatMap(({ runId, events }) => events.map((payload) => ({ ...payload, runId })))),
  )

/** The log of one valid run, from its `start` to its end and what may come after. */
export const arbitraryRun: fc.Arbitrary<ThreadEvent[]> = payloads.map(({ runId, events }) =>
  numbered(events.map((payload) => ({ ...payload, runId }))),
)

/** The same log with each delta cut into pieces, numbered anew. */
export function splitDeltas(events: readonly ThreadEvent[], pick: (max: number) => number): ThreadEvent[] {
  const pieces = events.flatMap((event): ThreadEvent[] => {
    if (event.type !== 'text-delta' && event.type !== 'tool-call-args') return [event]
    const at = pick(event.delta.length)
    const head = { ...event, delta: event.delta.slice(0, at) }
    if ('args' in head) delete head.args
    return [head, { ...event, delta: event.delta.slice(at) }]
  })
  return pieces.map((event, index) => ({ ...event, seq: index + 1, id: mintEventId(event.ts, index + 1) }))
}

/** Cuts a list into consecutive chunks whose lengths `pick` chooses. */
export function chunksOf<Item>(items: readonly Item[], pick: (max: number) => number): Item[][] {
  const chunks: Item[][] = []
  for (let from = 0; from < items.length;) {
    const size = 1 + pick(items.length - from - 1)
    chunks.push(items.slice(from, from + size))
    from += size
  }
  return chunks
}

function numbered(events: readonly (EventPayload & { runId: string })[]): ThreadEvent[] {
  return events.map((event, index) => {
    const ts = STARTED_AT + index
    return { ...event, id: mintEventId(ts, index + 1), seq: index + 1, threadId: 'thread', ts }
  })
}

function ending(events: readonly EventPayload[], end: RunEnd): EventPayload {
  const agent = 'demo'
  if (end.failed)
    return { type: 'error', agent, error: { code: 'agent-failed', message: 'The agent failed.' } }
  const answer = events.filter((event) => event.type === 'text-delta' && event.channel === 'answer')
  return {
    type: 'finish',
    agent,
    finishReason: end.finishReason,
    text: answer.map((event) => ('delta' in event ? event.delta : '')).join(''),
    steps: events.filter((event) => event.type === 'step-finish').length,
    usage: end.usage,
  }
}

function interleave(strands: readonly EventPayload[][], owners: readonly number[]): EventPayload[] {
  const queues = strands.map((strand) => strand.values())
  return owners.flatMap((owner) => {
    const next = queues[owner]?.next()
    return next === undefined || next.done ? [] : [next.value]
  })
}
