import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  agentGateway,
  agentGatewayAnswer,
  isAgentGatewayCommand,
  readAgentGatewayRequest,
} from '../src/dialects/agent-gateway.ts'
import {
  type ThreadEvent,
  EVENT_TYPES,
  GatewayError,
  LIMITS,
  ORIGIN,
  mergeDeltas,
  mintEventId,
} from '../src/index.ts'
import { decodeCommand } from '../src/wire.ts'
import { arbitraryText, arbitraryThread } from './arbitraries.ts'

interface GoldenCase {
  readonly why: string
  readonly event: ThreadEvent
  readonly frames: readonly { name: string; body: unknown }[]
}

const path = new URL('./golden/agent-gateway.json', import.meta.url)
const golden: GoldenCase[] = JSON.parse(readFileSync(path, 'utf8'))
const SECRET = 'sk-hunter2'

describe('the golden frames of the agent gateway', () => {
  test('hold every type', () => {
    expect(new Set(golden.map(({ event }) => event.type))).toStrictEqual(new Set(EVENT_TYPES))
  })

  test.each(golden)('$event.type: $why', ({ event, frames }) => {
    const encoded = agentGateway.encode(event)
    expect(encoded.map(({ name, json }) => ({ name, body: JSON.parse(json) }))).toStrictEqual(frames)
    for (const { id } of encoded) expect(id).toBe(event.id)
  })
})

describe('the frames of a thread', () => {
  test('say the same text, and lead to the same last event, merged or not', () => {
    fc.assert(
      fc.property(arbitraryThread, (events) => {
        expect(told(mergeDeltas(events))).toStrictEqual(told(events))
      }),
    )
  })
})

test('a chunk is JSON, whatever is in it', () => {
  const given = fc.record({
    delta: arbitraryText,
    runId: arbitraryText,
    threadId: arbitraryText,
    agent: fc.option(arbitraryText, { nil: undefined }),
  })
  fc.assert(
    fc.property(given, ({ delta, runId, threadId, agent }) => {
      const id = mintEventId(1, 2)
      const of = { id, seq: 2, ts: 1, runId, threadId, ...(agent !== undefined && { agent }) }
      const [frame] = agentGateway.encode({ ...of, type: 'text-delta', delta, channel: 'answer' })
      const member = agent === undefined ? {} : { agent }
      expect(JSON.parse(frame?.json ?? '')).toStrictEqual({
        chunk: delta,
        ...member,
        runId,
        sessionId: threadId,
        eventId: id,
      })
    }),
  )
})

/** The text of each run, and where a reader that saw it all would resume. */
function told(events: readonly ThreadEvent[]): unknown {
  const frames = events.flatMap((event) => agentGateway.encode(event))
  const texts = new Map<string, string>()
  for (const { name, json } of frames) {
    const { runId, chunk } = JSON.parse(json)
    if (name === 'agent.chunk') texts.set(runId, (texts.get(runId) ?? '') + chunk)
  }
  return { texts: [...texts], last: frames.at(-1)?.id }
}

describe('a request of the agent gateway', () => {
  const whole = { name: 'helper', input: 'hi', sessionId: 's1', runId: 'r1', apiKey: SECRET }

  test.each(['agent', 'team', 'workflow'])('%s.run is a message to one of that kind', (kind) => {
    expect(readAgentGatewayRequest(`${kind}.run`, whole)).toStrictEqual({
      command: 'thread.send',
      payload: { threadId: 's1', agent: 'helper', message: 'hi', runId: 'r1' },
      kind,
      apiKey: SECRET,
    })
  })

  test('needs no more than a name and an input', () => {
    const { kind, ...request } = readAgentGatewayRequest('agent.run', { name: 'helper', input: 'hi' })
    expect(kind).toBe('agent')
    expect(request).toStrictEqual({
      command: 'thread.send',
      payload: { agent: 'helper', message: 'hi' },
    })
  })

  test('may have parts', () => {
    const input = { parts: [{ type: 'text', text: 'hi' }] }
    expect(readAgentGatewayRequest('team.run', { name: 'duo', input }).payload).toMatchObject({
      message: input,
    })
  })

  test('that resumes or leaves a session follows a thread, or ceases to', () => {
    expect(readAgentGatewayRequest('session.resume', { sessionId: 's1', lastEventId: '1-2' })).toStrictEqual({
      command: 'thread.subscribe',
      payload: { threadId: 's1', lastEventId: '1-2' },
    })
    expect(readAgentGatewayRequest('session.leave', { sessionId: 's1' })).toStrictEqual({
      command: 'thread.unsubscribe',
      payload: { threadId: 's1' },
    })
  })

  test.each([
    ['agent.run', whole],
    ['workflow.run', { name: 'a', input: 'b' }],
    ['run.cancel', { runId: 'r1' }],
    ['approval.resolve', { approvalId: 'a1', approved: false, reason: 'No.' }],
    ['session.resume', { sessionId: 's1', lastEventId: '1-2' }],
    ['session.leave', { sessionId: 's1' }],
  ])('%s is a canonical command in other words', (name, payload) => {
    const request = agentGateway.decode(JSON.stringify({ id: 7, command: name, payload }))
    expect(request.id).toBe(7)
    expect(() => decodeCommand(request.command, request.payload)).not.toThrow()
    expect(JSON.stringify(request.payload)).not.toContain(SECRET)
  })

  test.each([
    ['agent.run', 'name', { ...whole, name: undefined }],
    ['agent.run', 'name', { ...whole, name: { toString: SECRET } }],
    ['agent.run', 'input', { ...whole, input: '' }],
    ['team.run', 'input', { ...whole, input: [SECRET] }],
    ['agent.run', 'sessionId', { ...whole, sessionId: null }],
    ['agent.run', 'runId', { ...whole, runId: 'x'.repeat(LIMITS.idChars + 1) }],
    ['agent.run', 'apiKey', { ...whole, apiKey: SECRET.padEnd(LIMITS.apiKeyChars + 1, '!') }],
    ['agent.run', 'apiKey', { ...whole, apiKey: [SECRET] }],
    ['run.cancel', 'runId', {}],
    ['session.resume', 'sessionId', {}],
    ['session.resume', 'lastEventId', { sessionId: 's1', lastEventId: 7 }],
    ['session.leave', 'sessionId', { sessionId: 7 }],
  ])('%s with a wrong "%s" is refused in the words of the wire', (name, field, payload) => {
    const refused = refusalOf(() => readAgentGatewayRequest(name, payload))
    expect(refused.code).toBe('invalid-payload')
    expect(refused.message).toMatch(new RegExp(`^${name}: "${field}"`))
    expect(refused.message).not.toContain(SECRET)
  })

  test.each([null, undefined, 7, 'x', [], [whole]])(
    'without an object, such as %j, is refused',
    (payload) => {
      expect(refusalOf(() => readAgentGatewayRequest('agent.run', payload)).code).toBe('invalid-payload')
    },
  )

  test.each(['constructor', '__proto__', 'toString', 'thread.send', ''])('is never called "%s"', (name) => {
    expect(isAgentGatewayCommand(name)).toBe(false)
    expect(refusalOf(() => readAgentGatewayRequest(name, whole)).code).toBe('unknown-command')
  })
})

describe('what the agent gateway says beside events', () => {
  test('an answer to a run names the session', () => {
    const answer = { ok: true, threadId: 's1', runId: 'r1', status: 'started' } as const
    expect(agentGatewayAnswer(answer)).toStrictEqual({
      ok: true,
      runId: 'r1',
      sessionId: 's1',
      status: 'started',
    })
  })

  test('other answers are as everywhere', () => {
    const answer = { ok: true, recovered: true, head: ORIGIN } as const
    expect(agentGatewayAnswer(answer)).toStrictEqual(answer)
  })

  test('nothing is said of what went well where nobody waits for the answer', () => {
    expect(agentGateway.answer('agent.run', { ok: true })).toStrictEqual([])
  })

  test('a reset may be resumed after', () => {
    const reset = {
      type: 'thread.reset',
      threadId: 's1',
      cause: 'lagged',
      head: ORIGIN,
      history: [],
    } as const
    expect(agentGateway.reset(reset)[0]).toMatchObject({ name: 'session.reset', id: ORIGIN })
    expect(bodies(agentGateway.reset(reset))).toStrictEqual([
      { sessionId: 's1', cause: 'lagged', head: ORIGIN, history: [], eventId: ORIGIN },
    ])
  })

  test('a refusal that nobody waits for is an error of the wire, with what is known of the run', () => {
    const error = new GatewayError('rate-limited', 'Too fast.', { retryAfterMs: 9 }).toJSON()
    const expected = { error: 'Too fast.', code: 'rate-limited', retryAfterMs: 9 }
    const refusals = [
      [{ ok: false, error }, expected],
      [
        { ok: false, error, runId: 'r1', sessionId: 's1' },
        { ...expected, runId: 'r1', sessionId: 's1' },
      ],
    ] as const
    for (const [answer, body] of refusals) {
      const frames = agentGateway.answer('agent.run', answer)
      expect(frames.map(({ name, id }) => ({ name, id }))).toStrictEqual([
        { name: 'agent.error', id: undefined },
      ])
      expect(bodies(frames)).toStrictEqual([body])
    }
  })

  test('a goodbye says what to do next', () => {
    expect(
      bodies(agentGateway.goodbye({ code: 'draining', message: 'Later.', retryAfterMs: 9 })),
    ).toStrictEqual([{ code: 'draining', error: 'Later.', retryAfterMs: 9 }])
  })
})

function bodies(frames: readonly { json: string }[]): unknown[] {
  return frames.map(({ json }) => JSON.parse(json))
}

function refusalOf(refused: () => unknown): GatewayError {
  try {
    refused()
  } catch (error) {
    if (error instanceof GatewayError) return error
  }
  throw new Error('It was not refused.')
}
