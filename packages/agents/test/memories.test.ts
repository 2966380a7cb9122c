import type { AgentEvent } from '@turnpike/protocol'
import { expect, test } from 'vitest'
import { InMemoryMemoryStore, createMemories } from '../src/memories.ts'

function setUp() {
  const events: AgentEvent[] = []
  const store = new InMemoryMemoryStore()
  return { store, events, memories: createMemories({ store, emit: (event) => events.push(event) }) }
}

test('what is written is stored and told', async () => {
  const { memories, events } = setUp()
  const memory = await memories.write('Likes green tea.')
  expect(memory).toEqual({ id: expect.any(String), text: 'Likes green tea.', scope: 'user' })
  expect(await memories.write('Asked about trains.', 'thread')).toMatchObject({ scope: 'thread' })
  expect(events[0]).toEqual({ type: 'memory-write', memory })
})

test('what is recalled is told with its query, also where there is nothing', async () => {
  const { memories, events } = setUp()
  const { id, text } = await memories.write('Likes green tea.')
  expect(await memories.recall('green TEA')).toEqual([{ id, text, score: 1 }])
  expect(await memories.recall('coffee')).toEqual([])
  expect(events.slice(1)).toEqual([
    { type: 'memory-recall-result', query: 'green TEA', memories: [{ id, text, score: 1 }] },
    { type: 'memory-recall-result', query: 'coffee', memories: [] },
  ])
})

test('the best comes first: rare words count more than common ones', async () => {
  const { memories } = setUp()
  const texts = ['Likes the sea.', 'Likes the mountains.', 'Likes the city.', 'Owns a telescope.']
  for (const text of texts) await memories.write(text)
  const found = await memories.recall('likes telescope the mountains')
  expect(found.map(({ text }) => text)).toEqual([
    'Likes the mountains.',
    'Owns a telescope.',
    'Likes the sea.',
    'Likes the city.',
  ])
  for (const { score } of found) {
    expect(score).toBeGreaterThan(0)
    expect(score).toBeLessThan(1)
  }
  expect(found.map(({ score }) => score)).toEqual(found.map(({ score }) => score).toSorted((a, b) => b - a))
})

test('of equals the older comes first, and no more come than asked for', async () => {
  const { memories } = setUp()
  for (let i = 0; i < 9; i++) await memories.write(`Same words, number n${i}.`)
  const numbers = (await memories.recall('same words')).map(({ text }) => /n\d/.exec(text)?.[0])
  expect(numbers).toEqual(['n0', 'n1', 'n2', 'n3', 'n4'])
  expect(await memories.recall('same', 7)).toHaveLength(7)
  await expect(memories.recall('same', 0)).rejects.toThrow('"limit"')
})

test.each([
  ['Größe der Straße', 'STRASSE GRÖSSE', false],
  ['Café Müller', 'café müller', true],
  ['Café', 'cafe\u0301', true],
  ['Мост через реку', 'мост', true],
  ['我喜欢绿茶', '绿茶', true],
  ['Platform 9', '9', true],
  ['Thirteen', 'teen', false],
])('%s is found by %s: %s', async (text, query, isFound) => {
  const { memories } = setUp()
  await memories.write(text)
  expect(await memories.recall(query)).toHaveLength(isFound ? 1 : 0)
})

test('a query without words finds nothing, and a memory without text is refused', async () => {
  const { memories, events } = setUp()
  await memories.write('constructor __proto__')
  expect(await memories.recall('… ?!')).toEqual([])
  expect(await memories.recall('constructor')).toHaveLength(1)
  await expect(memories.write('  ')).rejects.toThrow('needs a text')
  expect(events).toHaveLength(3)
})

test('saving a memory again replaces it', async () => {
  const { store } = setUp()
  await store.save({ id: 'm', text: 'old words', scope: 'user' })
  await store.save({ id: 'm', text: 'new words', scope: 'user' })
  expect(await store.search('old', 5)).toEqual([])
  expect(await store.search('new', 5)).toEqual([{ id: 'm', text: 'new words', score: 1 }])
})
