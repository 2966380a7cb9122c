import type { Compilable, CompiledQuery, Kysely } from 'kysely'
import type { Tables } from './schema.ts'

/** Where a value will be. */
class Slot {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

/** Hands out slots as if they were values. */
const slots = new Proxy({}, { get: (_, name) => new Slot(String(name)) })

/**
 * A query that is put together once and then only given its values: to put one together takes several times as long as
 * SQLite takes to answer it. For one database, and for queries whose text does not depend on a value.
 */
export class PreparedQuery<Values extends object, Row> {
  readonly #build: (db: Kysely<Tables>, values: Values) => Compilable<Row>
  #query: CompiledQuery<Row> | undefined

  constructor(build: (db: Kysely<Tables>, values: Values) => Compilable<Row>) {
    this.#build = build
  }

  async all(db: Kysely<Tables>, values: Values): Promise<readonly Row[]> {
    const query = (this.#query ??= this.#build(db, slots as Values).compile())
    const given = values as Readonly<Record<string, unknown>>
    const parameters = query.parameters.map((value) => (value instanceof Slot ? given[value.name] : value))
    return (await db.executeQuery<Row>({ ...query, parameters })).rows
  }

  async first(db: Kysely<Tables>, values: Values): Promise<Row | undefined> {
    return (await this.all(db, values))[0]
  }
}
