/** What reading a large store takes; by itself, or as the scenario `store` of `npm run bench`. */
import { type Store, threadRef } from '@turnpike/gateway'
import { type StoredMessage } from '@turnpike/gateway/store'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const THREADS = 10_000
const MESSAGES = 100
const MEMORIES = 10_000
const WORDS = 16
const TRIES = 300
const OWNER = 'anonymous'

/** Words as they are spread in texts: the first ones are in nearly every text, most are rare. */
const VOCABULARY = Array.from({ length: 30_000 }, (_, index) => `w${index.toString(36)}`)

let state = 1
function random(): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return state / 2 ** 32
}

function text(words = WORDS): string {
  return Array.from({ length: words }, () => VOCABULARY[Math.floor(VOCABULARY.length ** random()) - 1]).join(
    ' ',
  )
}

function turns(thread: number): StoredMessage[] {
  return Array.from({ length: MESSAGES }, (_, index) => {
    const role = index % 2 === 0 ? ('user' as const) : ('assistant' as const)
    // One message in the middle of every tenth thread has a word that few have.
    const said = index === 50 && thread % 10 === 0 ? `${text()} rare${thread % 500}` : text()
    const parts = [{ type: 'text' as const, text: said }]
    return {
      seq: Math.floor(index / 2) * 10 + 1,
      message: {
        id: `m${index}`,
        role,
        parts,
        runId: `r${thread}`,
        status: 'done' as const,
        createdAt: thread,
      },
    }
  })
}

async function fill(store: Store): Promise<void> {
  for (let number = 0; number < THREADS; number++) {
    const thread = threadRef({ id: OWNER }, `t${number}`)
    const run = { thread, id: `r${number}` }
    const messages = turns(number)
    const [input] = messages
    if (!input) continue
    await store.threads.open(thread, text(6))
    await store.runs.create({
      ...run,
      agent: 'bench',
      principal: { id: OWNER },
      fingerprint: '',
      input: input.message,
      messageId: 'm1',
      state: 'running',
    })
    await store.runs.update(run, { state: 'done', startSeq: 1, endSeq: 9 }, messages)
  }
  const memories = store.memories(threadRef({ id: OWNER }, 't0'), OWNER)
  for (let number = 0; number < MEMORIES; number++) {
    const rare = number % 1_000 === 0 ? ' telescope' : ''
    await memories.save({ id: `memory ${number}`, text: `likes ${text(12)}${rare}`, scope: 'user' })
  }
}

interface Row {
  readonly what: string
  readonly found: number
  readonly p50: number
  readonly p99: number
  /** The same of the CPU's time, which other processes do not add to. */
  readonly cpuP99: number
}

async function timed(
  what: string,
  work: (attempt: number) => Promise<readonly unknown[] | void>,
): Promise<Row> {
  const times = new Float64Array(TRIES)
  const cpu = new Float64Array(TRIES)
  let found = 0
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const before = process.cpuUsage()
    const startedAt = performance.now()
    const result = await work(attempt)
    times[attempt] = performance.now() - startedAt
    const { user, system } = process.cpuUsage(before)
    cpu[attempt] = (user + system) / 1_000
    found = result?.length ?? 0
  }
  const at = (values: Float64Array, share: number): number =>
    values.toSorted()[Math.floor(TRIES * share)] ?? 0
  return { what, found, p50: at(times, 0.5), p99: at(times, 0.99), cpuP99: at(cpu, 0.99) }
}

async function reads(store: Store): Promise<Row[]> {
  const limit = 50
  const any = () => threadRef({ id: OWNER }, `t${Math.floor(random() * THREADS)}`)
  const search = (words: string) => store.threads.list(OWNER, { limit, search: words })
  const memories = store.memories(any(), OWNER)
  const deep = (await store.threads.list(OWNER, { limit: 9_000 })).at(-1)
  if (!deep) throw new Error('Expected threads.')
  const near = (await search('w0')).at(-1)
  if (!near) throw new Error('Expected to find threads.')
  return [
    await timed('list, first page', () => store.threads.list(OWNER, { limit })),
    await timed('list, page 180', () => store.threads.list(OWNER, { limit, before: deep })),
    await timed('open: 50 messages', () => store.threads.messages(any(), { limit: 50 })),
    await timed('search, a rare word', (attempt) => search(`rare${(attempt % 50) * 10}`)),
    await timed('search, a common word', () => search('w0')),
    await timed('search, its second page', () =>
      store.threads.list(OWNER, { limit, search: 'w0', before: near }),
    ),
    await timed('search, two common words', () => search('w0 w1')),
    await timed('search, common and rare', (attempt) => search(`w1 rare${(attempt % 50) * 10}`)),
    await timed('search, any two words', () => search(text(2))),
    await timed('search, a letter', () => search('w')),
    await timed('search, nothing found', () => search('absent')),
    await timed('search, apart', (attempt) =>
      search(`rare${(attempt % 50) * 10} rare${((attempt + 1) % 50) * 10}`),
    ),
    await timed('recall, a rare word', () => memories.search('likes telescope', 5)),
    await timed('recall, any six words', () => memories.search(text(6), 5)),
    await timed('recall, nothing found', () => memories.search('absent', 5)),
  ]
}

async function writes(store: Store): Promise<Row[]> {
  const principal = { id: OWNER }
  const [question, answer] = turns(1)
  if (!question || !answer) throw new Error('Expected a turn.')
  const at = (attempt: number) => threadRef(principal, `new ${attempt}`)
  const run = (attempt: number) => ({ thread: at(attempt), id: `new ${attempt}` })
  const made = {
    agent: 'bench',
    principal,
    fingerprint: '',
    input: question.message,
    messageId: 'm',
    state: 'queued',
  }
  return [
    await timed('threads.open, new', (attempt) => store.threads.open(at(attempt), text(6))),
    await timed('threads.open, known', (attempt) => store.threads.open(at(attempt), '')),
    await timed('numbering.reserve', (attempt) => store.numbering.reserve(at(attempt), 10_000)),
    await timed('runs.create', (attempt) => store.runs.create({ ...made, ...run(attempt), state: 'queued' })),
    await timed('runs.update, state alone', (attempt) =>
      store.runs.update(run(attempt), { state: 'running' }),
    ),
    await timed('runs.update, two messages', (attempt) =>
      store.runs.update(run(attempt), { state: 'done', endSeq: 9 }, [question, answer]),
    ),
    await timed('memories.save', (attempt) =>
      store.memories(at(0), OWNER).save({ id: `new ${attempt}`, text: text(12), scope: 'user' }),
    ),
  ]
}

const folder = mkdtempSync(join(tmpdir(), 'turnpike-bench-'))
try {
  const file = join(folder, 'store.db')
  const store = sqliteStore({ file })
  const startedAt = performance.now()
  await fill(store)
  const seconds = (performance.now() - startedAt) / 1_000
  const megabytes = statSync(file).size / 1e6
  console.log(
    `${THREADS} threads of ${MESSAGES} messages and ${MEMORIES} memories: ${megabytes.toFixed(0)} MB, filled in ${seconds.toFixed(0)} s`,
  )
  const rows = [...(await reads(store)), ...(await writes(store))]
  console.table(
    rows.map(({ what, found, p50, p99, cpuP99 }) => ({
      what,
      found,
      'p50 ms': p50.toFixed(3),
      'p99 ms': p99.toFixed(3),
      'p99 CPU ms': cpuP99.toFixed(3),
    })),
  )
  process.send?.({ megabytes, seconds, rows })
  await store.close()
} finally {
  rmSync(folder, { recursive: true, force: true })
}
