import type { Message, MessagePart } from '@turnpike/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { promptOf } from '../src/prompt.ts'

function message(role: 'user' | 'assistant', ...parts: MessagePart[]): Message {
  return { id: 'm', role, parts, status: 'done', createdAt: 0 }
}

const text = (value: string): MessagePart => ({ type: 'text', text: value })
const hi = message('user', text('hi'))

function tool(id: string, more: Partial<Extract<MessagePart, { type: 'tool' }>> = {}): MessagePart {
  return { type: 'tool', toolCallId: id, tool: 't', args: { a: 1 }, state: 'done', ...more }
}

test('a prompt is instructions, history, message', () => {
  const history = [message('user', text('one')), message('assistant', text('two'))]
  expect(promptOf({ instructions: 'Be kind.', history, message: hi })).toEqual([
    { role: 'system', content: 'Be kind.' },
    { role: 'user', content: [{ type: 'text', text: 'one' }] },
    { role: 'assistant', content: [{ type: 'text', text: 'two' }] },
    { role: 'user', content: [{ type: 'text', text: 'hi' }] },
  ])
})

test('the steps of an answer are messages of their own, each with its results', () => {
  const answer = message(
    'assistant',
    { type: 'reasoning', text: 'secret' },
    text('First.'),
    tool('a', { result: 'A' }),
    tool('b', { result: { b: 1 } }),
    text('Then.'),
    tool('c', { result: null }),
    { type: 'artifact', id: 'x', version: 1, kind: 'code', title: 'X' },
    text('Last.'),
  )
  const call = (toolCallId: string) => ({ type: 'tool-call', toolCallId, toolName: 't', input: { a: 1 } })
  const result = (toolCallId: string, output: unknown) => ({
    type: 'tool-result',
    toolCallId,
    toolName: 't',
    output,
  })
  expect(promptOf({ history: [answer], message: hi }).slice(0, -1)).toEqual([
    { role: 'assistant', content: [{ type: 'text', text: 'First.' }, call('a'), call('b')] },
    {
      role: 'tool',
      content: [result('a', { type: 'text', value: 'A' }), result('b', { type: 'json', value: { b: 1 } })],
    },
    { role: 'assistant', content: [{ type: 'text', text: 'Then.' }, call('c')] },
    { role: 'tool', content: [result('c', { type: 'json', value: null })] },
    { role: 'assistant', content: [{ type: 'text', text: 'Last.' }] },
  ])
})

test.each<[string, MessagePart, unknown]>([
  [
    'failed',
    tool('a', { state: 'failed', error: { code: 'tool-failed', message: 'Broke.' } }),
    { type: 'error-text', value: 'Broke.' },
  ],
  [
    'denied',
    tool('a', { state: 'failed', error: { code: 'denied', message: 'No.' } }),
    { type: 'execution-denied', reason: 'No.' },
  ],
  [
    'cut off while it ran',
    tool('a', { state: 'running' }),
    { type: 'error-text', value: expect.stringContaining('cut off') },
  ],
  [
    'cut off in its arguments',
    tool('a', { state: 'arguments', args: undefined }),
    { type: 'error-text', value: expect.stringContaining('cut off') },
  ],
  [
    'waiting for approval',
    tool('a', { state: 'approval' }),
    { type: 'error-text', value: expect.stringContaining('cut off') },
  ],
])('a call that %s has a result that says so', (_, part, output) => {
  const [said, results] = promptOf({ history: [message('assistant', part)], message: hi })
  expect(said).toMatchObject({ content: [{ type: 'tool-call', input: expect.any(Object) }] })
  expect(results).toMatchObject({ role: 'tool', content: [{ output }] })
})

test('what a cancelled or failed answer had said stays; what holds nothing is left out', () => {
  const history: Message[] = [
    { ...message('assistant', text('half')), status: 'cancelled' },
    { ...message('assistant'), status: 'failed' },
    message('assistant', { type: 'reasoning', text: 'hm' }, text(' \n')),
    message('user', text('')),
  ]
  expect(promptOf({ history, message: hi })).toEqual([
    { role: 'assistant', content: [{ type: 'text', text: 'half' }] },
    { role: 'user', content: [{ type: 'text', text: 'hi' }] },
  ])
})

test.each<[string, { url: string } | { data: string }, unknown]>([
  [
    'base64',
    { data: 'AQID' },
    { type: 'file', mediaType: 'image/png', data: { type: 'data', data: 'AQID' } },
  ],
  [
    'an address',
    { url: 'https://e.com/a.png' },
    { type: 'file', mediaType: 'image/png', data: { type: 'url', url: new URL('https://e.com/a.png') } },
  ],
  [
    'a data: URL',
    { url: 'data:image/png;base64,AQID' },
    { type: 'file', mediaType: 'image/png', data: { type: 'data', data: 'AQID' } },
  ],
  [
    'a file of the server',
    { url: 'file:///etc/passwd' },
    { type: 'text', text: expect.stringContaining('cannot be read') },
  ],
  ['no address', { url: 'nonsense' }, { type: 'text', text: expect.stringContaining('cannot be read') }],
])('a file given as %s becomes a part', (_, source, expected) => {
  const [first] = promptOf({
    history: [],
    message: message('user', { type: 'file', mediaType: 'image/png', ...source }),
  })
  expect(first).toEqual({ role: 'user', content: [expected] })
})

test('of any history, every call has one result, right behind the message that holds it, and no message is empty', () => {
  const state = fc.constantFrom('arguments', 'approval', 'running', 'done', 'failed')
  const parts: fc.Arbitrary<MessagePart> = fc.oneof(
    fc.string().map(text),
    fc.string().map((value): MessagePart => ({ type: 'reasoning', text: value })),
    fc
      .record({
        id: fc.uuid(),
        state,
        args: fc.jsonValue(),
        result: fc.option(fc.jsonValue(), { nil: undefined }),
      })
      .map(({ id, ...part }) => tool(id, part)),
  )
  const messages = fc.array(
    fc.record({
      role: fc.constantFrom('user' as const, 'assistant' as const),
      parts: fc.array(parts, { maxLength: 6 }),
    }),
    { maxLength: 6 },
  )
  fc.assert(
    fc.property(messages, (history) => {
      const prompt = promptOf({
        history: history.map(({ role, parts: all }) => message(role, ...all)),
        message: hi,
      })
      prompt.forEach((each, index) => {
        expect(each.content.length).toBeGreaterThan(0)
        const next = prompt[index + 1]
        const ids =
          each.role === 'assistant'
            ? each.content.flatMap((part) => (part.type === 'tool-call' ? [part.toolCallId] : []))
            : []
        const results =
          next?.role === 'tool'
            ? next.content.flatMap((part) => (part.type === 'tool-result' ? [part.toolCallId] : []))
            : []
        if (each.role !== 'tool') expect(results).toEqual(ids)
      })
    }),
  )
})
