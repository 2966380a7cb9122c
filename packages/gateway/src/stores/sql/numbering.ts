import { type EventId, ORIGIN, mintEventId, parseEventId, seqOf } from '@turnpike/protocol'
import type { ThreadRef } from '../thread-ref.ts'
import type { Numbering, StoredMessage } from '../store.ts'
import { fromJson } from './json-text.ts'
import type { SqlDatabase } from './sql-database.ts'
import { isUnfinished } from './unfinished.ts'

/** Where the numbers of events go on, as columns of their thread. */
export class SqlNumbering implements Numbering {
  readonly #database: SqlDatabase

  constructor(database: SqlDatabase) {
    this.#database = database
  }

  resume({ owner, id }: ThreadRef): Promise<{ head: EventId; open: readonly StoredMessage[] }> {
    return this.#database.use(async (db) => {
      const thread = await db
        .selectFrom('threads')
        .select(['key', 'head', 'reserved', 'updated_at'])
        .where('owner', '=', owner)
        .where('id', '=', id)
        .executeTakeFirst()
      if (!thread) return { head: ORIGIN, open: [] }
      const head = headOf(thread)
      // From now on this is the head: clients are told of it, and it has to be the same after another restart.
      if (head !== (thread.head ?? ORIGIN)) {
        await db.updateTable('threads').set({ head, reserved: null }).where('key', '=', thread.key).execute()
      }
      const open = await db
        .with('open', (runs) =>
          runs
            .selectFrom('runs')
            .select('key')
            .where(isUnfinished)
            .where('thread_key', '=', thread.key)
            .where('state', 'in', ['queued', 'running', 'parked']),
        )
        .selectFrom('open')
        .innerJoin('messages', 'messages.run_key', 'open.key')
        .select(['body', 'seq'])
        .orderBy('seq')
        .orderBy('is_answer')
        .orderBy('messages.key')
        .execute()
      return { head, open: open.map(({ body, seq }) => ({ message: fromJson(body), seq })) }
    })
  }

  reserve({ owner, id }: ThreadRef, upTo: number): Promise<void> {
    return this.#database.use(async (db) => {
      await db
        .updateTable('threads')
        .set({ reserved: upTo })
        .where('owner', '=', owner)
        .where('id', '=', id)
        // What may have been given away stays so, whatever order reservations come in.
        .where((where) => where.or([where('reserved', 'is', null), where('reserved', '<', upTo)]))
        .execute()
    })
  }

  settle({ owner, id }: ThreadRef, head: EventId): Promise<void> {
    return this.#database.use(async (db) => {
      await db
        .updateTable('threads')
        .set({ head, reserved: null })
        .where('owner', '=', owner)
        .where('id', '=', id)
        .execute()
    })
  }
}

function headOf(thread: { head: EventId | null; reserved: number | null; updated_at: number }): EventId {
  const head = thread.head ?? ORIGIN
  const { reserved } = thread
  if (reserved === null || reserved <= seqOf(head)) return head
  // Later than every event there may have been, even where the clock was set back.
  return mintEventId(Math.max(Date.now(), thread.updated_at, parseEventId(head).ms), reserved)
}
