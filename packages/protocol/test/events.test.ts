import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as z from 'zod/mini'
import { type EventType, EVENT_TYPES, ThreadEvent, isTerminal } from '../src/index.ts'
import { AgentEvent } from '../src/wire.ts'
import { arbitraryThread } from './arbitraries.ts'

/** The fields of each payload, as the table of the events has them; `a.b` is `b` inside `a`. */
const FIELDS: Record<EventType, readonly string[]> = {
  start: ['agent', 'input', 'messageId', 'input.id', 'input.role', 'input.parts', 'input.status'],
  'text-delta': ['delta', 'channel'],
  'tool-call-start': ['toolCallId', 'tool'],
  'tool-call-args': ['toolCallId', 'tool', 'delta'],
  'tool-call-result': ['toolCallId', 'tool', 'result'],
  'tool-call-error': ['toolCallId', 'tool', 'error', 'error.code', 'error.message'],
  'artifact-created': ['artifact', ...under('artifact', ['id', 'version', 'kind', 'title', 'content'])],
  'artifact-updated': ['artifact', ...under('artifact', ['id', 'version', 'kind', 'title'])],
  'step-start': ['step'],
  'step-finish': ['step', 'finishReason', 'usage', 'usage.inputTokens', 'usage.outputTokens'],
  'memory-write': ['memory', ...under('memory', ['id', 'text', 'scope'])],
  'memory-recall-result': ['query', 'memories', ...under('memories.0', ['id', 'text', 'score'])],
  'run-update': ['background', ...under('background', ['id', 'name', 'status', 'progress'])],
  'approval-pending': ['approvalId', 'toolCallId', 'tool', 'args', 'expiresAt'],
  'approval-resolved': ['approvalId', 'approved'],
  error: ['agent', 'error', 'error.code', 'error.message'],
  finish: ['agent', 'finishReason', 'text', 'steps', 'usage', 'usage.inputTokens', 'usage.outputTokens'],
}
const ENVELOPE = ['id', 'seq', 'type', 'threadId', 'runId', 'ts']

const path = new URL('./thread-stream.frames.json', import.meta.url)
const golden: { event: ThreadEvent }[] = JSON.parse(readFileSync(path, 'utf8'))
const events = golden.map(({ event }) => event)

const removals = EVENT_TYPES.flatMap((type) =>
  [...ENVELOPE, ...FIELDS[type]].map((field) => [type, field] as const),
)

describe('the events', () => {
  test('are of 17 types', () => {
    expect(new Set(EVENT_TYPES).size).toBe(17)
    expect(EVENT_TYPES).toHaveLength(17)
    expect(Object.keys(FIELDS).toSorted()).toStrictEqual(EVENT_TYPES.toSorted())
  })

  test('end a run where they are `finish` or `error`', () => {
    const terminal = new Set(events.filter(isTerminal).map(({ type }) => type))
    expect(terminal).toStrictEqual(new Set(['error', 'finish']))
  })
})

describe('the schema of events', () => {
  test.each(EVENT_TYPES)('accepts %s as it is', (type) => {
    for (const event of ofType(type)) expect(z.parse(ThreadEvent, event)).toStrictEqual(event)
  })

  test('accepts every event of every log', () => {
    fc.assert(
      fc.property(arbitraryThread, (log) => {
        for (const event of log) expect(z.safeParse(ThreadEvent, event).success).toBe(true)
      }),
    )
  })

  test.each(removals)('refuses %s without "%s"', (type, field) => {
    for (const event of ofType(type)) expect(accepts(without(event, field))).toBe(false)
  })

  test.each([
    { type: 'text-deltas' },
    { type: '__proto__' },
    { channel: 'thoughts' },
    { agent: 1 },
    { delta: 1 },
    { seq: 0 },
    { seq: 1.5 },
    { covers: 0 },
    { id: '1-2' },
    { ts: '1' },
  ])('refuses a text-delta with %j', (change) => {
    for (const event of ofType('text-delta')) expect(accepts({ ...event, ...change })).toBe(false)
  })

  test.each([-0.01, 1.01, Number.NaN])('refuses a progress of %d', (progress) => {
    const [event] = ofType('run-update')
    expect(accepts({ ...event, background: { id: 'b1', name: 'index', status: 'running', progress } })).toBe(
      false,
    )
  })
})

function ofType(type: EventType): ThreadEvent[] {
  const found = events.filter((event) => event.type === type)
  expect(found.length).toBeGreaterThan(0)
  return found
}

function accepts(value: unknown): boolean {
  return z.safeParse(ThreadEvent, value).success
}

function under(name: string, fields: readonly string[]): string[] {
  return fields.map((field) => `${name}.${field}`)
}

function without(event: ThreadEvent, field: string): unknown {
  const copy = structuredClone(event)
  const keys = field.split('.')
  const last = keys.pop() ?? ''
  let owner: object = copy
  for (const key of keys) owner = Reflect.get(owner, key)
  expect(Reflect.has(owner, last)).toBe(true)
  Reflect.deleteProperty(owner, last)
  return copy
}

test('an updated artifact has either its content or a patch', () => {
  const artifact = { id: 'd1', version: 2, kind: 'markdown', title: 'Draft' }
  const update = (rest: object): boolean =>
    AgentEvent.safeParse({ type: 'artifact-updated', artifact, ...rest }).success
  expect(update({ content: 'x' })).toBe(true)
  expect(update({ patch: [] })).toBe(true)
  expect(update({})).toBe(false)
  expect(update({ content: 'x', patch: [] })).toBe(false)
})
