import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { fileURLToPath } from 'node:url'
import { type Message, type ThreadEvent, advance, seqOf, textOf } from '@turnpike/protocol'
import { type StreamFrame, type WebSocketClient, connectWebSocket, createRandom } from '@turnpike/testkit'
import { expect, test } from 'vitest'

const SERVER = fileURLToPath(new URL('restart-server.ts', import.meta.url))
/** Moments at which a run is killed; each kill ends the runs of several threads, begun at different times. */
const KILLS = Number(process.env['RESTART_KILLS'] ?? 2)
const THREADS = 15
/** A checkpoint is at most a second old; a loaded machine is late. */
const CHECKPOINT_MS = 1_000 + 500

/** A gateway in a process of its own, on a store that lasts. */
class Host implements AsyncDisposable {
  readonly #folder: string
  #process: ChildProcess | undefined
  baseUrl = ''

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async start(env: Readonly<Record<string, string>> = {}): Promise<Host> {
    const host = new Host(await mkdtemp(join(tmpdir(), 'turnpike-')))
    await host.start(env)
    return host
  }

  async start(env: Readonly<Record<string, string>> = {}): Promise<void> {
    const STORE_FILE = join(this.#folder, 'data', 'store.sqlite')
    this.#process = spawn(process.execPath, ['--conditions=@turnpike/source', SERVER], {
      env: { ...process.env, ...env, STORE_FILE },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const { stdout } = this.#process
    if (!stdout) throw new Error('The process has no output.')
    for await (const line of createInterface({ input: stdout })) {
      this.baseUrl = line
      return
    }
    throw new Error('The server did not start.')
  }

  async stop(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    const ended = this.#process && once(this.#process, 'exit')
    this.#process?.kill(signal)
    const [code] = (await ended) ?? [null]
    this.#process = undefined
    return code as number | null
  }

  connect(): Promise<WebSocketClient> {
    return connectWebSocket({ url: `${this.baseUrl.replace('http', 'ws')}/stream` })
  }

  async messages(threadId: string): Promise<readonly Message[]> {
    const response = await fetch(`${this.baseUrl}/threads/${threadId}/messages`)
    return ((await response.json()) as { messages: Message[] }).messages
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process) await this.stop('SIGKILL')
    await rm(this.#folder, { recursive: true, force: true })
  }
}

const isEvent = (frame: StreamFrame): frame is ThreadEvent => 'seq' in frame

function answerOf(messages: readonly Message[]): Message {
  const answer = messages.findLast((message) => message.role === 'assistant')
  if (!answer) throw new Error('There is no answer.')
  return answer
}

test('killed in mid-run, a thread keeps all but the last second, its run has ended, and no event is skipped in silence', async () => {
  const random = createRandom(Number(process.env['RESTART_SEED'] ?? Date.now()))
  await using host = await Host.start()
  for (let kill = 0; kill < KILLS; kill++) {
    const seen = new Map<string, ThreadEvent[]>()
    await using client = await host.connect()
    const total = random.int(600, 2_400)
    for (let count = 0, begun = 0; count < total;) {
      // A new thread begins now and then, so that the kill finds every age of a run.
      if (begun < THREADS && count >= (begun * total) / THREADS) {
        const threadId = `k${kill}-${begun++}`
        seen.set(threadId, [])
        client.request('thread.send', { message: 'count', threadId }).catch(() => {})
      }
      const frame = await client.inbox.next()
      if (!isEvent(frame)) continue
      seen.get(frame.threadId)?.push(frame)
      count++
    }
    const killedAt = Date.now()
    await host.stop('SIGKILL')
    await host.start()
    await using next = await host.connect()
    for (const [threadId, events] of seen) await checkResumed(next, { threadId, events, killedAt })
  }
}, 60_000)

async function checkResumed(
  client: WebSocketClient,
  { threadId, events, killedAt }: { threadId: string; events: ThreadEvent[]; killedAt: number },
): Promise<void> {
  const last = events.at(-1)
  // One whose acceptance the client never heard of may or may not be there.
  if (!last) return
  const answer = await client.request('thread.subscribe', { threadId, lastEventId: last.id })
  if (!answer.ok) throw new Error(`${threadId}: ${answer.error.code}`)
  expect(answer).toMatchObject({ recovered: false, cause: 'expired' })
  if (answer.recovered) return
  const { history, head } = answer
  expect(seqOf(head)).toBeGreaterThan(last.seq)
  expect(history.map((message) => [message.role, message.status])).toEqual([
    ['user', 'done'],
    ['assistant', 'failed'],
  ])
  const text = textOf(answerOf(history))
  const told = events.flatMap((event) => (event.type === 'text-delta' ? [event] : []))
  const old = told.filter((event) => event.ts < killedAt - CHECKPOINT_MS)
  expect(text.startsWith(old.map((event) => event.delta).join(''))).toBe(true)
  // What is kept is what was said, to the letter.
  expect(text).toBe(Array.from({ length: text.split(' ').length - 1 }, (_, n) => `${n + 1} `).join(''))

  await client.request('thread.send', { message: 'again', threadId, agent: 'worker' })
  let seq = seqOf(head)
  const { frames } = await until(client, (event) => event.threadId === threadId && event.type === 'finish')
  for (const event of frames.filter((event) => event.threadId === threadId)) {
    expect(advance(seq as never, event)).toBe('apply')
    seq = event.seq as never
  }
}

async function until(
  client: WebSocketClient,
  isLast: (event: ThreadEvent) => boolean,
): Promise<{ frames: ThreadEvent[] }> {
  const frames = (await client.inbox.until((frame) => isEvent(frame) && isLast(frame))).filter(isEvent)
  return { frames }
}

test('the same run id again, after a restart, is the same run', async () => {
  await using host = await Host.start()
  const payload = { message: 'hi', threadId: 't', runId: 'r', agent: 'worker' }
  {
    await using client = await host.connect()
    await client.request('thread.send', payload)
    await until(client, (event) => event.type === 'finish')
  }
  await host.stop('SIGKILL')
  await host.start()
  await using client = await host.connect()
  expect(await client.request('thread.send', payload)).toMatchObject({ ok: true, runId: 'r', threadId: 't' })
  expect(await client.request('thread.send', { ...payload, message: 'other' })).toMatchObject({
    error: { code: 'run-id-conflict' },
  })
  expect(await client.request('run.cancel', { runId: 'r' })).toMatchObject({ ok: true, status: 'done' })
  expect(await host.messages('t')).toHaveLength(2)
})

test.each(['SIGKILL', 'SIGTERM'] as const)(
  'an approval asked for before a %s is decided after it, and its run goes on',
  async (signal) => {
    await using host = await Host.start()
    const ids: string[] = []
    {
      await using client = await host.connect()
      for (const threadId of ['a', 'b']) {
        await client.request('thread.send', { message: threadId, threadId, agent: 'asker', runId: threadId })
        const { frames } = await until(client, (event) => event.type === 'step-finish')
        for (const event of frames) if (event.type === 'approval-pending') ids.push(event.approvalId)
      }
      // Waits behind a run that waits: its turn comes after the restart, too.
      await client.request('thread.send', { message: 'next', threadId: 'a', agent: 'worker', runId: 'next' })
    }
    await host.stop(signal)
    await host.start()
    await using client = await host.connect()
    for (const threadId of ['a', 'b']) {
      expect(await client.request('thread.subscribe', { threadId })).toMatchObject({ ok: true })
    }
    const [first = '', second = ''] = ids
    expect(await client.request('approval.resolve', { approvalId: first, approved: true })).toMatchObject({
      ok: true,
      first: true,
    })
    expect(await client.request('approval.resolve', { approvalId: first, approved: false })).toMatchObject({
      approved: true,
      first: false,
    })
    const { frames } = await until(client, (event) => event.type === 'finish' && event.runId === 'next')
    expect(frames.find((event) => event.type === 'finish' && event.runId === 'a')).toMatchObject({
      text: 'May I? {"word":"a"} yes',
      steps: 1,
      usage: { inputTokens: 3, outputTokens: 4 },
    })
    expect(await client.request('run.cancel', { runId: 'b' })).toMatchObject({ ok: true })
    await until(client, (event) => event.type === 'finish' && event.runId === 'b')
    expect(await client.request('approval.resolve', { approvalId: second, approved: true })).toMatchObject({
      approved: false,
      first: false,
    })
    const [, answer, , next] = await host.messages('a')
    expect([answer, next].map((message) => message && textOf(message))).toEqual([
      'May I? {"word":"a"} yes',
      'digging',
    ])
  },
)

test('an approval that expires while nobody serves is denied as soon as somebody does', async () => {
  await using host = await Host.start({ APPROVAL_MS: '1' })
  {
    await using client = await host.connect()
    await client.request('thread.send', { message: 'x', threadId: 't', agent: 'asker' })
    await until(client, (event) => event.type === 'approval-pending')
  }
  await host.stop('SIGKILL')
  await host.start()
  await expect
    .poll(async () => textOf(answerOf(await host.messages('t'))), { timeout: 5_000 })
    .toMatch(/no: expired$|May I\? $/)
})

test('after a restart in good order, a reader that missed nothing goes on without a reset', async () => {
  await using host = await Host.start()
  let lastEventId = ''
  {
    await using client = await host.connect()
    await client.request('thread.send', { message: 'x', threadId: 't', agent: 'asker' })
    const { frames } = await until(client, (event) => event.type === 'step-finish')
    lastEventId = frames.at(-1)?.id ?? ''
  }
  expect(await host.stop('SIGTERM')).toBe(0)
  await host.start()
  await using client = await host.connect()
  expect(await client.request('thread.subscribe', { threadId: 't', lastEventId })).toMatchObject({
    ok: true,
    recovered: true,
  })
})
