import type { EventOf, Message, ThreadEvent } from '@turnpike/client'
import { expect, test } from 'vitest'
import { plainJson } from '../src/terminal/plain-text.ts'
import { type Piece, Transcript } from '../src/terminal/transcript.ts'

const plain = (): Transcript => new Transcript((_, text) => text)
const envelope = {
  id: '1700000000000-0000000001' as ThreadEvent['id'],
  seq: 1,
  threadId: 't',
  runId: 'r',
  ts: 0,
}
const all = (pieces: readonly Piece[]): string => pieces.map(({ text }) => text).join('')
const answers = (pieces: readonly Piece[]): string => all(pieces.filter(({ of }) => of === 'answer'))

function delta(text: string, channel: 'answer' | 'reasoning' = 'answer'): ThreadEvent {
  return { ...envelope, type: 'text-delta', delta: text, channel }
}

function answer(text: string, status: Message['status']): Message {
  return { id: 'a', role: 'assistant', runId: 'r', parts: [{ type: 'text', text }], status, createdAt: 0 }
}

const QUESTION: Message = { ...answer('why?', 'done'), id: 'q', role: 'user' }

test('after a reset only what is new is told', () => {
  const transcript = plain()
  transcript.expect('r')
  transcript.event(delta('Once upon'))
  expect(all(transcript.history([QUESTION, answer('Once upon a time', 'open')]))).toBe(' a time')
  expect(all(transcript.history([QUESTION, answer('Once upon a time there', 'done')]))).toBe(' there\n')
  expect(transcript.history([QUESTION, answer('Once upon a time there', 'done')])).toEqual([])
})

test('a run of another device is told with its question, and a history is no answer', () => {
  const pieces = plain().history([QUESTION, answer('Because.', 'failed')])
  expect(all(pieces)).toBe('› why?\nBecause.\n(failed)\n')
  expect(answers(pieces)).toBe('')
})

test('notes break the line of an answer on the screen, and leave the answer whole', () => {
  const transcript = plain()
  const pieces = [
    delta('hm', 'reasoning'),
    delta('Once '),
    update('running', 0.1),
    delta('upon'),
    { ...envelope, type: 'tool-call-start', toolCallId: 'c', tool: 'look' } as const,
    delta('a time'),
  ].flatMap((event) => transcript.event(event))
  expect(all(pieces)).toBe('hm\nOnce \n… index: 10 %\nupon\na time')
  expect(answers(pieces)).toBe('Once upon\na time')
})

test('a lost connection and its return are one line, or two where something came between', () => {
  const transcript = plain()
  const lost = { status: 'reconnecting', attempt: 1, delayMs: 5, offline: false } as const
  const back = { status: 'open', wire: 'websocket' } as const
  const told = [lost, { status: 'connecting' } as const, lost, back, back]
  expect(told.map((state) => all(transcript.connection(state))).join('')).toBe('Reconnecting … resumed.\n')
  transcript.connection(lost)
  expect(all(transcript.note({ style: 'dim', text: 'Stopping' }))).toBe('\nStopping\n')
  expect(all(transcript.connection(back))).toBe('Resumed.\n')
})

test('progress is told at each quarter, and its end once', () => {
  const transcript = plain()
  const steps = [0, 0.1, 0.2, 0.26, 0.4, 0.5, 0.99].map((progress) => update('running', progress))
  const told = [...steps, update('done', 1), update('done', 1)].map((event) => all(transcript.event(event)))
  expect(told.filter(Boolean)).toEqual([
    '… index: 0 %\n',
    '… index: 26 %\n',
    '… index: 50 %\n',
    '… index: 99 %\n',
    '… index: done\n',
  ])
})

test('nothing that is told can command a terminal', () => {
  const evil = '\u001b]0;title\u0007\u009b2J\r\u202e'
  const tool = { toolCallId: 'c', tool: evil }
  const failure = { code: evil, message: evil }
  const artifact = { id: evil, version: 1, kind: evil, title: evil, content: evil } as const
  const transcript = plain()
  const events: ThreadEvent[] = [
    {
      ...envelope,
      type: 'start',
      agent: evil,
      input: { ...QUESTION, parts: [{ type: 'text', text: evil }] },
      messageId: 'a',
    },
    delta(evil),
    delta(evil, 'reasoning'),
    { ...envelope, type: 'tool-call-args', ...tool, delta: evil, args: { [evil]: evil } },
    { ...envelope, type: 'tool-call-result', ...tool, result: evil },
    { ...envelope, type: 'tool-call-error', ...tool, error: failure },
    { ...envelope, type: 'artifact-created', artifact },
    { ...envelope, type: 'memory-write', memory: { id: evil, text: evil, scope: evil } },
    { ...envelope, type: 'memory-recall-result', query: evil, memories: [] },
    update('running', 0.5, evil),
    { ...envelope, type: 'approval-resolved', approvalId: evil, approved: true, by: evil, reason: evil },
    { ...envelope, type: 'error', agent: evil, error: failure },
  ]
  const shown = events.map((event) => all(transcript.event(event)))
  expect(shown.every((text) => text !== '')).toBe(true)
  expect(shown.join('')).not.toMatch(/[^\P{Cc}\n\t]|\u202e/u)
  expect(plainJson({ evil })).not.toMatch(/\p{Cc}|\u202e/u)
  expect(JSON.parse(plainJson({ evil }))).toEqual({ evil })
})

function update(status: 'running' | 'done', progress: number, name = 'index'): EventOf<'run-update'> {
  return { ...envelope, type: 'run-update', background: { id: 'b', name, status, progress } }
}
