import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type AnswerKind,
  AGENT_SOCKET_COMMANDS,
  agentSocketDialect,
  readAgentSocketRequest,
  runIdOf,
} from '../src/dialects/agent-websocket.ts'
import {
  type ThreadEvent,
  EVENT_TYPES,
  GatewayError,
  LIMITS,
  mergeDeltas,
  mintEventId,
} from '../src/index.ts'
import { decodeCommand } from '../src/wire.ts'
import { arbitraryText, arbitraryThread } from './arbitraries.ts'

const KINDS: readonly AnswerKind[] = ['generate', 'stream', 'tool_call']

interface GoldenCase {
  readonly why: string
  /** Of a run that the connection `c1` asked for as `r1`. */
  readonly event: ThreadEvent
  readonly frames: Readonly<Record<AnswerKind, readonly object[]>>
}

const path = new URL('./golden/agent-websocket.json', import.meta.url)
const golden: GoldenCase[] = JSON.parse(readFileSync(path, 'utf8'))
const dialect = agentSocketDialect('c1')

function bodiesOf(event: ThreadEvent): unknown[] {
  return dialect.encode(event).map(({ json }) => JSON.parse(json) as unknown)
}

describe('the golden frames of the agent handler', () => {
  test('hold every type of event', () => {
    expect(new Set(golden.map(({ event }) => event.type))).toStrictEqual(new Set(EVENT_TYPES))
  })

  test.each(golden)('$event.type: $why', ({ event, frames }) => {
    for (const kind of KINDS) {
      const runId = runIdOf('c1', { number: 3, kind, requestId: 'r1' })
      expect(bodiesOf({ ...event, runId })).toStrictEqual(frames[kind])
      for (const { id } of dialect.encode({ ...event, runId })) expect(id).toBe(event.id)
    }
  })

  test.each(golden)('$event.type of somebody else’s run is not told', ({ event }) => {
    const others = ['r1', 'c1', 'c1.', 'c1.1.other:r1', 'c1.x.stream', 'c1.1.stream/r1', 'c2.1.stream:r1', '']
    for (const runId of others) expect(dialect.encode({ ...event, runId })).toEqual([])
  })
})

test('a stream says the same text, merged or not', () => {
  const textOf = (events: readonly ThreadEvent[]): string =>
    events
      .map((event) => ({ ...event, runId: `c1.1.stream:${event.runId}` }))
      .flatMap((event) => bodiesOf(event) as { type: string; content?: string }[])
      .map(({ type, content = '' }) => (type === 'chunk' ? content : ''))
      .join('')
  fc.assert(
    fc.property(arbitraryThread, (events) => {
      expect(textOf(mergeDeltas(events))).toBe(textOf(events))
    }),
  )
})

test('the id of a request comes back as it was, whatever it is', () => {
  const id = fc.oneof(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), arbitraryText)
  fc.assert(
    fc.property(id, fc.constantFrom(...KINDS), fc.nat(), (requestId, kind, number) => {
      const of = { id: mintEventId(1, 2), seq: 2, ts: 1, threadId: 's1' }
      const runId = runIdOf('c1', { number, kind, requestId })
      const [told] = bodiesOf({ ...of, runId, type: 'error', agent: 'a', error: { code: 'x', message: '' } })
      expect(told).toMatchObject({ requestId: Object.is(requestId, -0) ? 0 : requestId })
    }),
  )
})

test('no id of a request makes a run’s id too long', () => {
  const requestId = 'x'.repeat(128)
  expect(readAgentSocketRequest('generate', { prompt: 'hi', requestId })).toMatchObject({ requestId })
  const runId = runIdOf(crypto.randomUUID(), {
    number: Number.MAX_SAFE_INTEGER,
    kind: 'tool_call',
    requestId,
  })
  expect(decodeCommand('run.cancel', { runId })).toMatchObject({ payload: { runId } })
  expect(() => readAgentSocketRequest('generate', { prompt: 'hi', requestId: `${requestId}x` })).toThrow(
    expect.objectContaining({ code: 'invalid-payload' }),
  )
  expect(runId.length).toBeLessThan(LIMITS.idChars)
})

describe('a message of a client', () => {
  test('is a request with the id that its payload has', () => {
    const decode = (message: unknown): unknown => dialect.decode(JSON.stringify(message))
    const payload = { prompt: 'hi', requestId: 'r' }
    expect(decode({ type: 'generate', payload })).toEqual({ id: 'r', command: 'generate', payload })
    expect(decode({ type: 'generate' })).toEqual({ id: null, command: 'generate', payload: undefined })
    expect(decode({ type: 'cancel', payload: { requestId: [] } })).toMatchObject({ id: null })
    expect(decode({ type: 'auth', token: 't' })).toEqual({
      id: null,
      command: 'auth',
      payload: { token: 't' },
    })
  })

  test.each(['7', 'null', '[]', '"generate"', '{}', '{"type":7}', 'no JSON', ''])(
    'such as %s is none',
    (text) => {
      expect(() => dialect.decode(text)).toThrow(expect.objectContaining({ code: 'invalid-frame' }))
    },
  )

  test('asks for an answer, for a call, or for what became of one', () => {
    const options = { temperature: 0, maxTokens: 5, agent: 'a', sessionId: 's', other: 'ignored' }
    expect(readAgentSocketRequest('stream', { prompt: 'hi', options, requestId: 1 })).toEqual({
      kind: 'stream',
      requestId: 1,
      settings: { temperature: 0, maxTokens: 5 },
      payload: { agent: 'a', threadId: 's', message: 'hi' },
    })
    expect(readAgentSocketRequest('tool_call', { toolName: 'add', args: { a: 1 }, options })).toEqual({
      kind: 'tool_call',
      requestId: undefined,
      toolCall: { tool: 'add', args: { a: 1 } },
      payload: { agent: 'a', threadId: 's', message: 'add {"a":1}' },
    })
    expect(readAgentSocketRequest('cancel', { requestId: 0 })).toEqual({ kind: 'cancel', requestId: 0 })
    const decision = { approvalId: 'p', approved: false }
    expect(readAgentSocketRequest('approve', decision)).toEqual({ kind: 'approve', payload: decision })
  })

  test.each(['constructor', '__proto__', 'thread.send', ''])('of the type %j is unknown', (type) => {
    expect(() => readAgentSocketRequest(type, {})).toThrow(
      expect.objectContaining({
        code: 'unknown-command',
        message: `There is no such "type". Types: ${Object.keys(AGENT_SOCKET_COMMANDS).join(', ')}, auth.`,
      }),
    )
  })
})

test('a reset has the history, and tells which answers are to requests of this connection', () => {
  const head = mintEventId(1, 9)
  const parts = [{ type: 'text' as const, text: 'hi' }]
  const message = { id: 'm', role: 'assistant' as const, parts, status: 'done' as const, createdAt: 1 }
  const history = [
    { ...message, runId: 'c1.1.generate:r1' },
    { ...message, runId: 'r2' },
  ]
  const [frame] = dialect.reset({ type: 'thread.reset', threadId: 's', cause: 'lagged', head, history })
  expect(JSON.parse(frame?.json ?? '')).toEqual({
    type: 'reset',
    sessionId: 's',
    cause: 'lagged',
    history: [{ ...history[0], requestId: 'r1' }, history[1]],
  })
})

test('a refusal and a goodbye are errors with a code', () => {
  const error = new GatewayError('rate-limited', 'Slow down.', { retryAfterMs: 5 }).toJSON()
  const told = { type: 'error', error: 'Slow down.', code: 'rate-limited', retryAfterMs: 5 }
  const bodies = (frames: readonly { json: string }[]): unknown[] =>
    frames.map(({ json }) => JSON.parse(json))
  expect(bodies(dialect.answer('r', { ok: false, error }))).toEqual([{ ...told, requestId: 'r' }])
  expect(bodies(dialect.answer(null, { ok: false, error }))).toEqual([told])
  expect(dialect.answer('r', { ok: true })).toEqual([])
  expect(bodies(dialect.goodbye(error))).toEqual([told])
})
