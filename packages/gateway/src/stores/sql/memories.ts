import type { Memory } from '@turnpike/agents'
import type { MemoryStore, RecalledMemory } from '@turnpike/agents/host'
import { rarityOf } from '@turnpike/agents/words'
import type { Kysely } from 'kysely'
import { type ThreadRef, ownedKey } from '../thread-ref.ts'
import type { Tables } from './schema.ts'
import { indexedWords, searchedWords } from './text-words.ts'
import type { SqlDatabase } from './sql-database.ts'

/** Beyond this many memories, no more are counted. Of a word that so many have, the latest are looked at. */
const COUNTED = 1_000

/**
 * What one principal has told to remember, in one thread and everywhere; scored as in `InMemoryMemoryStore`.
 *
 * Its words are rows and not of the engine's own search: that could count neither how many of one principal's
 * memories have a word, nor score in the same way everywhere.
 */
export class SqlMemories implements MemoryStore {
  readonly #database: SqlDatabase
  readonly #principalId: string
  /** Where a memory is found: in every thread, or in this one. */
  readonly #everywhere: string
  readonly #here: string

  constructor(database: SqlDatabase, thread: ThreadRef, principalId: string) {
    this.#database = database
    this.#principalId = principalId
    this.#everywhere = JSON.stringify([principalId])
    this.#here = ownedKey(principalId, thread.key)
  }

  save({ id, text, scope }: Memory): Promise<void> {
    return this.#database.use(async (db) => {
      const place = scope === 'thread' ? this.#here : this.#everywhere
      await db.transaction().execute(async (transaction) => {
        const { key } = await transaction
          .insertInto('memories')
          .values({ principal_id: this.#principalId, id, place, scope, text })
          .onConflict((conflict) =>
            conflict.columns(['principal_id', 'id']).doUpdateSet({ place, scope, text }),
          )
          .returning('key')
          .executeTakeFirstOrThrow()
        await transaction.deleteFrom('memory_words').where('memory_key', '=', key).execute()
        for (const word of indexedWords(text)) {
          await transaction.insertInto('memory_words').values({ place, word, memory_key: key }).execute()
        }
      })
    })
  }

  search(query: string, limit: number): Promise<readonly RecalledMemory[]> {
    return this.#database.use(async (db) => {
      const words = searchedWords(query)
      if (words.length === 0) return []
      const total = await this.#count(db)
      const scores = new Map<number, number>()
      let most = 0
      for (const word of words) {
        const keys = await this.#having(db, word)
        const weight = rarityOf(Math.min(keys.length, total), total)
        most += weight
        for (const key of keys) scores.set(key, (scores.get(key) ?? 0) + weight)
      }
      // Of two that fit equally well, the older comes first.
      const best = [...scores].sort(([a, ofA], [b, ofB]) => ofB - ofA || a - b).slice(0, limit)
      const texts = await textsOf(db, best)
      return best.flatMap(([key, score]) => {
        const memory = texts.get(key)
        return memory ? [{ ...memory, score: Math.min(1, score / most) }] : []
      })
    })
  }

  /** How many memories there are to choose from. */
  async #count(db: Kysely<Tables>): Promise<number> {
    const { count } = await db
      .selectFrom((from) =>
        from
          .selectFrom('memories')
          .select('key')
          .where('place', 'in', [this.#everywhere, this.#here])
          .limit(COUNTED)
          .as('counted'),
      )
      .select(({ fn }) => fn.countAll().as('count'))
      .executeTakeFirstOrThrow()
    return Number(count)
  }

  async #having(db: Kysely<Tables>, word: string): Promise<readonly number[]> {
    const keys: number[] = []
    for (const place of [this.#here, this.#everywhere]) {
      const rows = await db
        .selectFrom('memory_words')
        .select('memory_key')
        .where('place', '=', place)
        .where('word', '=', word)
        .orderBy('memory_key', 'desc')
        .limit(COUNTED)
        .execute()
      for (const { memory_key } of rows) keys.push(memory_key)
    }
    return keys
  }
}

async function textsOf(
  db: Kysely<Tables>,
  best: readonly (readonly [key: number, score: number])[],
): Promise<ReadonlyMap<number, { id: string; text: string }>> {
  if (best.length === 0) return new Map()
  const rows = await db
    .selectFrom('memories')
    .select(['key', 'id', 'text'])
    .where(
      'key',
      'in',
      best.map(([key]) => key),
    )
    .execute()
  return new Map(rows.map(({ key, id, text }) => [key, { id, text }]))
}
