import { randomUUID } from 'node:crypto'
import type { AgentEvent } from '@turnpike/protocol'
import { rarityOf, wordsOf } from './words.ts'

/** Something to be remembered beyond its thread. */
export interface Memory {
  readonly id: string
  readonly text: string
  /** Whom it is for: `user` in all threads of the principal, `thread` in this one, or a name of the agent's own. */
  readonly scope: string
}

/** A memory that fits a query; `score` 0 to 1, the best first. */
export interface RecalledMemory {
  readonly id: string
  readonly text: string
  readonly score: number
}

/** The memories of a run's principal. What is written and recalled is told as an event. */
export interface Memories {
  /** @param scope - @default 'user' */
  write(text: string, scope?: string): Promise<Memory>
  /** @param limit - @default 5 */
  recall(query: string, limit?: number): Promise<readonly RecalledMemory[]>
}

/** Where memories are kept and searched; by principal and thread. */
export interface MemoryStore {
  save(memory: Memory): Promise<void>
  search(query: string, limit: number): Promise<readonly RecalledMemory[]>
}

export interface MemoriesOptions {
  /** Of the run's principal and thread. */
  readonly store: MemoryStore
  readonly emit: (event: AgentEvent) => void
}

/** Makes the memories of a run: what is written is stored first, and then told. */
export function createMemories({ store, emit }: MemoriesOptions): Memories {
  return {
    async write(text, scope = 'user') {
      if (typeof text !== 'string' || text.trim() === '') throw new TypeError('A memory needs a text.')
      const memory = { id: randomUUID(), text, scope }
      await store.save(memory)
      emit({ type: 'memory-write', memory })
      return memory
    },
    async recall(query, limit = 5) {
      if (!Number.isInteger(limit) || limit < 1) {
        throw new RangeError(`"limit" must be an integer from 1, got ${limit}.`)
      }
      const found = await store.search(query, limit)
      const memories = found.map(({ id, text, score }) => ({ id, text, score }))
      emit({ type: 'memory-recall-result', query, memories })
      return memories
    },
  }
}

/**
 * Keeps memories in memory and finds them by their words.
 *
 * It is a full-text search and no more: it knows neither synonyms nor inflections. A memory's score is the share of
 * the query's words it has, where a word counts the more the fewer memories have it.
 */
export class InMemoryMemoryStore implements MemoryStore {
  readonly #memories = new Map<string, { readonly memory: Memory; readonly words: ReadonlySet<string> }>()
  /** How many memories have a word. */
  readonly #spread = new Map<string, number>()

  save(memory: Memory): Promise<void> {
    this.#count(this.#memories.get(memory.id)?.words ?? [], -1)
    const words = wordsOf(memory.text)
    this.#memories.set(memory.id, { memory: { ...memory }, words })
    this.#count(words, 1)
    return Promise.resolve()
  }

  search(query: string, limit: number): Promise<readonly RecalledMemory[]> {
    const weights = [...wordsOf(query)].map((word) => ({ word, weight: this.#weight(word) }))
    const total = weights.reduce((sum, { weight }) => sum + weight, 0)
    const scored = [...this.#memories.values()].map(({ memory: { id, text }, words }) => {
      const matched = weights.reduce((sum, { word, weight }) => sum + (words.has(word) ? weight : 0), 0)
      return { id, text, score: matched / total }
    })
    // Sorting is stable: of two that fit equally well, the older comes first.
    const found = scored.filter(({ score }) => score > 0).toSorted((a, b) => b.score - a.score)
    return Promise.resolve(found.slice(0, limit))
  }

  #weight(word: string): number {
    return rarityOf(this.#spread.get(word) ?? 0, this.#memories.size)
  }

  #count(words: Iterable<string>, step: 1 | -1): void {
    for (const word of words) {
      const spread = (this.#spread.get(word) ?? 0) + step
      if (spread > 0) this.#spread.set(word, spread)
      else this.#spread.delete(word)
    }
  }
}
