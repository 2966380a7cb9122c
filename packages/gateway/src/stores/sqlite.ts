import { Kysely, SqliteDialect, sql } from 'kysely'
import type { Store } from './store.ts'
import { Fts5Search } from './sql/fts5-search.ts'
import { openSqlite } from './sql/node-sqlite.ts'
import { SqlDatabase } from './sql/sql-database.ts'
import { sqlStore } from './sql/sql-store.ts'

export interface SqliteStoreOptions {
  /** Where to keep it; made where it is not there. Without a file it is in memory, and ends with the process. */
  readonly file?: string
}

/**
 * Makes a store of SQLite. It is opened at the first use: what is wrong with its file rejects that, and every other.
 *
 * A file is for one process at a time; another one is refused.
 */
export function sqliteStore({ file }: SqliteStoreOptions = {}): Store {
  const dialect = new SqliteDialect({ database: () => openSqlite(file) })
  const engine = { keyType: sql`integer`, search: new Fts5Search() }
  return sqlStore(new SqlDatabase(new Kysely({ dialect }), engine), { isDurable: file !== undefined })
}
