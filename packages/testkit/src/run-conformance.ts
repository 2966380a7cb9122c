import type { Store } from '@turnpike/gateway'
import { type Message, ORIGIN, mintEventId, parseEventId, seqOf } from '@turnpike/protocol'
import { expect, test, vi } from 'vitest'
import { setUpStore } from './store-bench.ts'
import { ODD_TEXTS, messageOf, runOf, threadOf, turnOf } from './store-records.ts'

/** How every store keeps the messages that runs write. */
export function messageConformance(open: () => Promise<Store>): void {
  test('messages come oldest first, a question before its answer, in pages from the end', async () => {
    await using bench = await setUpStore(open)
    const { store, thread } = bench
    const turns = [5, 9, 23].map((seq) => turnOf(`r${seq}`, seq, [`question ${seq}`, `answer ${seq}`]))
    // The order they are written in does not matter.
    for (const turn of turns.toReversed()) {
      const id = turn[0]?.message.runId ?? ''
      await store.runs.create(runOf(thread, id))
      await store.runs.update({ thread, id }, {}, turn.toReversed())
    }
    const all = turns.flat()
    expect(await store.threads.messages(thread, { limit: 100 })).toEqual(all)
    expect(await store.threads.messages(thread, { limit: Infinity, before: Infinity })).toEqual(all)
    expect(await store.threads.messages(thread, { limit: 3 })).toEqual(all.slice(3))
    expect(await store.threads.messages(thread, { limit: 3, before: 23 })).toEqual(all.slice(1, 4))
    expect(await store.threads.messages(thread, { limit: 3, before: 5 })).toEqual([])
    expect(await store.threads.messages(threadOf('bob', 't'), { limit: 3 })).toEqual([])
  })

  test('a message of the same id is replaced, of another thread it is another one', async () => {
    await using bench = await setUpStore(open)
    const { store, thread } = bench
    const open1 = messageOf('m', 'so far', { role: 'assistant', status: 'open' })
    await store.runs.update({ thread, id: 'r1' }, {}, [{ seq: 1, message: open1 }])
    const done = { ...open1, parts: [{ type: 'text', text: 'all' } as const], status: 'done' as const }
    await store.runs.update({ thread, id: 'r1' }, {}, [{ seq: 1, message: done }])
    const other = threadOf('ann', 'other')
    await store.threads.open(other, '')
    await store.runs.create(runOf(other, 'r2'))
    await store.runs.update({ thread: other, id: 'r2' }, {}, [{ seq: 7, message: open1 }])
    expect(await store.threads.messages(thread, { limit: 5 })).toEqual([{ seq: 1, message: done }])
    expect(await store.threads.messages(other, { limit: 5 })).toEqual([{ seq: 7, message: open1 }])
  })

  test('messages come back exactly as they were', async () => {
    await using bench = await setUpStore(open)
    const { store, thread } = bench
    const args = JSON.parse('{"__proto__":{"a":null},"deep":[1.5,"\\u0000",{"":false}]}')
    const parts = [
      ...ODD_TEXTS.map((text) => ({ type: 'text' as const, text })),
      { type: 'tool' as const, toolCallId: 'c', tool: 'x', args, state: 'done' as const },
      { type: 'text' as const, text: 'half a surrogate \ud83d, and a NUL \u0000' },
    ]
    const message = messageOf('odd', '', { parts })
    await store.runs.update({ thread, id: 'r1' }, {}, [{ seq: 1, message }])
    const [stored] = await store.threads.messages(thread, { limit: 1 })
    expect(JSON.stringify(stored?.message)).toBe(JSON.stringify(message))
  })
}

/** How the numbers of events go on in every store. */
export function numberingConformance(open: () => Promise<Store>): void {
  test('a thread that is not there, or has no events, begins at the origin', async () => {
    await using bench = await setUpStore(open)
    const { store, thread } = bench
    expect(await store.numbering.resume(thread)).toEqual({ head: ORIGIN, open: [] })
    const missing = threadOf('ann', 'missing')
    await store.numbering.reserve(missing, 10)
    await store.numbering.settle(missing, mintEventId(5, 5))
    expect(await store.numbering.resume(missing)).toEqual({ head: ORIGIN, open: [] })
    expect(await store.threads.has(missing)).toBe(false)
  })

  test('numbers go on at the end of what was reserved, and where the last event is known, behind it', async () => {
    await using bench = await setUpStore(open)
    const { store, thread } = bench
    const before = Date.now()
    await store.numbering.reserve(thread, 100)
    const { head } = await store.numbering.resume(thread)
    expect(seqOf(head)).toBe(100)
    expect(parseEventId(head).ms).toBeGreaterThanOrEqual(before)
    const last = mintEventId(Date.now() + 60_000, 42)
    await store.numbering.settle(thread, last)
    expect((await store.numbering.resume(thread)).head).toBe(last)
    await store.numbering.reserve(thread, 200)
    await store.numbering.reserve(thread, 150)
    const again = (await store.numbering.resume(thread)).head
    expect(seqOf(again)).toBe(200)
    expect(again > last).toBe(true)
  })

  test('the messages of runs that have not ended come with the numbers', async () => {
    await using bench = await setUpStore(open)
    const { store, thread } = bench
    const states = ['running', 'done', 'parked', 'cancelled', 'failed', 'queued'] as const
    for (const [index, state] of states.entries()) {
      await store.runs.create(runOf(thread, state))
      const turn = turnOf(state, index + 1, ['question', 'answer'])
      await store.runs.update({ thread, id: state }, { state, startSeq: index + 1 }, turn)
    }
    const { open: messages } = await store.numbering.resume(thread)
    expect(messages).toEqual([
      ...turnOf('running', 1, ['question', 'answer']),
      ...turnOf('parked', 3, ['question', 'answer']),
      ...turnOf('queued', 6, ['question', 'answer']),
    ])
  })
}

/** How every store keeps runs. */
export function runConformance(open: () => Promise<Store>): void {
  test('a run is found as it was made, with what changed since', async () => {
    await using bench = await setUpStore(open)
    const { store, thread } = bench
    const principal = {
      id: 'bob',
      email: 'b@example.org',
      roles: ['r'],
      metadata: JSON.parse('{"__proto__":1}'),
    }
    const run = runOf(thread, 'r2', { principal })
    await store.runs.create(run)
    expect(await store.runs.find('ann', 'r2')).toEqual(run)
    const background = [{ id: 'b', name: 'work', status: 'running', progress: 0.5 } as const]
    const usage = { inputTokens: 3, outputTokens: 4 }
    const change = { state: 'parked', startSeq: 7, parked: '{"a":1}', background, usage } as const
    await store.runs.update(run, change)
    expect(await store.runs.find('ann', 'r2')).toEqual({ ...run, ...change })
    await store.runs.update(run, { state: 'done', endSeq: 9, parked: null, background: [] })
    const done = await store.runs.find('ann', 'r2')
    expect(done).toMatchObject({ state: 'done', startSeq: 7, endSeq: 9, usage })
    expect(done?.parked ?? null).toBeNull()
    expect(done?.background ?? []).toEqual([])
    expect(await store.runs.find('bob', 'r2')).toBeUndefined()
  })

  test('a run needs its thread, and a name that its owner has not given yet', async () => {
    await using bench = await setUpStore(open)
    const { store, thread } = bench
    await expect(store.runs.create(runOf(threadOf('ann', 'missing'), 'r2'))).rejects.toThrow(Error)
    expect(await store.runs.find('ann', 'r2')).toBeUndefined()
    await expect(store.runs.create(runOf(thread, 'r1', { agent: 'other' }))).rejects.toThrow(Error)
    expect(await store.runs.find('ann', 'r1')).toMatchObject({ agent: 'echo' })
    await expect(store.runs.update({ thread, id: 'missing' }, { state: 'done' })).rejects.toThrow(Error)
    expect(await store.runs.owners('r1')).toEqual(['ann'])
  })

  test('a change that fails changes nothing', async () => {
    await using bench = await setUpStore(open)
    const { store, thread } = bench
    const [before] = await store.threads.list('ann', { limit: 1 })
    const [good, bad] = turnOf('r1', 1, ['findable', 'x'])
    const broken = { type: 'tool', toolCallId: 'c', tool: 't', args: 1n, state: 'running' } as const
    const messages = [good, bad && { ...bad, message: { ...bad.message, parts: [broken] } }]
    const written = messages.filter((message) => message !== undefined)
    await expect(store.runs.update({ thread, id: 'r1' }, { state: 'done' }, written)).rejects.toThrow(Error)
    // This one fails once the first message is written already.
    const unplaced = good && bad ? [good, { ...bad, seq: NaN }] : []
    await expect(store.runs.update({ thread, id: 'r1' }, { state: 'done' }, unplaced)).rejects.toThrow(Error)
    const missing = { thread, id: 'missing' }
    await expect(store.runs.update(missing, {}, good ? [good] : [])).rejects.toThrow(Error)
    expect(await store.runs.find('ann', 'r1')).toMatchObject({ state: 'queued' })
    expect(await store.threads.messages(thread, { limit: 5 })).toEqual([])
    expect(await store.threads.list('ann', { limit: 5, search: 'findable' })).toEqual([])
    expect(await store.threads.list('ann', { limit: 5 })).toEqual([before])
  })

  test('runs that go on are listed in the order they were made, and those whose background work does', async () => {
    await using bench = await setUpStore(open)
    const { store, thread } = bench
    const background = [{ id: 'b', name: 'work', status: 'running', progress: 0 } as const]
    const changes = {
      z: { state: 'running' },
      gone: { state: 'done' },
      b: { state: 'done', background },
      a: { state: 'parked' },
      lost: { state: 'failed', background: [] },
    } as const
    for (const [id, change] of Object.entries(changes)) {
      await store.runs.create(runOf(thread, id))
      await store.runs.update({ thread, id }, change)
    }
    expect((await store.runs.unfinished()).map(({ id }) => id)).toEqual(['r1', 'z', 'b', 'a'])
    await store.runs.update({ thread, id: 'b' }, { background: [] })
    expect((await store.runs.unfinished()).map(({ id }) => id)).toEqual(['r1', 'z', 'a'])
  })

  test('usage is of who sent the message, from a time on', async () => {
    await using bench = await setUpStore(open)
    const { store, thread } = bench
    vi.useFakeTimers({ toFake: ['Date'], now: 1_000_000 })
    const usage = { inputTokens: 10, outputTokens: 1 }
    for (const id of ['a', 'b', 'c']) {
      await store.runs.create(runOf(thread, id, { principal: { id: id === 'c' ? 'eve' : 'bob' } }))
      await store.runs.update({ thread, id }, { usage })
      vi.setSystemTime(Date.now() + 1_000)
    }
    const both = { runs: 2, firstAt: 1_000_000, inputTokens: 20, outputTokens: 2 }
    expect(await store.runs.usage('bob', 0)).toEqual(both)
    expect(await store.runs.usage('bob', 1_001_000)).toEqual({ runs: 1, firstAt: 1_001_000, ...usage })
    expect(await store.runs.usage('eve', 0)).toEqual({ runs: 1, firstAt: 1_002_000, ...usage })
    expect(await store.runs.usage('nobody', 0)).toEqual({ runs: 0, inputTokens: 0, outputTokens: 0 })
  })

  test('usage may be of those that a run was charged to, of one sender', async () => {
    await using bench = await setUpStore(open)
    const { store, thread } = bench
    const usage = { inputTokens: 10, outputTokens: 1 }
    const runs = [
      ['a', { principal: { id: 'anonymous' }, chargedTo: 'bob' }],
      ['b', { principal: { id: 'anonymous' }, chargedTo: '__proto__' }],
      ['c', { principal: { id: 'anonymous' } }],
      ['d', { principal: { id: 'bob' } }],
    ] as const
    for (const [id, change] of runs) {
      await store.runs.create(runOf(thread, id, change))
      await store.runs.update({ thread, id }, { usage })
    }
    expect(await store.runs.usage('anonymous', 0, 'bob')).toMatchObject({ runs: 1, ...usage })
    expect(await store.runs.usage('anonymous', 0, '__proto__')).toMatchObject({ runs: 1, ...usage })
    expect(await store.runs.usage('anonymous', 0, 'eve')).toMatchObject({ runs: 0, inputTokens: 0 })
    expect(await store.runs.usage('anonymous', 0)).toMatchObject({ runs: 3 })
    expect(await store.runs.usage('bob', 0)).toMatchObject({ runs: 1, ...usage })
    expect(await store.runs.find(thread.owner, 'a')).toMatchObject({ chargedTo: 'bob' })
    expect(await store.runs.find(thread.owner, 'c')).not.toHaveProperty('chargedTo')
  })

  test('how a run has ended, and its answer, are found by its id', async () => {
    await using bench = await setUpStore(open)
    const { store, thread } = bench
    await store.runs.create(runOf(thread, 'a'))
    expect(await store.runs.find(thread.owner, 'a')).not.toHaveProperty('finishReason')
    expect(await store.runs.answer(thread.owner, 'a')).toBeUndefined()
    const message: Message = { id: 'q', role: 'user', parts: [], runId: 'a', status: 'done', createdAt: 1 }
    const answer: Message = { ...message, id: 'an', role: 'assistant' }
    const messages = [message, answer].map((each) => ({ message: each, seq: 1 }))
    await store.runs.update(
      { thread, id: 'a' },
      { state: 'done', finishReason: 'length', steps: 3 },
      messages,
    )
    expect(await store.runs.find(thread.owner, 'a')).toMatchObject({ finishReason: 'length', steps: 3 })
    expect(await store.runs.answer(thread.owner, 'a')).toEqual(answer)
    expect(await store.runs.answer('somebody else', 'a')).toBeUndefined()
  })

  test('what a run asks for beside its message is kept', async () => {
    await using bench = await setUpStore(open)
    const { store, thread } = bench
    const settings = { temperature: 0.5, maxTokens: 7 }
    const toolCall = { tool: 'stock', args: { item: 'hat\u2028' } }
    await store.runs.create(runOf(thread, 'a', { settings, toolCall }))
    await store.runs.create(runOf(thread, 'b'))
    expect(await store.runs.find(thread.owner, 'a')).toMatchObject({
      settings,
      toolCall: { tool: 'stock', args: { item: 'hat\u2028' } },
    })
    const plain = await store.runs.find(thread.owner, 'b')
    expect(plain).not.toHaveProperty('settings')
    expect(plain).not.toHaveProperty('toolCall')
  })

  test('twenty changes at once are all made', async () => {
    await using bench = await setUpStore(open)
    const { store, thread } = bench
    const numbers = Array.from({ length: 20 }, (_, index) => index + 1)
    await Promise.all(
      numbers.map(async (seq) => {
        const id = `p${seq}`
        await store.runs.create(runOf(thread, id))
        await store.runs.update({ thread, id }, { state: 'done' }, turnOf(id, seq, [`q ${seq}`, 'a']))
      }),
    )
    const stored = await store.threads.messages(thread, { limit: 100 })
    expect(stored).toEqual(numbers.flatMap((seq) => turnOf(`p${seq}`, seq, [`q ${seq}`, 'a'])))
  })
}
