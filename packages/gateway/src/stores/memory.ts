import {
  type ArtifactStore,
  type MemoryStore as Memories,
  InMemoryMemoryStore,
  MemoryArtifactStore,
} from '@turnpike/agents'
import type { ThreadKey, ThreadRef } from '../access.ts'
import type { Page, Store, StoredMessage, ThreadCursor, ThreadSummary } from '../store.ts'

interface ThreadRecord {
  readonly owner: string
  summary: ThreadSummary
  readonly messages: Map<string, StoredMessage>
}

/** A store that lives in this process and writes no file. */
export class MemoryStore implements Store {
  readonly #threads = new Map<ThreadKey, ThreadRecord>()
  readonly #artifacts = new Map<ThreadKey, ArtifactStore>()
  readonly #ownMemories = new Map<string, Memories>()
  readonly #threadMemories = new Map<ThreadKey, Memories>()
  readonly #owners = new Map<string, Set<ThreadRecord>>()

  openThread(thread: ThreadRef, title: string): Promise<void> {
    if (!this.#threads.has(thread.key)) {
      const now = Date.now()
      const summary = { id: thread.id, title, createdAt: now, updatedAt: now }
      const record: ThreadRecord = { owner: thread.owner, summary, messages: new Map() }
      this.#threads.set(thread.key, record)
      const owned = this.#owners.get(thread.owner) ?? new Set()
      this.#owners.set(thread.owner, owned.add(record))
    }
    return Promise.resolve()
  }

  hasThread(thread: ThreadRef): Promise<boolean> {
    return Promise.resolve(this.#threads.has(thread.key))
  }

  threads(owner: string, { limit, before }: Page<ThreadCursor>): Promise<readonly ThreadSummary[]> {
    const found = [...(this.#owners.get(owner) ?? [])]
      .map((record) => record.summary)
      .filter((summary) => !before || latestFirst(before, summary) < 0)
      .sort(latestFirst)
    return Promise.resolve(found.slice(0, limit))
  }

  messages(thread: ThreadRef, { limit, before = Infinity }: Page): Promise<readonly StoredMessage[]> {
    const all = [...(this.#threads.get(thread.key)?.messages.values() ?? [])]
    const older = all.filter((entry) => entry.seq < before).sort((a, b) => a.seq - b.seq)
    return Promise.resolve(older.slice(Math.max(0, older.length - limit)))
  }

  saveMessages(thread: ThreadRef, messages: readonly StoredMessage[]): Promise<void> {
    const record = this.#threads.get(thread.key)
    if (record) {
      for (const entry of messages) record.messages.set(entry.message.id, entry)
      record.summary = { ...record.summary, updatedAt: Date.now() }
    }
    return Promise.resolve()
  }

  artifacts(thread: ThreadRef): ArtifactStore {
    return made(this.#artifacts, thread.key, () => new MemoryArtifactStore())
  }

  memories(thread: ThreadRef): Memories {
    const own = made(this.#ownMemories, thread.owner, () => new InMemoryMemoryStore())
    const ofThread = made(this.#threadMemories, thread.key, () => new InMemoryMemoryStore())
    return {
      save: (memory) => (memory.scope === 'thread' ? ofThread : own).save(memory),
      async search(query, limit) {
        const found = await Promise.all([own.search(query, limit), ofThread.search(query, limit)])
        return found
          .flat()
          .sort((a, b) => b.score - a.score)
          .slice(0, limit)
      },
    }
  }
}

function made<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}

function latestFirst(a: ThreadCursor, b: ThreadCursor): number {
  if (a.updatedAt !== b.updatedAt) return b.updatedAt - a.updatedAt
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0
}
