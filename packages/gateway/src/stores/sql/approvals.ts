import type { Selectable } from 'kysely'
import { threadRef } from '../thread-ref.ts'
import { type ApprovalRecord, type ApprovalStore, OWNERS } from '../store.ts'
import { fromJson, toJson } from './json-text.ts'
import type { Tables } from './schema.ts'
import type { SqlDatabase } from './sql-database.ts'

/** Approvals in a table. */
export class SqlApprovals implements ApprovalStore {
  readonly #database: SqlDatabase

  constructor(database: SqlDatabase) {
    this.#database = database
  }

  save({ thread, decision, ...approval }: ApprovalRecord): Promise<void> {
    return this.#database.use(async (db) => {
      await db
        .insertInto('approvals')
        .values({
          owner: thread.owner,
          thread_id: thread.id,
          run_id: approval.runId,
          id: approval.id,
          tool_call_id: approval.toolCallId,
          tool: approval.tool,
          expires_at: approval.expiresAt,
          decision: decision ? toJson(decision) : null,
        })
        .onConflict((conflict) =>
          conflict.columns(['owner', 'id']).doUpdateSet((where) => ({
            expires_at: where.ref('excluded.expires_at'),
            // What was decided stays so.
            decision: where.fn.coalesce('excluded.decision', 'approvals.decision'),
          })),
        )
        .execute()
    })
  }

  find(owner: string, id: string): Promise<ApprovalRecord | undefined> {
    return this.#database.use(async (db) => {
      const query = db.selectFrom('approvals').selectAll().where('owner', '=', owner).where('id', '=', id)
      const row = await query.executeTakeFirst()
      return row && approvalOf(row)
    })
  }

  ofRun(owner: string, runId: string): Promise<readonly ApprovalRecord[]> {
    return this.#database.use(async (db) => {
      const query = db
        .selectFrom('approvals')
        .selectAll()
        .where('owner', '=', owner)
        .where('run_id', '=', runId)
      return (await query.orderBy('key').execute()).map(approvalOf)
    })
  }

  owners(id: string): Promise<readonly string[]> {
    return this.#database.use(async (db) => {
      const query = db
        .selectFrom('approvals')
        .select('owner')
        .where('id', '=', id)
        .orderBy('key')
        .limit(OWNERS)
      return (await query.execute()).map(({ owner }) => owner)
    })
  }
}

function approvalOf(row: Selectable<Tables['approvals']>): ApprovalRecord {
  return {
    thread: threadRef({ id: row.owner }, row.thread_id),
    runId: row.run_id,
    id: row.id,
    toolCallId: row.tool_call_id,
    tool: row.tool,
    expiresAt: row.expires_at,
    ...(row.decision !== null && { decision: fromJson(row.decision) }),
  }
}
