import { ORIGIN, seqOf } from '@turnpike/protocol'
import { ANONYMOUS, threadRef } from '@turnpike/gateway'
import type { EventDraft } from '@turnpike/gateway/log-port'
import { MemoryLog } from '@turnpike/gateway/memory-log'
import type { Numbering } from '@turnpike/gateway/store'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

const thread = threadRef(ANONYMOUS, 't')
const BLOCK = 20
const REPLAY_MS = 30_000

const start: EventDraft = {
  type: 'start',
  runId: 'r',
  agent: 'a',
  messageId: 'answer',
  input: { id: 'question', role: 'user', parts: [], status: 'done', createdAt: 0 },
}
const finish: EventDraft = {
  type: 'finish',
  runId: 'r',
  agent: 'a',
  finishReason: 'stop',
  text: '',
  steps: 0,
  usage: { inputTokens: 0, outputTokens: 0 },
}

/** A log whose store writes down what it is told, and waits with giving numbers back while it is held. */
function setUp(): { log: MemoryLog; calls: string[]; hold: () => () => void } {
  const calls: string[] = []
  let gate = Promise.resolve()
  const numbering: Numbering = {
    resume: async () => ({ head: ORIGIN, open: [] }),
    reserve: async (_thread, upTo) => void calls.push(`reserve ${upTo}`),
    async settle(_thread, head) {
      calls.push(`settle ${seqOf(head)}`)
      await gate
    },
  }
  const limits = { seqBlock: BLOCK, replayWindowMs: REPLAY_MS }
  const hold = (): (() => void) => {
    const held = Promise.withResolvers<void>()
    gate = held.promise
    return held.resolve
  }
  return { log: new MemoryLog({ numbering, limits }), calls, hold }
}

/** Time goes on by more than the replay window; the log looks at its threads meanwhile. */
async function sweep(): Promise<void> {
  await vi.advanceTimersByTimeAsync(REPLAY_MS + 10_000)
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] })
})

afterEach(() => {
  vi.useRealTimers()
})

test('numbers are not given back while a run goes on, however long it says nothing', async () => {
  const { log, calls } = setUp()
  await log.append(thread, start)
  await sweep()
  expect(calls).toEqual([`reserve ${BLOCK}`])
  await log.append(thread, finish)
  await sweep()
  expect(calls).toEqual([`reserve ${BLOCK}`, 'settle 2'])
  await log.close()
})

test('a run that begins while numbers are given back has its own reserved first', async () => {
  const { log, calls, hold } = setUp()
  await log.append(thread, start)
  await log.append(thread, finish)
  const letGo = hold()
  await sweep()
  expect(calls).toEqual([`reserve ${BLOCK}`, 'settle 2'])
  const begun = log.append(thread, { ...start, runId: 'next' })
  expect(begun).toBeInstanceOf(Promise)
  letGo()
  expect(await begun).toBe(3)
  expect(calls).toEqual([`reserve ${BLOCK}`, 'settle 2', `reserve ${2 + BLOCK}`])
  await log.close()
})
