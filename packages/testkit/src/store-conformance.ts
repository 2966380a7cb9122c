import { type Store } from '@turnpike/gateway'
import { OWNERS } from '@turnpike/gateway/store'
import { seqOf } from '@turnpike/protocol'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { memoryConformance } from './memory-conformance.ts'
import { messageConformance, numberingConformance, runConformance } from './run-conformance.ts'
import { setUpStore } from './store-bench.ts'
import { ODD_TEXTS, runOf, threadOf, turnOf } from './store-records.ts'
import { threadListConformance } from './thread-list-conformance.ts'

export interface StoreUnderTest {
  readonly name: string
  /** Opens a store that has nothing in it. */
  readonly open: () => Promise<Store>
  /** Closes a store and opens it again; for those that outlive the process. */
  readonly reopen?: (store: Store) => Promise<Store>
}

/** What every {@link Store} keeps, whatever it is made of. Its clock has to be that of this process. */
export function storeConformance({ name, open, reopen }: StoreUnderTest): void {
  describe(`${name}: a store`, () => {
    afterEach(() => void vi.useRealTimers())
    threadListConformance(open)
    messageConformance(open)
    numberingConformance(open)
    runConformance(open)
    approvalConformance(open)
    ticketConformance(open)
    artifactConformance(open)
    memoryConformance(open)
    lifeConformance(open, reopen)
  })
}

type Open = StoreUnderTest['open']

function approvalConformance(open: Open): void {
  test('an approval is kept with what was decided', async () => {
    await using bench = await setUpStore(open)
    const { store, thread } = bench
    const first = { thread, runId: 'r1', id: 'z', toolCallId: 'c1', tool: 'pay', expiresAt: 5 }
    const second = { ...first, id: 'a', toolCallId: 'c2' }
    await store.approvals.save(first)
    await store.approvals.save(second)
    const decision = { approvalId: 'z', toolCallId: 'c1', approved: true, by: 'bob', reason: 'yes "yes"' }
    await store.approvals.save({ ...first, decision })
    expect(await store.approvals.find('ann', 'z')).toEqual({ ...first, decision })
    expect(await store.approvals.ofRun('ann', 'r1')).toEqual([{ ...first, decision }, second])
    expect(await store.approvals.find('bob', 'z')).toBeUndefined()
    expect(await store.approvals.ofRun('bob', 'r1')).toEqual([])
    expect(await store.approvals.find('ann', 'missing')).toBeUndefined()
  })
}

function ticketConformance(open: Open): void {
  test('a ticket is given to one of twenty who ask at once', async () => {
    await using bench = await setUpStore(open)
    const { tickets } = bench.store
    const ticket = { principal: { id: 'ann', roles: ['x'] }, expiresAt: Date.now() + 60_000 }
    await tickets.save('plain', ticket)
    await tickets.save('bound', { ...ticket, credentialExpiresAt: 99 })
    const taken = await Promise.all(Array.from({ length: 20 }, () => tickets.take('plain')))
    expect(taken.filter((found) => found !== undefined)).toEqual([ticket])
    expect(await tickets.take('bound')).toEqual({ ...ticket, credentialExpiresAt: 99 })
    expect(await tickets.take('never')).toBeUndefined()
  })

  test('tickets that have expired are let go of', async () => {
    await using bench = await setUpStore(open)
    const { tickets } = bench.store
    vi.useFakeTimers({ toFake: ['Date'], now: 1_000 })
    await tickets.save('old', { principal: { id: 'ann' }, expiresAt: 2_000 })
    vi.setSystemTime(3_000)
    await tickets.save('new', { principal: { id: 'ann' }, expiresAt: 4_000 })
    expect(await tickets.take('old')).toBeUndefined()
    expect(await tickets.take('new')).toBeDefined()
  })
}

function artifactConformance(open: Open): void {
  test('every version of an artifact is kept, and the latest is the one', async () => {
    await using bench = await setUpStore(open)
    const artifacts = bench.store.artifacts(bench.thread)
    const first = { id: 'a', version: 1, kind: 'code', title: 'One', content: { text: "it's" } }
    const versions = Array.from({ length: 11 }, (_, index) => ({
      ...first,
      version: index + 1,
      content: index,
    }))
    for (const version of versions.toReversed()) await artifacts.save(version)
    expect(await artifacts.load('a')).toEqual(versions[10])
    expect(await artifacts.load('a', 2)).toEqual(versions[1])
    await artifacts.save({ ...first, title: 'Again' })
    expect(await artifacts.load('a', 1)).toEqual({ ...first, title: 'Again' })
    expect(await artifacts.load('a', 12)).toBeUndefined()
    expect(await artifacts.load('b')).toBeUndefined()
    expect(await bench.store.artifacts(threadOf('ann', 'other')).load('a')).toBeUndefined()
    expect(await bench.store.artifacts(threadOf('bob', 't')).load('a')).toBeUndefined()
  })

  test('all who want the artifacts of a thread share one object', async () => {
    await using bench = await setUpStore(open)
    const artifacts = bench.store.artifacts(bench.thread)
    expect(bench.store.artifacts(threadOf('ann', 't'))).toBe(artifacts)
    expect(bench.store.artifacts(threadOf('bob', 't'))).not.toBe(artifacts)
  })
}

function lifeConformance(open: Open, reopen: StoreUnderTest['reopen']): void {
  test('names an owner once each who has an id, the oldest first, and no more than it should', async () => {
    await using bench = await setUpStore(open)
    const { store } = bench
    const owners = Array.from({ length: OWNERS + 3 }, (_, index) => `owner ${9 * (index % 3)} ${index}`)
    for (const owner of owners) {
      const thread = threadOf(owner, 'same')
      await store.threads.open(thread, '')
      await store.runs.create(runOf(thread, 'same'))
      const approval = { thread, runId: 'same', id: 'same', toolCallId: 'c', tool: 't', expiresAt: 1 }
      await store.approvals.save(approval)
      await store.approvals.save(approval)
    }
    for (const port of [store.threads, store.runs, store.approvals]) {
      expect(await port.owners('same')).toEqual(owners.slice(0, OWNERS))
      expect(await port.owners('missing')).toEqual([])
    }
  })

  test('any text may be an owner, an id, or a title, and no two of them meet', async () => {
    await using bench = await setUpStore(open)
    const { store } = bench
    for (const odd of ODD_TEXTS) {
      const thread = threadOf(odd, odd)
      await store.threads.open(thread, odd)
      await store.runs.create(runOf(thread, odd, { fingerprint: odd }))
      await store.runs.update({ thread, id: odd }, { parked: odd }, turnOf(odd, 1, [odd, odd]))
    }
    for (const odd of ODD_TEXTS) {
      const thread = threadOf(odd, odd)
      expect(await store.threads.list(odd, { limit: 9 })).toMatchObject([{ id: odd, title: odd }])
      expect(await store.runs.find(odd, odd)).toEqual(runOf(thread, odd, { fingerprint: odd, parked: odd }))
      expect(await store.threads.messages(thread, { limit: 9 })).toEqual(turnOf(odd, 1, [odd, odd]))
      expect(await store.threads.owners(odd)).toEqual([odd])
    }
  })

  test('a store that was closed says so, and may be closed twice', async () => {
    const store = await open()
    const thread = threadOf('ann', 't')
    const opened = store.threads.open(thread, 'A title')
    await Promise.all([store.close(), store.close()])
    await opened
    await expect(store.threads.has(thread)).rejects.toThrow('closed')
  })

  if (!reopen) return

  test('everything is there after a restart', async () => {
    const before = await open()
    expect(before.isDurable).toBe(true)
    const thread = threadOf('ann', 't')
    await before.threads.open(thread, 'A title')
    const turn = turnOf('r1', 1, ['A question', 'teapots'])
    await before.runs.create(runOf(thread, 'r1'))
    await before.runs.update({ thread, id: 'r1' }, { state: 'parked', parked: 'state' }, turn)
    const approval = { thread, runId: 'r1', id: 'a', toolCallId: 'c', tool: 't', expiresAt: 1 }
    await before.approvals.save(approval)
    await before.numbering.reserve(thread, 30)
    const ticket = { principal: { id: 'ann' }, expiresAt: Date.now() + 60_000 }
    await before.tickets.save('digest', ticket)
    const artifact = { id: 'a', version: 1, kind: 'code', title: 'One', content: [1] }
    await before.artifacts(thread).save(artifact)
    await before.memories(thread, 'ann').save({ id: 'm', text: 'Likes tea', scope: 'user' })

    const store = await reopen(before)
    const [summary] = await store.threads.list('ann', { limit: 5 })
    expect(summary).toMatchObject({ id: 't', title: 'A title' })
    expect(await store.threads.list('ann', { limit: 5, search: 'teapot' })).toEqual([summary])
    expect(await store.threads.messages(thread, { limit: 5 })).toEqual(turn)
    expect(await store.runs.unfinished()).toEqual([runOf(thread, 'r1', { state: 'parked', parked: 'state' })])
    const { head, open: messages } = await store.numbering.resume(thread)
    expect(seqOf(head)).toBe(30)
    expect(messages).toEqual(turn)
    expect(await store.approvals.find('ann', 'a')).toEqual(approval)
    expect(await store.tickets.take('digest')).toEqual(ticket)
    expect(await store.artifacts(thread).load('a')).toEqual(artifact)
    const found = await store.memories(thread, 'ann').search('tea', 5)
    expect(found).toEqual([{ id: 'm', text: 'Likes tea', score: 1 }])
    await store.close()
  })
}
