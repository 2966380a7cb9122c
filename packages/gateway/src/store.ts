import { type EventId, type History, type Message, LIMITS, seqOf } from '@turnpike/protocol'
import type { ThreadRef } from './access.ts'
import type { Snapshot } from './thread-window.ts'

/** A thread as listings show it. */
export interface ThreadSummary {
  readonly id: string
  /** The beginning of its first message. */
  readonly title: string
  readonly createdAt: number
  readonly updatedAt: number
}

/** A message with its place in the thread: the `seq` of the event that began its run. */
export interface StoredMessage {
  readonly message: Message
  readonly seq: number
}

/** One page, newest first; `before` is the cursor of the next. */
export interface Page {
  readonly limit: number
  readonly before?: number
}

/** What outlives the log: threads and their messages. */
export interface Store {
  /** Makes the thread if there is none. */
  openThread(thread: ThreadRef, title: string): Promise<void>
  hasThread(thread: ThreadRef): Promise<boolean>
  /** Threads of one owner, latest change first; `before` is an `updatedAt`. */
  threads(owner: string, page: Page): Promise<readonly ThreadSummary[]>
  /** Messages, oldest first: the last `limit` of those with a `seq` below `before`. */
  messages(thread: ThreadRef, page: Page): Promise<readonly StoredMessage[]>
  /** Adds messages, or replaces those of the same id. */
  saveMessages(thread: ThreadRef, messages: readonly StoredMessage[]): Promise<void>
}

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
  store: Store,
  thread: ThreadRef,
  options: { snapshot: Snapshot; limit: number; before?: number },
): Promise<HistoryPage> {
  const { snapshot, limit, before = Infinity } = options
  const horizon = Math.min(before, seqOf(snapshot.head) + 1)
  const stored = await store.messages(thread, { limit: limit + 1, before: horizon })
  const byId = new Map<string, StoredMessage>()
  for (const entry of stored) byId.set(entry.message.id, entry)
  for (const entry of snapshot.messages) if (entry.seq < horizon) byId.set(entry.message.id, entry)
  const all = [...byId.values()].sort((a, b) => a.seq - b.seq)
  return page(snapshot.head, all, limit)
}

function page(head: EventId, all: readonly StoredMessage[], limit: number): HistoryPage {
  const first = startOfPage(all, limit)
  const history = all.slice(first).map((entry) => entry.message)
  if (first === 0) return { head, history }
  return { head, history, more: true, before: all[first]?.seq ?? 0 }
}

/** Goes back turn by turn, so that a page never parts a question from its answer. */
function startOfPage(all: readonly StoredMessage[], limit: number): number {
  let first = all.length
  let chars = 0
  while (first > 0) {
    let next = first - 1
    while (next > 0 && all[next - 1]?.seq === all[next]?.seq) next--
    for (const { message } of all.slice(next, first)) chars += charsOf(message)
    const isLatest = first === all.length
    if (!isLatest && (all.length - next > limit || chars > LIMITS.historyChars)) break
    first = next
  }
  return first
}

function charsOf(message: Message): number {
  let chars = 0
  for (const part of message.parts) chars += 'text' in part ? part.text.length : JSON.stringify(part).length
  return chars
}
