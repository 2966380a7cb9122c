import { type ThreadRef, threadRef } from '@turnpike/gateway'
import { type RunRecord, type StoredMessage } from '@turnpike/gateway/store'
import type { Message } from '@turnpike/protocol'

/** Texts and ids that have broken somebody's store before. */
export const ODD_TEXTS = [
  '__proto__',
  'constructor',
  "it's",
  '"quoted"',
  '" OR * NEAR(',
  'a AND NOT b',
  'x* ^y col:z {w} -v',
  "'; drop table threads; --",
  '%_\\',
  '👩‍👩‍👧 🎉',
  'Zoë Größe İstanbul',
  '我喜欢绿茶',
  'ภาษาไทย',
  'مرحبا',
  ' padded ',
  'tab\tline\nbell\u0007',
  '\u2028\ufeff',
  'long'.repeat(5_000),
]

/** A thread of somebody. */
export function threadOf(owner: string, id: string): ThreadRef {
  return threadRef({ id: owner }, id)
}

/** A message that says one thing. */
export function messageOf(id: string, text: string, change: Partial<Message> = {}): Message {
  return { id, role: 'user', parts: [{ type: 'text', text }], status: 'done', createdAt: 1, ...change }
}

/** The question and the answer of a run, as it writes them. */
export function turnOf(runId: string, seq: number, [question, answer]: [string, string]): StoredMessage[] {
  return [
    { seq, message: messageOf(`in-${runId}`, question, { runId }) },
    { seq, message: messageOf(`out-${runId}`, answer, { runId, role: 'assistant' }) },
  ]
}

/** A run as it is when it is taken on. */
export function runOf(thread: ThreadRef, id: string, change: Partial<RunRecord> = {}): RunRecord {
  return {
    thread,
    id,
    agent: 'echo',
    principal: { id: thread.owner },
    fingerprint: `print of ${id}`,
    input: messageOf(`in-${id}`, 'Hello', { runId: id }),
    messageId: `out-${id}`,
    state: 'queued',
    ...change,
  }
}
