import { describe, expect, test } from 'vitest'
import { type CommandName, GatewayError, LIMITS } from '../src/index.ts'
import { COMMANDS, decodeCommand } from '../src/wire.ts'

const SECRET = 'hunter2'
const file = { type: 'file', mediaType: 'image/png', url: 'https://example.com/a.png' }

/** What each command accepts, whole. */
const WHOLE: Record<CommandName, Record<string, unknown>> = {
  'thread.send': {
    threadId: 't1',
    message: { parts: [{ type: 'text', text: 'hi' }, file] },
    agent: 'demo',
    runId: 'r1',
    reasoning: true,
    whenBusy: 'interrupt',
  },
  'thread.subscribe': { threadId: 't1', lastEventId: '1-2', reasoning: false },
  'thread.unsubscribe': { threadId: 't1' },
  'run.cancel': { runId: 'r1' },
  'approval.resolve': { approvalId: 'a1', approved: false, reason: 'too dear' },
  auth: { token: 'abc' },
}

/** The fields without which a command is none. */
const REQUIRED: Record<CommandName, readonly string[]> = {
  'thread.send': ['message'],
  'thread.subscribe': ['threadId'],
  'thread.unsubscribe': ['threadId'],
  'run.cancel': ['runId'],
  'approval.resolve': ['approvalId', 'approved'],
  auth: ['token'],
}

const names = Object.keys(WHOLE) as CommandName[]
const fields = names.flatMap((name) => Object.keys(WHOLE[name]).map((field) => [name, field] as const))
const required = names.flatMap((name) => REQUIRED[name].map((field) => [name, field] as const))
const ids = fields.filter(([, field]) => ['threadId', 'runId', 'agent', 'approvalId'].includes(field))

describe('a command', () => {
  test('of every kind is looked at here', () => {
    expect(names.toSorted()).toStrictEqual(Object.keys(COMMANDS).toSorted())
  })

  test.each(names)('%s is accepted', (name) => {
    expect(decodeCommand(name, WHOLE[name])).toStrictEqual({ name, payload: WHOLE[name] })
  })

  test.each(names)('%s is accepted with no more than it needs', (name) => {
    const payload = Object.fromEntries(REQUIRED[name].map((field) => [field, WHOLE[name][field]]))
    expect(decodeCommand(name, payload)).toStrictEqual({ name, payload })
  })

  test.each(names)('%s loses the fields that are not its own', (name) => {
    const payload = JSON.parse(
      JSON.stringify({ ...WHOLE[name], extra: 1 }).replace('{', '{"__proto__":{"x":1},'),
    )
    expect(decodeCommand(name, payload)).toStrictEqual({ name, payload: WHOLE[name] })
  })

  test.each(required)('%s without "%s" is refused', (name, field) => {
    const { [field]: _, ...payload } = WHOLE[name]
    expectRefusal(name, payload, `"${field}"`)
  })

  test.each(fields)('%s with a wrong "%s" is refused', (name, field) => {
    const wrong = [
      null,
      [SECRET],
      { [SECRET]: SECRET },
      7,
      typeof WHOLE[name][field] === 'string' ? true : '',
    ]
    for (const value of wrong) expectRefusal(name, { ...WHOLE[name], [field]: value }, `"${field}"`)
  })

  test.each(names)('%s without an object is refused', (name) => {
    for (const payload of [undefined, null, SECRET, 7, [SECRET]]) expectRefusal(name, payload, 'the payload')
  })

  test.each(['', 'thread.sent', 'constructor', '__proto__', 'toString', 'hasOwnProperty', SECRET])(
    'named "%s" is unknown',
    (name) => {
      const error = refusal(() => decodeCommand(name, {}))
      expect(error.code).toBe('unknown-command')
      expect(error.message).not.toContain(SECRET)
      for (const known of names) expect(error.message).toContain(known)
    },
  )
})

describe('an id that a client chooses', () => {
  test.each(ids)('of %s, "%s", has at most the characters of the limit', (name, field) => {
    const withId = (id: string): unknown => ({ ...WHOLE[name], [field]: id })
    expect(decodeCommand(name, withId('x'.repeat(LIMITS.idChars))).name).toBe(name)
    expectRefusal(name, withId('x'.repeat(LIMITS.idChars + 1)), `"${field}"`)
    expectRefusal(name, withId(''), `"${field}"`)
  })

  test.each(['a\u0000b', 'a\nb', '\u007f', '\u0085', '\ud800', 'a\udc00'])('cannot be %j', (id) => {
    expectRefusal('run.cancel', { runId: id }, '"runId"')
  })

  test.each(['__proto__', 'constructor', 'a/b:c d', 'Zoë', '😀', '../..'])('may be %j', (runId) => {
    expect(decodeCommand('run.cancel', { runId }).payload).toStrictEqual({ runId })
  })
})

describe('a message', () => {
  const send = (message: unknown): unknown => decodeCommand('thread.send', { message }).payload
  const parts = (count: number): unknown => ({ parts: Array(count).fill({ type: 'text', text: 'x' }) })

  test('has at most the parts of the limit, and at least one', () => {
    expect(send(parts(LIMITS.messageParts))).toStrictEqual({ message: parts(LIMITS.messageParts) })
    expectRefusal('thread.send', { message: parts(LIMITS.messageParts + 1) }, '"message')
    expectRefusal('thread.send', { message: parts(0) }, '"message')
  })

  test('is text that is not empty', () => {
    expect(send('x')).toStrictEqual({ message: 'x' })
    expectRefusal('thread.send', { message: '' }, '"message"')
  })

  test.each([
    { type: 'file', mediaType: 'image/png' },
    { ...file, data: 'aGk=' },
    { ...file, mediaType: '' },
    { type: 'text' },
    { type: 'reasoning', text: SECRET },
    { type: 'tool', toolCallId: 'c1', tool: 'search', state: 'done' },
    { type: SECRET },
    SECRET,
  ])('cannot have the part %j', (part) => {
    expectRefusal('thread.send', { message: { parts: [part] } }, '"message')
  })
})

test('a message for a busy thread has three ways to go', () => {
  for (const whenBusy of ['enqueue', 'reject', 'interrupt']) {
    expect(decodeCommand('thread.send', { message: 'x', whenBusy }).payload).toMatchObject({ whenBusy })
  }
  for (const whenBusy of ['queue', '', '__proto__']) {
    expectRefusal('thread.send', { message: 'x', whenBusy }, '"whenBusy"')
  }
})

test('a refusal says what was expected', () => {
  expect(refusal(() => decodeCommand('run.cancel', { runId: 7 })).message).toContain('expected string')
})

test('a reason for an approval has at most 4,096 characters', () => {
  const payload = { approvalId: 'a1', approved: true }
  const longest = { ...payload, reason: 'x'.repeat(4_096) }
  expect(decodeCommand('approval.resolve', longest).payload).toStrictEqual(longest)
  expectRefusal('approval.resolve', { ...payload, reason: 'x'.repeat(4_097) }, '"reason"')
})

function expectRefusal(name: CommandName, payload: unknown, naming: string): void {
  const { code, message } = refusal(() => decodeCommand(name, payload))
  expect(code).toBe('invalid-payload')
  expect(message).toContain(naming)
  expect(message).toContain(name)
  expect(message).not.toContain(SECRET)
}

function refusal(decode: () => unknown): GatewayError {
  try {
    decode()
  } catch (error) {
    if (error instanceof GatewayError) return error
    throw error
  }
  throw new Error('It was accepted.')
}
