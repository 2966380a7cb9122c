import type { Kysely } from 'kysely'
import type { ThreadRef } from '../thread-ref.ts'
import {
  type Page,
  type StoredMessage,
  type ThreadCursor,
  type ThreadPage,
  type ThreadStore,
  type ThreadSummary,
  OWNERS,
} from '../store.ts'
import { fromJson } from './json-text.ts'
import { PreparedQuery } from './prepared-query.ts'
import type { Tables } from './schema.ts'
import { indexedWords, searchedWords } from './text-words.ts'
import type { SqlDatabase } from './sql-database.ts'

const SUMMARY = ['threads.id', 'title', 'created_at', 'updated_at'] as const

/** More than any page may ask for, and a number to every engine. */
const MOST_ROWS = 1_000_000
/** Behind every event there may be. */
const LAST_SEQ = Number.MAX_SAFE_INTEGER

/** Threads and their messages in tables. */
export class SqlThreads implements ThreadStore {
  readonly #database: SqlDatabase
  readonly #key = new PreparedQuery((db, { owner, id }: ThreadRef) =>
    db.selectFrom('threads').select('key').where('owner', '=', owner).where('id', '=', id),
  )
  readonly #messages = new PreparedQuery(
    (db, { owner, id, before, limit }: { owner: string; id: string; before: number; limit: number }) =>
      db
        .selectFrom('messages')
        .select(['body', 'seq'])
        .where('thread_key', '=', (where) =>
          where.selectFrom('threads').select('key').where('owner', '=', owner).where('id', '=', id),
        )
        .where('seq', '<', before)
        .orderBy('seq', 'desc')
        .orderBy('is_answer', 'desc')
        .orderBy('key', 'desc')
        .limit(limit),
  )

  constructor(database: SqlDatabase) {
    this.#database = database
  }

  open(thread: ThreadRef, title: string): Promise<void> {
    return this.#database.use(async (db) => {
      if (await this.#key.first(db, thread)) return
      const { search } = this.#database.engine
      const { owner, id } = thread
      const words = indexedWords(title)
      await search.learn(db, owner, words)
      const now = Date.now()
      await db.transaction().execute(async (transaction) => {
        const made = await transaction
          .insertInto('threads')
          .values({ owner, id, title, created_at: now, updated_at: now, head: null, reserved: null })
          .onConflict((conflict) => conflict.doNothing())
          .returning('key')
          .executeTakeFirst()
        if (made) await search.add(transaction, 'titles', { key: made.key, owner, words })
      })
    })
  }

  has(thread: ThreadRef): Promise<boolean> {
    return this.#database.use(async (db) => (await this.#key.first(db, thread)) !== undefined)
  }

  list(owner: string, page: ThreadPage): Promise<readonly ThreadSummary[]> {
    return this.#database.use(async (db) => {
      const { search } = page
      if (search === undefined || search.trim() === '') return listed(db, owner, page)
      const words = searchedWords(search)
      return words.length === 0 ? [] : this.#found(db, { owner, page, words })
    })
  }

  async #found(
    db: Kysely<Tables>,
    { owner, page, words }: { owner: string; page: ThreadPage; words: readonly string[] },
  ): Promise<readonly ThreadSummary[]> {
    const { titles, messages } = await this.#database.engine.search.find(db, owner, words)
    let query = db
      .with('found', (found) =>
        found
          .selectFrom(messages.as('matched'))
          .innerJoin('messages', 'messages.key', 'matched.key')
          .select('messages.thread_key as key')
          .union(found.selectFrom(titles.as('matched')).select('matched.key')),
      )
      .selectFrom('found')
      // Not an inner join: it tells the engine to begin with what was found, which is few.
      .crossJoin('threads')
      .select(SUMMARY)
      .whereRef('threads.key', '=', 'found.key')
      .where('threads.owner', '=', owner)
    const { before } = page
    if (before) {
      query = query
        .where('updated_at', '<=', before.updatedAt)
        .where((where) =>
          where.or([where('updated_at', '<', before.updatedAt), where('threads.id', '>', before.id)]),
        )
    }
    const rows = await query.orderBy('updated_at', 'desc').orderBy('threads.id').limit(rowsOf(page)).execute()
    return rows.map(summaryOf)
  }

  messages({ owner, id }: ThreadRef, page: Page): Promise<readonly StoredMessage[]> {
    return this.#database.use(async (db) => {
      const before = Math.min(page.before ?? LAST_SEQ, LAST_SEQ)
      const rows = await this.#messages.all(db, { owner, id, before, limit: rowsOf(page) })
      return rows.map(({ body, seq }) => ({ message: fromJson(body), seq })).toReversed()
    })
  }

  owners(id: string): Promise<readonly string[]> {
    return this.#database.use(async (db) => {
      const query = db.selectFrom('threads').select('owner').where('id', '=', id).orderBy('key').limit(OWNERS)
      return (await query.execute()).map(({ owner }) => owner)
    })
  }
}

async function listed(
  db: Kysely<Tables>,
  owner: string,
  page: Page<ThreadCursor>,
): Promise<readonly ThreadSummary[]> {
  let query = db.selectFrom('threads').select(SUMMARY).where('owner', '=', owner)
  const { before } = page
  if (before) {
    // The first condition is a range of the index, the second leaves out what of its first moment was seen.
    query = query
      .where('updated_at', '<=', before.updatedAt)
      .where((where) => where.or([where('updated_at', '<', before.updatedAt), where('id', '>', before.id)]))
  }
  const rows = await query.orderBy('updated_at', 'desc').orderBy('id').limit(rowsOf(page)).execute()
  return rows.map(summaryOf)
}

function summaryOf(row: {
  id: string
  title: string
  created_at: number
  updated_at: number
}): ThreadSummary {
  return { id: row.id, title: row.title, createdAt: row.created_at, updatedAt: row.updated_at }
}

function rowsOf({ limit }: Page<unknown>): number {
  return Math.max(0, Math.min(limit, MOST_ROWS))
}
