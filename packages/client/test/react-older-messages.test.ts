import { type EventId, type Message, ORIGIN } from '@turnpike/protocol'
import { expect, test } from 'vitest'
import { OlderMessages } from '../src/react/older-messages.ts'
import type { MessagePage } from '../src/threads.ts'

const HEAD: EventId = ORIGIN

const range = (first: number, last: number, open?: number): Message[] =>
  Array.from({ length: last - first + 1 }, (_, index) => ({
    id: `m${first + index}`,
    role: 'assistant',
    parts: [],
    status: first + index === open ? 'open' : 'done',
    createdAt: first + index,
  }))

const idsOf = (...lists: readonly (readonly Message[])[]): string[] => lists.flat().map(({ id }) => id)

/** Serves messages 1 to `last` as the gateway does. */
function serving(last: number): OlderMessages {
  return new OlderMessages(({ limit, before = last + 1 }) => {
    const first = Math.max(1, before - limit)
    const page: MessagePage = { messages: range(first, before - 1), head: HEAD }
    return Promise.resolve(first > 1 ? { ...page, before: first } : page)
  })
}

test('a window that moved leaves no hole: what it has left behind stays', () => {
  const older = serving(300)
  older.rebase(range(291, 300), { shown: [], more: true })
  older.rebase(range(295, 304), { shown: range(291, 300), more: true })
  expect(idsOf(older.messages)).toEqual(idsOf(range(291, 294)))
  expect(older.hasMore).toBe(true)
})

test.each([
  ['overlaps the one before', 6],
  ['is far behind the one before', 290],
])('a window that %s is loaded up to without a hole', async (_, moved) => {
  const older = serving(10 + moved)
  const before = range(5, 10)
  older.rebase(before, { shown: [], more: true })
  const live = range(5 + moved, 10 + moved)
  older.rebase(live, { shown: before, more: true })
  while (older.hasMore) await older.load([...older.messages, ...live])
  expect(idsOf(older.messages, live)).toEqual(idsOf(range(1, 10 + moved)))
})

test('a message that was open when it left the window is read again', async () => {
  const older = serving(12)
  older.rebase(range(5, 8), { shown: [], more: true })
  const live = range(9, 12)
  older.rebase(live, { shown: [...range(5, 8, 6), ...range(9, 9)], more: true })
  expect(idsOf(older.messages)).toEqual(['m7', 'm8'])
  await older.load([...older.messages, ...live])
  expect(idsOf(older.messages, live)).toEqual(idsOf(range(1, 12)))
  expect(older.messages.every(({ status }) => status === 'done')).toBe(true)
})

test('a page that a reset made useless does not let the next one be asked for twice', async () => {
  const answers: (() => void)[] = []
  const page: MessagePage = { messages: range(1, 4), head: HEAD }
  const older = new OlderMessages(() => new Promise((resolve) => answers.push(() => resolve(page))))
  const live = range(5, 8)
  older.rebase(live, { shown: [], more: true })
  const first = older.load(live)
  older.rebase(live, { shown: live, more: true })
  const second = older.load(live)
  answers[0]?.()
  await first
  const third = older.load(live)
  for (const answer of answers.slice(1)) answer()
  await Promise.all([second, third])
  expect(answers).toHaveLength(2)
  expect(idsOf(older.messages)).toEqual(['m1', 'm2', 'm3', 'm4'])
})
