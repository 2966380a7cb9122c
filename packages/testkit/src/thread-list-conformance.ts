import type { Store } from '@turnpike/gateway'
import type { ThreadPage, ThreadSummary } from '@turnpike/gateway/store'
import * as fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { ODD_TEXTS, messageOf, runOf, threadOf, turnOf } from './store-records.ts'

/** How the threads of every store are listed and searched. */
export function threadListConformance(open: () => Promise<Store>): void {
  test('a thread is made once, with its first title', async () => {
    await using bench = await setUp(open)
    const { threads } = bench.store
    const thread = threadOf('ann', 't')
    expect(await threads.has(thread)).toBe(false)
    await Promise.all([threads.open(thread, 'First'), threads.open(thread, 'Second')])
    expect(await threads.has(thread)).toBe(true)
    expect(await threads.has(threadOf('bob', 't'))).toBe(false)
    const [summary, ...others] = await threads.list('ann', { limit: 5 })
    expect(others).toEqual([])
    expect(summary).toEqual({
      id: 't',
      title: 'First',
      createdAt: summary?.updatedAt,
      updatedAt: expect.any(Number),
    })
    expect(await threads.list('bob', { limit: 5 })).toEqual([])
  })

  test('a thread changes with its messages, not with its runs', async () => {
    await using bench = await setUp(open)
    const { store } = bench
    vi.useFakeTimers({ toFake: ['Date'], now: 1_000 })
    const [a, b] = [threadOf('ann', 'a'), threadOf('ann', 'b')]
    await store.threads.open(a, '')
    vi.setSystemTime(2_000)
    await store.threads.open(b, '')
    vi.setSystemTime(3_000)
    await store.runs.create(runOf(a, 'r'))
    await store.runs.update({ thread: a, id: 'r' }, { state: 'running' })
    expect((await store.threads.list('ann', { limit: 5 })).map(({ id }) => id)).toEqual(['b', 'a'])
    await store.runs.update({ thread: a, id: 'r' }, {}, turnOf('r', 1, ['q', 'a']))
    expect(await store.threads.list('ann', { limit: 5 })).toEqual([
      { id: 'a', title: '', createdAt: 1_000, updatedAt: 3_000 },
      { id: 'b', title: '', createdAt: 2_000, updatedAt: 2_000 },
    ])
  })

  test('an answer is found once it is not open any more, by its text alone, as it is now', async () => {
    await using bench = await setUp(open)
    const { store } = bench
    const thread = threadOf('ann', 't')
    await store.threads.open(thread, 'A title')
    await store.runs.create(runOf(thread, 'r'))
    const write = (text: string, status: 'open' | 'done'): Promise<void> => {
      const reasoning = { type: 'reasoning', text: 'hidden' } as const
      const parts = [reasoning, { type: 'text', text } as const]
      const message = messageOf('out', '', { role: 'assistant', status, parts })
      return store.runs.update({ thread, id: 'r' }, {}, [{ seq: 1, message }])
    }
    await write('green', 'open')
    expect(await idsOf(store, 'green')).toEqual([])
    await write('green teapot', 'done')
    for (const search of ['green', 'GREEN teapot', 'teapot green', 'tea', 'green teap']) {
      expect(await idsOf(store, search)).toEqual(['t'])
    }
    for (const search of ['hidden', 'pot', 'gree teapot', 'green coffee']) {
      expect(await idsOf(store, search)).toEqual([])
    }
    await write('black coffee', 'done')
    expect(await idsOf(store, 'teapot')).toEqual([])
    expect(await idsOf(store, 'coffee')).toEqual(['t'])
  })

  test('any text may be looked for, and finds itself and nobody else', async () => {
    await using bench = await setUp(open)
    const { store } = bench
    for (const [index, text] of ODD_TEXTS.entries())
      await store.threads.open(threadOf(text, `t${index}`), text)
    for (const [index, text] of ODD_TEXTS.entries()) {
      const hasWord = /[\p{L}\p{N}\p{Extended_Pictographic}]/u.test(text)
      if (hasWord) expect(await idsOf(store, text, text)).toEqual([`t${index}`])
      else await store.threads.list(text, { limit: 5, search: text })
      expect(await idsOf(store, text, 'eve')).toEqual([])
    }
    expect(await idsOf(store, '?! …', '__proto__')).toEqual([])
    expect(await idsOf(store, '  ', '__proto__')).toEqual(['t0'])
    expect(await idsOf(store, 'word '.repeat(100_000), '__proto__')).toEqual([])
  })

  test('words of a language without spaces are found', async () => {
    await using bench = await setUp(open)
    const { store } = bench
    await store.threads.open(threadOf('ann', 'zh'), '我喜欢绿茶, iPhone手机')
    await store.threads.open(threadOf('ann', 'th'), 'ฉันชอบชาเขียว')
    expect(await idsOf(store, '绿茶')).toEqual(['zh'])
    expect(await idsOf(store, '喜欢 iphone')).toEqual(['zh'])
    expect(await idsOf(store, '红茶')).toEqual([])
    expect(await idsOf(store, 'ชอบ')).toEqual(['th'])
  })

  test('pages join to the whole list, whatever is listed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), question, async (steps, asked) => {
        await using bench = await setUp(open)
        vi.useFakeTimers({ toFake: ['Date'], now: 1_000 })
        const model = new Model()
        for (const [index, taken] of steps.entries()) await take(bench.store, model, { ...taken, index })
        const { owner, limit, words } = asked
        const search = words.length > 0 ? { search: words.join(' ') } : {}
        const expected = model.list(owner, words)
        expect(await bench.store.threads.list(owner, { limit: 100, ...search })).toEqual(expected)
        const pages = await pagesOf(bench.store, owner, { limit, ...search })
        expect(pages.flat()).toEqual(expected)
        expect(pages.slice(0, -1).every((page) => page.length === limit)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })
}

const WORDS = ['tea', 'Teapot', 'green', 'über', '茶', '🎉', 'x1', 'x12']
const texts = fc.array(fc.constantFrom(...WORDS), { maxLength: 4 })
const owners = fc.constantFrom('ann', 'bob')
const step = fc.record({
  owner: owners,
  id: fc.constantFrom('a', 'B', 'é', '😀', '\uffee'),
  words: texts,
  ms: fc.constantFrom(0, 0, 1),
})
const question = fc.record({
  owner: owners,
  limit: fc.integer({ min: 1, max: 3 }),
  words: fc.array(fc.constantFrom(...WORDS, 't', 'te', 'gre', 'x', 'ü'), { maxLength: 3 }),
})

type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never

/** The same as a store, in the plainest way there is. */
class Model {
  readonly #threads = new Map<string, { owner: string; summary: ThreadSummary; texts: string[][] }>()

  write({ owner, id, words }: Step, title: string): void {
    const key = JSON.stringify([owner, id])
    const now = Date.now()
    const known = this.#threads.get(key)
    const summary = known?.summary ?? { id, title, createdAt: now, updatedAt: now }
    const texts = known?.texts ?? [title.toLowerCase().split(' ')]
    const written = [...texts, words.map((word) => word.toLowerCase())]
    this.#threads.set(key, { owner, summary: { ...summary, updatedAt: now }, texts: written })
  }

  list(owner: string, words: readonly string[]): ThreadSummary[] {
    // A word that was said before is not said again, so it is not the last one.
    const wanted = [...new Set(words.map((word) => word.toLowerCase()))]
    const last = wanted.pop()
    const fits = (text: string[]): boolean =>
      wanted.every((word) => text.includes(word)) &&
      (last === undefined || text.some((word) => word.startsWith(last)))
    return [...this.#threads.values()]
      .filter((thread) => thread.owner === owner && thread.texts.some(fits))
      .map(({ summary }) => summary)
      .toSorted((a, b) => b.updatedAt - a.updatedAt || Buffer.compare(Buffer.from(a.id), Buffer.from(b.id)))
  }
}

async function take(store: Store, model: Model, taken: Step & { index: number }): Promise<void> {
  const thread = threadOf(taken.owner, taken.id)
  const id = `r${taken.index}`
  const title = `${taken.words[0] ?? ''} title`.trim()
  await store.threads.open(thread, title)
  await store.runs.create(runOf(thread, id))
  const message = messageOf(`m${taken.index}`, taken.words.join(' '))
  await store.runs.update({ thread, id }, {}, [{ seq: taken.index + 1, message }])
  model.write(taken, title)
  vi.setSystemTime(Date.now() + taken.ms)
}

async function pagesOf(store: Store, owner: string, page: ThreadPage): Promise<(readonly ThreadSummary[])[]> {
  const pages = []
  let before: ThreadPage['before']
  do {
    const found = await store.threads.list(owner, { ...page, ...(before && { before }) })
    const last = found.at(-1)
    pages.push(found)
    before = last && { updatedAt: last.updatedAt, id: last.id }
  } while (before)
  return pages.slice(0, -1)
}

async function setUp(open: () => Promise<Store>): Promise<AsyncDisposable & { store: Store }> {
  const store = await open()
  return { store, [Symbol.asyncDispose]: () => store.close() }
}

async function idsOf(store: Store, search: string, owner = 'ann'): Promise<string[]> {
  return (await store.threads.list(owner, { limit: 100, search })).map(({ id }) => id)
}
