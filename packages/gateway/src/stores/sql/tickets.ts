import type { TicketRecord, TicketStore } from '../store.ts'
import { fromJson, toJson } from './json-text.ts'
import type { SqlDatabase } from './sql-database.ts'

/** Tickets in a table. */
export class SqlTickets implements TicketStore {
  readonly #database: SqlDatabase

  constructor(database: SqlDatabase) {
    this.#database = database
  }

  save(digest: string, { principal, expiresAt, credentialExpiresAt }: TicketRecord): Promise<void> {
    return this.#database.use(async (db) => {
      const changed = {
        principal: toJson(principal),
        expires_at: expiresAt,
        credential_expires_at: credentialExpiresAt ?? null,
      }
      await db.deleteFrom('tickets').where('expires_at', '<', Date.now()).execute()
      await db
        .insertInto('tickets')
        .values({ digest, ...changed })
        .onConflict((conflict) => conflict.column('digest').doUpdateSet(changed))
        .execute()
    })
  }

  take(digest: string): Promise<TicketRecord | undefined> {
    return this.#database.use(async (db) => {
      // One statement, so that of all who ask for it, one gets it.
      const row = await db
        .deleteFrom('tickets')
        .where('digest', '=', digest)
        .returningAll()
        .executeTakeFirst()
      if (!row) return undefined
      const { credential_expires_at: credentialExpiresAt } = row
      return {
        principal: fromJson(row.principal),
        expiresAt: row.expires_at,
        ...(credentialExpiresAt !== null && { credentialExpiresAt }),
      }
    })
  }
}
