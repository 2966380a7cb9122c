import { InMemoryMemoryStore, type MemoryStore } from '@turnpike/agents/host'
import type { Store } from '@turnpike/gateway'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { ODD_TEXTS, threadOf } from './store-records.ts'

/** What the memories of every store keep. */
export function memoryConformance(open: () => Promise<Store>): void {
  test('memories are of one principal, those of a thread in that thread alone', async () => {
    await using bench = await setUp(open)
    const { store } = bench
    const here = store.memories(threadOf('ann', 't'), 'ann')
    await here.save({ id: '1', text: 'tea everywhere', scope: 'user' })
    await here.save({ id: '2', text: 'tea for projects', scope: 'project' })
    await here.save({ id: '3', text: 'tea in this thread', scope: 'thread' })
    const there = store.memories(threadOf('ann', 'other'), 'ann')
    expect(await idsOf(here)).toEqual(['1', '2', '3'])
    expect(await idsOf(there)).toEqual(['1', '2'])
    expect(await idsOf(store.memories(threadOf('bob', 't'), 'ann'))).toEqual(['1', '2'])
    // Whoever else writes in the thread has memories of their own.
    const guest = store.memories(threadOf('ann', 't'), 'bob')
    await guest.save({ id: '1', text: 'tea of bob', scope: 'thread' })
    expect(await guest.search('tea', 9)).toEqual([{ id: '1', text: 'tea of bob', score: 1 }])
    expect(await idsOf(here)).toEqual(['1', '2', '3'])
  })

  test('a memory saved again is replaced', async () => {
    await using bench = await setUp(open)
    const memories = bench.store.memories(threadOf('ann', 't'), 'ann')
    await memories.save({ id: 'm', text: 'old tea words', scope: 'user' })
    await memories.save({ id: 'm', text: 'new tea words', scope: 'user' })
    expect(await memories.search('old', 5)).toEqual([])
    expect(await memories.search('new', 5)).toEqual([{ id: 'm', text: 'new tea words', score: 1 }])
    expect(await memories.search('tea', 5)).toHaveLength(1)
  })

  test('any text may be remembered and looked for', async () => {
    await using bench = await setUp(open)
    const memories = bench.store.memories(threadOf('ann', 't'), 'ann')
    for (const [index, text] of ODD_TEXTS.entries())
      await memories.save({ id: `${index}`, text, scope: text })
    for (const text of ODD_TEXTS) {
      const found = await memories.search(text, ODD_TEXTS.length)
      for (const { score } of found) expect(score > 0 && score <= 1).toBe(true)
      if (/[\p{L}\p{N}]/u.test(text)) expect(found.map((memory) => memory.text)).toContain(text)
    }
    expect(await memories.search('… ?!', 5)).toEqual([])
  })

  test('memories are scored as those of the store in memory', async () => {
    const word = fc.constantFrom('tea', 'Tea', 'green', 'sea', 'city', '绿茶', 'über', 'x')
    const text = fc.array(word, { minLength: 1, maxLength: 6 }).map((words) => words.join(' '))
    await fc.assert(
      fc.asyncProperty(fc.array(text, { maxLength: 12 }), text, async (texts, query) => {
        await using bench = await setUp(open)
        const memories = bench.store.memories(threadOf('ann', 't'), 'ann')
        const model = new InMemoryMemoryStore()
        for (const [index, memory] of texts.entries()) {
          const saved = { id: `m${index % 9}`, text: memory, scope: 'user' }
          await memories.save(saved)
          await model.save(saved)
        }
        const expected = await model.search(query, 5)
        const found = await memories.search(query, 5)
        expect(found.map(({ id }) => id)).toEqual(expected.map(({ id }) => id))
        for (const [index, { score }] of found.entries())
          expect(score).toBeCloseTo(expected[index]?.score ?? -1)
      }),
      { numRuns: 30 },
    )
  })
}

async function setUp(open: () => Promise<Store>): Promise<AsyncDisposable & { store: Store }> {
  const store = await open()
  return { store, [Symbol.asyncDispose]: () => store.close() }
}

async function idsOf(memories: MemoryStore): Promise<string[]> {
  return (await memories.search('tea', 9)).map(({ id }) => id).toSorted()
}
