import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { type SQLInputValue, type StatementSync, DatabaseSync } from 'node:sqlite'
import { setTimeout } from 'node:timers/promises'
import type { SqliteDatabase, SqliteStatement } from 'kysely'

/** How long another process may take to let go of the file. */
const BUSY_MS = 5_000
const RETRY_MS = 100
/** Statements that are kept prepared. */
const STATEMENTS = 256

const BUSY = 5

/** What SQLite answers where it cannot open a file, and what that means. */
const REASONS: Readonly<Record<number, string>> = {
  [BUSY]: 'is in use by another process',
  8: 'cannot be written to',
  11: 'is damaged',
  14: 'cannot be opened',
  26: 'is not a database',
}

/**
 * Opens a database of Node's own SQLite as Kysely wants it: a file, or without one in memory.
 *
 * A file belongs to one process at a time. Its lock ends with the process, however that ends.
 *
 * @throws Error that tells which file, and why it cannot be used
 */
export async function openSqlite(file?: string): Promise<SqliteDatabase> {
  if (file === undefined) return adapted(new DatabaseSync(':memory:'))
  const path = resolve(file)
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    // Made here, since SQLite would let others read it.
    closeSync(openSync(path, 'a', 0o600))
    return adapted(await openFile(path))
  } catch (cause) {
    throw new Error(`The database file ${path} ${reasonOf(cause)}.`, { cause })
  }
}

/** Waits by itself and not in SQLite, which would stop the whole process meanwhile. */
async function openFile(path: string): Promise<DatabaseSync> {
  const deadline = Date.now() + BUSY_MS
  for (;;) {
    const database = new DatabaseSync(path)
    try {
      // The lock first: what follows would touch a file that is another process's.
      database.exec('pragma locking_mode = exclusive; begin immediate; commit')
      database.exec('pragma journal_mode = wal; pragma synchronous = normal; pragma cache_size = -32768')
      return database
    } catch (error) {
      database.close()
      if (codeOf(error) !== BUSY || Date.now() >= deadline) throw error
    }
    await setTimeout(RETRY_MS)
  }
}

function codeOf(error: unknown): number | undefined {
  // Extended codes hold the plain one in their low byte.
  return error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : undefined
}

function reasonOf(cause: unknown): string {
  return (
    REASONS[codeOf(cause) ?? 0] ?? `cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`
  )
}

function adapted(database: DatabaseSync): SqliteDatabase {
  database.exec('pragma foreign_keys = on; pragma temp_store = memory')
  const statements = new Map<string, SqliteStatement>()
  return {
    close: () => database.close(),
    prepare(sql) {
      const known = statements.get(sql)
      if (known) {
        // Those asked for last are last in the map.
        statements.delete(sql)
        statements.set(sql, known)
        return known
      }
      const statement = adaptedStatement(database.prepare(sql))
      statements.set(sql, statement)
      const [oldest] = statements.keys()
      if (statements.size > STATEMENTS && oldest !== undefined) statements.delete(oldest)
      return statement
    },
  }
}

function adaptedStatement(statement: StatementSync): SqliteStatement {
  return {
    // Also an insert that returns something.
    reader: statement.columns().length > 0,
    all: (parameters) => statement.all(...parameters.map(inputOf)),
    run: (parameters) => statement.run(...parameters.map(inputOf)),
    iterate: (parameters) => statement.iterate(...parameters.map(inputOf)),
  }
}

function inputOf(value: unknown): SQLInputValue {
  if (typeof value === 'string' || typeof value === 'number' || value === null) return value
  if (typeof value === 'bigint' || value instanceof Uint8Array) return value
  throw new TypeError(`A column holds text, a number, bytes or null, got ${typeof value}.`)
}
