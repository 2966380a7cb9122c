import { type Message, LIMITS, mintEventId } from '@turnpike/protocol'
import { threadStream } from '@turnpike/protocol/thread-stream'
import { ANONYMOUS, threadRef } from '@turnpike/gateway'
import { ThreadWindow, Ticker } from '@turnpike/gateway/log-port'
import { type StoredMessage, type ThreadStore } from '@turnpike/gateway/store'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { TestLink } from '@turnpike/testkit'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type HistoryPage, readHistory } from '../src/logs/history.ts'
import { encodingOf } from '../src/logs/slab.ts'
import { storeMessages } from './harness.ts'

const thread = threadRef(ANONYMOUS, 't')

function entry(id: string, seq: number, text = id): StoredMessage {
  const message: Message = { id, role: 'user', parts: [{ type: 'text', text }], status: 'done', createdAt: 0 }
  return { message, seq }
}

async function storeOf(entries: readonly StoredMessage[]): Promise<ThreadStore> {
  const store = sqliteStore()
  await storeMessages(store, thread, entries)
  return store.threads
}

test('a history ends at its head, although the store is ahead of it already', async () => {
  const store = await storeOf([entry('old', 1), entry('now', 5, 'finished'), entry('later', 9)])
  const snapshot = { head: mintEventId(0, 7), messages: [entry('now', 5, 'still open')] }
  const { head, history } = await readHistory(store, thread, {
    snapshot,
    limits: LIMITS,
    reasoning: true,
    limit: 10,
  })
  expect(head).toBe(snapshot.head)
  expect(history).toEqual([entry('old', 1).message, entry('now', 5, 'still open').message])
})

test('a history has what the log tells and the store has not got yet, in its place', async () => {
  const store = await storeOf([entry('old', 1)])
  const snapshot = { head: mintEventId(0, 9), messages: [entry('newest', 6), entry('new', 5)] }
  const { history, more } = await readHistory(store, thread, {
    snapshot,
    limits: LIMITS,
    reasoning: true,
    limit: 10,
  })
  expect(history.map((message) => message.id)).toEqual(['old', 'new', 'newest'])
  expect(more).toBeUndefined()
})

test('a history without reasoning has the text around it in one part, as live readers have it', async () => {
  const said = entry('a', 1, 'one ')
  said.message.parts.push({ type: 'reasoning', text: 'hm' }, { type: 'text', text: 'two' })
  const store = await storeOf([said])
  const snapshot = { head: mintEventId(0, 7), messages: [] }
  const { history } = await readHistory(store, thread, { snapshot, limits: LIMITS, reasoning: false })
  expect(history[0]?.parts).toEqual([{ type: 'text', text: 'one two' }])
})

test('a history is bounded in messages and in characters, and the latest turn is whole', async () => {
  const snapshot = { head: mintEventId(0, 99), messages: [] }
  const many = await storeOf(Array.from({ length: 20 }, (_, i) => entry(`m${i}`, i + 1)))
  const page = await readHistory(many, thread, { snapshot, limits: LIMITS, reasoning: true, limit: 5 })
  expect(page.history.map((message) => message.id)).toEqual(['m15', 'm16', 'm17', 'm18', 'm19'])
  expect(page).toMatchObject({ more: true, before: 16 })

  const huge = 'x'.repeat(LIMITS.historyChars)
  const large = await storeOf([
    entry('a', 1, huge),
    entry('b', 2, 'small'),
    entry('q', 3, huge),
    entry('r', 3, huge),
  ])
  const { history } = await readHistory(large, thread, {
    snapshot,
    limits: LIMITS,
    reasoning: true,
    limit: 50,
  })
  expect(history.map((message) => message.id)).toEqual(['q', 'r'])
})

test('the bytes kept for readers are let go with the events they stand for', () => {
  const window = new ThreadWindow(
    't',
    { head: mintEventId(0, 0) },
    {
      limits: { ...LIMITS, logBytes: 200_000 },
      ticker: new Ticker(),
    },
  )
  const encoding = encodingOf({ dialect: threadStream, framing: new TestLink().framing, reasoning: false })
  for (let i = 0; i < 5_000; i++) {
    window.append({ type: 'text-delta', runId: 'r', delta: `word ${i} `, channel: 'answer' }, 0)
    window.slab(encoding, i)
  }
  expect(window.floorSeq).toBeGreaterThan(2_500)
  // A page is let go as a whole.
  expect(window.slab(encoding, 5_000).firstSeq).toBeGreaterThan(window.floorSeq - 500)
})

test('a history has reasoning for those who ask for it', async () => {
  const parts = [{ type: 'reasoning', text: 'hm' } as const, { type: 'text', text: 'answer' } as const]
  const message: Message = { id: 'a', role: 'assistant', parts, status: 'done', createdAt: 0 }
  const store = await storeOf([{ message, seq: 1 }])
  const snapshot = { head: mintEventId(0, 9), messages: [] }
  for (const reasoning of [true, false]) {
    const { history } = await readHistory(store, thread, { snapshot, limits: LIMITS, reasoning })
    expect(history[0]?.parts).toEqual(reasoning ? parts : parts.slice(1))
  }
})

test('a history reads a little more than it tells, however long the thread is', async () => {
  const large = 'x'.repeat(LIMITS.historyChars / 4)
  const store = await storeOf(Array.from({ length: 60 }, (_, i) => entry(`m${i}`, i + 1, large)))
  let read = 0
  const counting: Pick<ThreadStore, 'messages'> = {
    async messages(ref, page) {
      const messages = await store.messages(ref, page)
      read += messages.length
      return messages
    },
  }
  const snapshot = { head: mintEventId(0, 99), messages: [] }
  const options = { snapshot, limits: LIMITS, reasoning: true }
  const { history, more } = await readHistory({ ...store, ...counting }, thread, options)
  expect(history.map((message) => message.id)).toEqual(['m56', 'm57', 'm58', 'm59'])
  expect(more).toBe(true)
  expect(read).toBeLessThan(20)
})

test('pages of a history, from the last to the first, are the thread', async () => {
  const turn = fc.record({ chars: fc.integer({ min: 1, max: 40 }), hasAnswer: fc.boolean() })
  await fc.assert(
    fc.asyncProperty(
      fc.array(turn, { minLength: 10, maxLength: 40 }),
      fc.integer({ min: 1, max: 30 }),
      fc.integer({ min: 1, max: 2_000 }),
      async (turns, limit, historyChars) => {
        const entries = turns.flatMap(({ chars, hasAnswer }, i) => [
          entry(`q${i}`, i + 1, 'x'.repeat(chars)),
          ...(hasAnswer ? [entry(`r${i}`, i + 1, 'y'.repeat(chars))] : []),
        ])
        const store = await storeOf(entries)
        const snapshot = { head: mintEventId(0, 99), messages: [] }
        const told: string[] = []
        for (let before: number | undefined = 99; before !== undefined;) {
          const options = { snapshot, limits: { ...LIMITS, historyChars }, reasoning: true, limit, before }
          const page: HistoryPage = await readHistory(store, thread, options)
          told.unshift(...page.history.map((message) => message.id))
          before = page.before
        }
        expect(told).toEqual(entries.map(({ message }) => message.id))
      },
    ),
    { numRuns: 60 },
  )
})
