import { type History, type Limits, type Message, seqOf } from '@turnpike/protocol'
import { withoutReasoning } from '@turnpike/protocol/wire'
import type { ThreadRef } from '../stores/thread-ref.ts'
import type { StoredMessage, ThreadStore } from '../stores/store.ts'
import type { Snapshot } from './thread-window.ts'

/** Messages that are read first. */
const FIRST_READ = 16

/** A page of a thread's messages that ends exactly at `head`. */
export interface HistoryPage extends History {
  /** Where older messages are; present with `more`. */
  readonly before?: number
}

/**
 * Joins what the store has with what the log is still telling.
 *
 * The snapshot wins where both have a message: the store may be behind it, or already ahead of it. Stored messages
 * of runs that began after the snapshot's head are left out, since their events are yet to come.
 */
export async function readHistory(
  store: ThreadStore,
  thread: ThreadRef,
  options: { snapshot: Snapshot; limits: Limits; reasoning: boolean; limit?: number; before?: number },
): Promise<HistoryPage> {
  const { snapshot, limits, reasoning, before = Infinity } = options
  const limit = Math.min(options.limit ?? Infinity, limits.historyMessages)
  const horizon = Math.min(before, seqOf(snapshot.head) + 1)
  const stored: StoredMessage[] = []
  let all: readonly StoredMessage[] = []
  let first = 0
  let from = horizon
  // A little at first, and then more: few messages may be all that fits, and most threads are short.
  for (let count = Math.min(FIRST_READ, limit + 2); ; count *= 4) {
    const read = await store.messages(thread, { limit: count, before: from })
    const isAll = read.length < count
    const whole = isAll ? read : withoutFirstTurn(read)
    stored.unshift(...whole)
    from = isAll ? 0 : (whole[0]?.seq ?? from)
    all = joined(
      stored,
      snapshot.messages.filter(({ seq }) => seq >= from && seq < horizon),
    )
    first = startOfPage(all, { limit, chars: limits.historyChars })
    if (isAll || first > 0) break
  }
  const { head } = snapshot
  const messages = all.slice(first).map(({ message }) => message)
  const history = reasoning ? messages : messages.map(withoutReasoning)
  if (first === 0) return { head, history }
  return { head, history, more: true, before: all[first]?.seq ?? 0 }
}

/** Of what was read only in part, the oldest turn may lack its question. */
function withoutFirstTurn(read: readonly StoredMessage[]): readonly StoredMessage[] {
  return read.filter(({ seq }) => seq !== read[0]?.seq)
}

function joined(
  stored: readonly StoredMessage[],
  logged: readonly StoredMessage[],
): readonly StoredMessage[] {
  const byId = new Map<string, StoredMessage>()
  for (const entry of [...stored, ...logged]) byId.set(entry.message.id, entry)
  return [...byId.values()].sort((a, b) => a.seq - b.seq)
}

/** Goes back turn by turn, so that a page never parts a question from its answer. */
function startOfPage(all: readonly StoredMessage[], most: { limit: number; chars: number }): number {
  let first = all.length
  let chars = 0
  while (first > 0) {
    let next = first - 1
    while (next > 0 && all[next - 1]?.seq === all[next]?.seq) next--
    for (const { message } of all.slice(next, first)) chars += charsOf(message)
    const isLatest = first === all.length
    if (!isLatest && (all.length - next > most.limit || chars > most.chars)) break
    first = next
  }
  return first
}

function charsOf(message: Message): number {
  let chars = 0
  for (const part of message.parts) chars += 'text' in part ? part.text.length : JSON.stringify(part).length
  return chars
}
