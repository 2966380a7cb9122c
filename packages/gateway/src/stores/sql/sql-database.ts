import type { Kysely } from 'kysely'
import { type MigrationProvider, Migrator } from 'kysely/migration'
import type { SqlEngine } from './engine.ts'
import { migrations } from './migrations.ts'
import type { Tables } from './schema.ts'

/** A database whose tables are made, or brought up to date, before its first query. */
export class SqlDatabase {
  readonly engine: SqlEngine
  readonly #kysely: Kysely<Tables>
  readonly #using = new Set<Promise<void>>()
  #ready: Promise<Kysely<Tables>> | undefined
  #closed: Promise<void> | undefined

  constructor(kysely: Kysely<Tables>, engine: SqlEngine) {
    this.#kysely = kysely
    this.engine = engine
  }

  /**
   * Does one thing with it, for which {@link close} waits.
   *
   * @throws Error where it cannot be opened, or has been closed
   */
  use<Result>(work: (db: Kysely<Tables>) => Promise<Result>): Promise<Result> {
    if (this.#closed) return Promise.reject(new Error('The store has been closed.'))
    this.#ready ??= this.#migrate()
    const used = this.#ready.then(work)
    const ended = used.then(
      () => {},
      () => {},
    )
    this.#using.add(ended)
    void ended.then(() => this.#using.delete(ended))
    return used
  }

  /** Ends once what was begun before has ended. */
  close(): Promise<void> {
    this.#closed ??= Promise.all(this.#using).then(() => this.#kysely.destroy())
    return this.#closed
  }

  async #migrate(): Promise<Kysely<Tables>> {
    const provider: MigrationProvider = { getMigrations: () => Promise.resolve(migrations(this.engine)) }
    const { error } = await new Migrator({ db: this.#kysely, provider }).migrateToLatest()
    if (error === undefined) return this.#kysely
    if (error instanceof Error && error.message.startsWith('corrupted migrations')) {
      throw new Error(
        'The database was made by a newer version of Turnpike: run that one, or use another database.',
        {
          cause: error,
        },
      )
    }
    throw error
  }
}
