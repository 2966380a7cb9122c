import { type AgentEvent, LIMITS } from '@turnpike/protocol'
import { expect, test } from 'vitest'
import { type Artifact, MemoryArtifactStore, createArtifacts } from '../src/artifacts.ts'

/** Artifacts on a store, and what they told. */
function setUp(store = new MemoryArtifactStore()) {
  const events: AgentEvent[] = []
  return { store, events, artifacts: createArtifacts({ store, emit: (event) => events.push(event) }) }
}

const LIST = { kind: 'list', title: 'Things', content: { items: ['a', 'b'] } }

test('what is created is version 1, stored and told with its content', async () => {
  const { artifacts, events } = setUp()
  const artifact = await artifacts.create(LIST)
  expect(artifact).toEqual({ ...LIST, id: expect.any(String), version: 1 })
  expect(events).toEqual([{ type: 'artifact-created', artifact }])
  expect(await artifacts.get(artifact.id)).toEqual(artifact)
  expect(await artifacts.get('other')).toBeUndefined()
})

test('new content makes the next version and is told as content', async () => {
  const { artifacts, events } = setUp()
  await artifacts.create({ ...LIST, id: 'x' })
  const second = await artifacts.update('x', { content: 'all new', title: 'Renamed' })
  expect(second).toEqual({ id: 'x', version: 2, kind: 'list', title: 'Renamed', content: 'all new' })
  expect(events[1]).toEqual({
    type: 'artifact-updated',
    artifact: { id: 'x', version: 2, kind: 'list', title: 'Renamed' },
    content: 'all new',
  })
  expect(await artifacts.get('x', 1)).toMatchObject({ version: 1, content: LIST.content })
  expect(await artifacts.get('x', 3)).toBeUndefined()
})

test('a patch makes the next version and is told as a patch', async () => {
  const { artifacts, events } = setUp()
  await artifacts.create({ ...LIST, id: 'x' })
  const patch = [
    { op: 'test', path: '/items/0', value: 'a' },
    { op: 'add', path: '/items/-', value: 'c' },
    { op: 'move', from: '/items/0', path: '/items/2' },
  ]
  expect(await artifacts.update('x', { patch })).toMatchObject({
    version: 2,
    content: { items: ['b', 'c', 'a'] },
  })
  const { kind, title } = LIST
  expect(events[1]).toEqual({
    type: 'artifact-updated',
    artifact: { id: 'x', version: 2, kind, title },
    patch,
  })
  await artifacts.update('x', { patch: [{ op: 'replace', path: '', value: 7 }] })
  expect(await artifacts.get('x')).toMatchObject({ version: 3, content: 7 })
})

test.each<[string, unknown[]]>([
  ['a place that is not there', [{ op: 'remove', path: '/none' }]],
  [
    'a failed test after a change',
    [
      { op: 'add', path: '/more', value: 1 },
      { op: 'test', path: '/items', value: 0 },
    ],
  ],
  ['a name in a list', [{ op: 'replace', path: '/items/first', value: 1 }]],
  ['a place below a text', [{ op: 'add', path: '/items/0/x', value: 1 }]],
  ['a pointer without its slash', [{ op: 'add', path: 'items', value: 1 }]],
  ['an operation there is not', [{ op: 'shuffle', path: '/items' }]],
  ['an operation without a path', [{ op: 'add', value: 1 }]],
  ['the prototype', [{ op: 'add', path: '/__proto__', value: { hacked: true } }]],
  ['what is no operation', ['add']],
])('a patch with %s throws and changes nothing', async (_name, patch) => {
  const { artifacts, events } = setUp()
  await artifacts.create({ ...LIST, id: 'x' })
  await expect(artifacts.update('x', { patch })).rejects.toThrow(
    'does not apply to version 1 of artifact "x"',
  )
  expect(events).toHaveLength(1)
  expect(await artifacts.get('x')).toMatchObject({ version: 1, content: LIST.content })
})

test('updates at the same time get versions of their own, also from two runs of one thread', async () => {
  const { artifacts, events, store } = setUp()
  const other = setUp(store)
  await artifacts.create({ ...LIST, id: 'x', content: [] })
  const numbers = Array.from({ length: 20 }, (_, index) => index)
  await Promise.all(
    numbers.map((value) =>
      (value % 2 ? artifacts : other.artifacts).update('x', { patch: [{ op: 'add', path: '/-', value }] }),
    ),
  )
  expect(await artifacts.get('x')).toMatchObject({ version: 21, content: numbers })
  expect(events.length + other.events.length).toBe(21)
})

test('an update that failed does not hold those behind it', async () => {
  const { artifacts } = setUp()
  await artifacts.create({ ...LIST, id: 'x' })
  const failing = artifacts.update('x', { patch: [{ op: 'remove', path: '/none' }] })
  const following = artifacts.update('x', { content: 'next' })
  await expect(failing).rejects.toThrow()
  expect(await following).toMatchObject({ version: 2 })
})

test('an unknown artifact cannot be updated, and a known one not created again', async () => {
  const { artifacts, events } = setUp()
  await expect(artifacts.update('x', { content: 1 })).rejects.toThrow('no artifact "x" in this thread')
  const made = await Promise.allSettled([1, 2].map(() => artifacts.create({ ...LIST, id: 'x' })))
  expect(made.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
  expect(events).toHaveLength(1)
})

test('content without a value is null, and a value that is not JSON is refused', async () => {
  const { artifacts, events } = setUp()
  expect(await artifacts.create({ ...LIST, content: undefined })).toMatchObject({ content: null })
  expect(await artifacts.create({ ...LIST, content: { a: undefined, b: [undefined] } })).toMatchObject({
    content: { b: [null] },
  })
  const cycle: Record<string, unknown> = {}
  cycle['self'] = cycle
  for (const content of [() => 1, 1n, Number.NaN, new Date(), { deep: [new Map()] }, cycle, Array(3)]) {
    await expect(artifacts.create({ ...LIST, content })).rejects.toThrow('Expected JSON')
  }
  expect(events).toHaveLength(2)
})

test('what would be too large an event is not stored either', async () => {
  const { artifacts, events } = setUp()
  await artifacts.create({ ...LIST, id: 'x' })
  const update = artifacts.update('x', { content: 'x'.repeat(LIMITS.eventChars) })
  await expect(update).rejects.toMatchObject({ code: 'event-too-large' })
  expect(await artifacts.get('x')).toMatchObject({ version: 1 })
  expect(events).toHaveLength(1)
})

test('what a reader does to what it got does not change what is stored', async () => {
  const { artifacts } = setUp()
  const content = { items: ['a'] }
  await artifacts.create({ ...LIST, id: 'x', content })
  content.items.push('later')
  const got = (await artifacts.get('x')) as Artifact & { content: { items: string[] } }
  got.content.items.push('mine')
  expect(await artifacts.get('x')).toMatchObject({ content: { items: ['a'] } })
})
