import { type EventId, ORIGIN, mintEventId, parseEventId, seqOf } from '@turnpike/protocol'
import { ANONYMOUS, threadRef } from '@turnpike/gateway'
import type { EventDraft } from '@turnpike/gateway/log-port'
import { type Numbering, type StoredMessage } from '@turnpike/gateway/store'
import { MemoryLog } from '@turnpike/gateway/memory-log'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'

const thread = threadRef(ANONYMOUS, 't')
const BLOCK = 20

/** What a store keeps of one thread's numbers, told in so many words. */
class Ledger implements Numbering {
  head: EventId = ORIGIN
  reserved = 0
  calls: string[] = []
  open: readonly StoredMessage[] = []
  gate: Promise<void> = Promise.resolve()

  async resume(): Promise<{ head: EventId; open: readonly StoredMessage[] }> {
    const isExact = this.reserved === seqOf(this.head)
    return {
      head: isExact ? this.head : mintEventId(parseEventId(this.head).ms, this.reserved),
      open: this.open,
    }
  }

  async reserve(_thread: object, upTo: number): Promise<void> {
    await this.gate
    this.calls.push(`reserve ${upTo}`)
    this.reserved = Math.max(this.reserved, upTo)
  }

  async settle(_thread: object, head: EventId): Promise<void> {
    this.calls.push(`settle ${seqOf(head)}`)
    this.head = head
    this.reserved = seqOf(head)
  }
}

const start = (runId = 'r'): EventDraft => ({
  type: 'start',
  runId,
  agent: 'a',
  messageId: `answer of ${runId}`,
  input: { id: runId, role: 'user', parts: [], status: 'done', createdAt: 0 },
})
const delta: EventDraft = { type: 'text-delta', runId: 'r', delta: 'x', channel: 'answer' }
const finish = (runId = 'r'): EventDraft => ({
  type: 'finish',
  runId,
  agent: 'a',
  finishReason: 'stop',
  text: '',
  steps: 0,
  usage: { inputTokens: 0, outputTokens: 0 },
})

const openLog = (numbering: Numbering): MemoryLog => new MemoryLog({ numbering, limits: { seqBlock: BLOCK } })

test('a start waits until its numbers are reserved', async () => {
  const ledger = new Ledger()
  const gate = Promise.withResolvers<void>()
  ledger.gate = gate.promise
  const log = openLog(ledger)
  await log.snapshot(thread)
  const started = log.append(thread, start())
  expect(started).toBeInstanceOf(Promise)
  expect((await log.snapshot(thread)).head).toBe(ORIGIN)
  gate.resolve()
  expect(await started).toBe(1)
  expect(ledger.calls).toEqual([`reserve ${BLOCK}`])
  await log.close()
})

test('further numbers are reserved before the block is used up, without anybody waiting', async () => {
  const ledger = new Ledger()
  const log = openLog(ledger)
  await log.append(thread, start())
  for (let n = 0; n < 100; n++) {
    const seq = log.append(thread, delta)
    expect(seq).toBe(n + 2)
    await new Promise(setImmediate)
    expect(ledger.reserved).toBeGreaterThan(seqOf((await log.snapshot(thread)).head))
  }
  await log.close()
  expect(ledger.calls.at(-1)).toBe('settle 101')
})

test('a thread that was closed in good order goes on behind its head, and a reader at the head misses nothing', async () => {
  const ledger = new Ledger()
  const first = openLog(ledger)
  await first.append(thread, start())
  await first.append(thread, finish())
  const { head } = await first.snapshot(thread)
  await first.close()
  const second = openLog(ledger)
  expect(await second.follow(thread, { after: head }, () => {})).toMatchObject({ position: head })
  expect(await second.append(thread, start('next'))).toBe(3)
  await second.close()
})

test('runs that go on are folded on, into the messages they had', async () => {
  const ledger = new Ledger()
  ledger.reserved = 40
  ledger.open = [
    {
      seq: 7,
      message: {
        id: 'm',
        role: 'assistant',
        parts: [{ type: 'text', text: 'so far ' }],
        runId: 'r',
        status: 'open',
        createdAt: 0,
      },
    },
  ]
  const log = openLog(ledger)
  await log.snapshot(thread)
  await log.append(thread, delta)
  await log.append(thread, finish())
  const { messages, head } = await log.snapshot(thread)
  expect(seqOf(head)).toBe(42)
  expect(messages).toMatchObject([
    { seq: 7, message: { parts: [{ type: 'text', text: 'so far x' }], status: 'done' } },
  ])
  await log.close()
})

test('whatever was appended before a process died, no number is given twice, and every older cursor is told', async () => {
  const step = fc.constantFrom('start', 'delta', 'finish', 'turn', 'die', 'close')
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 120 }), async (steps) => {
      const ledger = new Ledger()
      let log = openLog(ledger)
      let highest = 0
      let last: EventId = ORIGIN
      for (const [n, what] of steps.entries()) {
        if (what === 'turn') await new Promise(setImmediate)
        else if (what === 'die' || what === 'close') {
          await (what === 'close' ? log.close() : Promise.resolve())
          // A process that dies writes no more; what it had under way may or may not have come through.
          const left = Object.assign(new Ledger(), { head: ledger.head, reserved: ledger.reserved })
          Object.assign(ledger, left)
          log = openLog(ledger)
          const follow = await log.follow(thread, { after: last }, () => {})
          if (what === 'close') expect(follow.position).toBe(last)
          else if (follow.position !== last) expect(seqOf(follow.position)).toBeGreaterThanOrEqual(highest)
          if (follow.snapshot) last = follow.position
          highest = Math.max(highest, seqOf(follow.position))
          follow.close()
        } else {
          const draft = what === 'delta' ? delta : what === 'start' ? start(`r${n}`) : finish(`r${n}`)
          const seq = await log.append(thread, draft)
          expect(seq).toBe(highest + 1)
          highest = seq
          last = (await log.snapshot(thread)).head
          // Reservations run beside appends, a turn behind at most.
          await new Promise(setImmediate)
        }
      }
      await log.close()
    }),
    { numRuns: 60 },
  )
})
