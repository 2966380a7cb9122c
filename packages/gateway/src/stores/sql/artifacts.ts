import type { Artifact } from '@turnpike/agents'
import type { ArtifactStore } from '@turnpike/agents/host'
import type { ThreadRef } from '../thread-ref.ts'
import { fromJson, toJson } from './json-text.ts'
import type { SqlDatabase } from './sql-database.ts'

/** The artifacts of one thread, a row for each version. */
export class SqlArtifacts implements ArtifactStore {
  readonly #database: SqlDatabase
  readonly #thread: ThreadRef

  constructor(database: SqlDatabase, thread: ThreadRef) {
    this.#database = database
    this.#thread = thread
  }

  save({ id, version, kind, title, content }: Artifact): Promise<void> {
    return this.#database.use(async (db) => {
      const changed = { kind, title, content: toJson(content) }
      await db
        .insertInto('artifacts')
        .values({ owner: this.#thread.owner, thread_id: this.#thread.id, id, version, ...changed })
        .onConflict((conflict) =>
          conflict.columns(['owner', 'thread_id', 'id', 'version']).doUpdateSet(changed),
        )
        .execute()
    })
  }

  load(id: string, version?: number): Promise<Artifact | undefined> {
    return this.#database.use(async (db) => {
      let query = db
        .selectFrom('artifacts')
        .select(['id', 'version', 'kind', 'title', 'content'])
        .where('owner', '=', this.#thread.owner)
        .where('thread_id', '=', this.#thread.id)
        .where('id', '=', id)
      if (version !== undefined) query = query.where('version', '=', version)
      const row = await query.orderBy('version', 'desc').limit(1).executeTakeFirst()
      // Not the row as it is: engines make objects of their own.
      return row && { ...row, content: fromJson(row.content) }
    })
  }
}
