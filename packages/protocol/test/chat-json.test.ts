import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CHAT_PING, CHAT_PONG, chatJson, readChatRequest } from '../src/dialects/chat-json.ts'
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
  readonly frames: readonly object[]
}

const path = new URL('./golden/chat-json.json', import.meta.url)
const golden: GoldenCase[] = JSON.parse(readFileSync(path, 'utf8'))
const SECRET = 'hunter2'

describe('the golden frames of chat JSON', () => {
  test('hold every type', () => {
    expect(new Set(golden.map(({ event }) => event.type))).toStrictEqual(new Set(EVENT_TYPES))
  })

  test.each(golden)('$event.type: $why', ({ event, frames }) => {
    const encoded = chatJson.encode(event)
    expect(bodies(encoded)).toStrictEqual(frames)
    for (const { name, id, json } of encoded) {
      expect(JSON.parse(json)).toMatchObject({ type: name, runId: event.runId })
      expect(id).toBe(event.id)
    }
  })
})

test('the frames of a thread say the same text of each run, merged or not', () => {
  fc.assert(
    fc.property(arbitraryThread, (events) => {
      expect(textsIn(mergeDeltas(events))).toStrictEqual(textsIn(events))
    }),
  )
})

test('a chunk is JSON, whatever is in it', () => {
  fc.assert(
    fc.property(arbitraryText, arbitraryText, (delta, runId) => {
      const of = { id: mintEventId(1, 2), seq: 2, ts: 1, runId, threadId: 's1' }
      const frames = chatJson.encode({ ...of, type: 'text-delta', delta, channel: 'answer' })
      expect(bodies(frames)).toStrictEqual([{ type: 'chunk', text: delta, runId }])
    }),
  )
})

function textsIn(events: readonly ThreadEvent[]): unknown {
  const texts = new Map<string, string>()
  for (const { name, json } of events.flatMap((event) => chatJson.encode(event))) {
    const { runId, text } = JSON.parse(json)
    if (name === 'chunk') texts.set(runId, (texts.get(runId) ?? '') + text)
  }
  return [...texts]
}

describe('a frame of a client', () => {
  const chat = { message: 'hi', agent: 'helper', sessionId: 's1', userId: 'ada', runId: 'r1' }

  test('keeps its own words, and is told by its run', () => {
    expect(chatJson.decode(JSON.stringify({ type: 'chat', ...chat }))).toStrictEqual({
      id: 'r1',
      command: 'chat',
      payload: chat,
    })
    expect(chatJson.decode('{"type":"ping"}')).toStrictEqual({ id: null, command: 'ping', payload: {} })
  })

  test('that is no chat is of no run, so that nobody takes its refusal for the end of one', () => {
    expect(chatJson.decode('{"type":"cancel","runId":"r1"}').id).toBeNull()
  })

  test.each([7, '', null, {}, 'x'.repeat(LIMITS.idChars + 1)])('has no run where that is %j', (runId) => {
    expect(chatJson.decode(JSON.stringify({ type: 'chat', runId })).id).toBeNull()
  })

  test.each(['7', 'null', '[]', '"chat"', '{}', '{"type":7}', '{"type":null}', 'no JSON', ''])(
    'such as %s is none',
    (text) => {
      expect(refusalOf(() => chatJson.decode(text)).code).toBe('invalid-frame')
    },
  )

  test('that chats is a message to a thread', () => {
    expect(readChatRequest('chat', chat)).toStrictEqual({
      command: 'thread.send',
      payload: { threadId: 's1', agent: 'helper', message: 'hi', runId: 'r1' },
      userId: 'ada',
    })
    expect(readChatRequest('chat', { message: 'hi' })).toStrictEqual({
      command: 'thread.send',
      payload: { message: 'hi' },
    })
  })

  test.each([
    ['chat', chat],
    ['chat', { message: { parts: [{ type: 'text', text: 'hi' }] } }],
    ['cancel', { runId: 'r1' }],
    ['approve', { approvalId: 'a1', approved: false, reason: 'No.' }],
  ])('%s is a canonical command in other words', (type, fields) => {
    const { command, payload } = readChatRequest(type, fields)
    expect(() => decodeCommand(command, payload)).not.toThrow()
  })

  test.each([
    ['chat', 'message', { ...chat, message: undefined }],
    ['chat', 'message', { ...chat, message: '' }],
    ['chat', 'message', { ...chat, message: [SECRET] }],
    ['chat', 'agent', { ...chat, agent: { toString: SECRET } }],
    ['chat', 'sessionId', { ...chat, sessionId: null }],
    ['chat', 'userId', { ...chat, userId: 7 }],
    ['chat', 'userId', { ...chat, userId: SECRET.repeat(LIMITS.idChars) }],
    ['chat', 'runId', { ...chat, runId: '' }],
    ['cancel', 'runId', {}],
    ['approve', 'approved', { approvalId: 'a1', approved: 'yes' }],
  ])('%s with a wrong "%s" is refused in the words of the wire', (type, field, fields) => {
    const refused = refusalOf(() => readChatRequest(type, fields))
    expect(refused.code).toBe('invalid-payload')
    expect(refused.message).toMatch(new RegExp(`^${type}: "${field}"`))
    expect(refused.message).not.toContain(SECRET)
  })

  test.each(['constructor', '__proto__', 'toString', 'thread.send', 'run.cancel', ''])(
    'is never of the type "%s"',
    (type) => {
      expect(refusalOf(() => readChatRequest(type, chat)).code).toBe('unknown-command')
    },
  )
})

describe('what chat JSON says beside events', () => {
  const error = new GatewayError('rate-limited', 'Too fast.', { retryAfterMs: 9 }).toJSON()
  const told = { type: 'error', message: 'Too fast.', code: 'rate-limited', retryAfterMs: 9 }

  test('nothing is said of what went well', () => {
    expect(chatJson.answer('r1', { ok: true })).toStrictEqual([])
  })

  test('a refusal is an error, of the run where that is known', () => {
    expect(bodies(chatJson.answer('r1', { ok: false, error }))).toStrictEqual([{ ...told, runId: 'r1' }])
    expect(bodies(chatJson.answer(null, { ok: false, error }))).toStrictEqual([told])
  })

  test('a goodbye is an error of no run, with a ticket where there is one', () => {
    expect(bodies(chatJson.goodbye(error))).toStrictEqual([told])
    expect(bodies(chatJson.goodbye(error, 't1'))).toStrictEqual([{ ...told, ticket: 't1' }])
  })

  test('a reset has the history of its session', () => {
    const place = { cause: 'lagged', head: ORIGIN, history: [] } as const
    const frames = chatJson.reset({ type: 'thread.reset', threadId: 's1', ...place })
    expect(bodies(frames)).toStrictEqual([{ type: 'reset', sessionId: 's1', ...place }])
  })

  test('signs of life have a type and no more', () => {
    expect(bodies([CHAT_PING, CHAT_PONG])).toStrictEqual([{ type: 'ping' }, { type: 'pong' }])
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
