import { textOf } from '@turnpike/protocol'
import type { Selectable, Transaction, Updateable } from 'kysely'
import { threadRef } from '../../thread-ref.ts'
import {
  type RunChange,
  type RunRecord,
  type RunStore,
  type StoredMessage,
  type UsageTotal,
  OWNERS,
} from '../../store.ts'
import { fromJson, toJson } from './json-text.ts'
import type { Tables } from './schema.ts'
import type { SqlDatabase } from './sql-database.ts'
import { indexedWords } from './text-words.ts'
import { isUnfinished } from './unfinished.ts'

type Run = Pick<RunRecord, 'thread' | 'id'>
type Row = Selectable<Tables['runs']>

/** Runs in a table, and what they write. */
export class SqlRuns implements RunStore {
  readonly #database: SqlDatabase

  constructor(database: SqlDatabase) {
    this.#database = database
  }

  create(run: RunRecord): Promise<void> {
    return this.#database.use(async (db) => {
      const { owner, id } = run.thread
      const thread = await db
        .selectFrom('threads')
        .select('key')
        .where('owner', '=', owner)
        .where('id', '=', id)
        .executeTakeFirst()
      if (!thread) throw new Error(`There is no thread "${id}" to add a run to.`)
      await db
        .insertInto('runs')
        .values({
          ...columnsOf(run),
          thread_key: thread.key,
          owner,
          id: run.id,
          agent: run.agent,
          principal_id: run.principal.id,
          principal: toJson(run.principal),
          fingerprint: run.fingerprint,
          input: toJson(run.input),
          message_id: run.messageId,
          state: run.state,
          created_at: Date.now(),
        })
        .execute()
    })
  }

  update(run: Run, change: RunChange, messages: readonly StoredMessage[] = []): Promise<void> {
    return this.#database.use(async (db) => {
      const written = messages.map(writtenOf)
      for (const { words } of written)
        if (words) await this.#database.engine.search.learn(db, run.thread.owner, words)
      await db.transaction().execute(async (transaction) => {
        const keys = await changeRun(transaction, run, change)
        if (!keys) throw new Error(`There is no run "${run.id}" to change.`)
        if (written.length === 0) return
        for (const message of written) await this.#write(transaction, { ...keys, ...message, run })
        await transaction
          .updateTable('threads')
          .set({ updated_at: Date.now() })
          .where('key', '=', keys.thread_key)
          .execute()
      })
    })
  }

  async #write(
    transaction: Transaction<Tables>,
    { run, words, ...row }: Written & { key: number; thread_key: number; run: Run },
  ): Promise<void> {
    const { key: run_key, thread_key, id, seq, is_answer, body } = row
    const { key } = await transaction
      .insertInto('messages')
      .values({ thread_key, run_key, id, seq, is_answer, body })
      .onConflict((conflict) =>
        conflict.columns(['thread_key', 'id']).doUpdateSet({ run_key, seq, is_answer, body }),
      )
      .returning('key')
      .executeTakeFirstOrThrow()
    if (!words) return
    await this.#database.engine.search.add(transaction, 'messages', { key, owner: run.thread.owner, words })
  }

  find(owner: string, id: string): Promise<RunRecord | undefined> {
    return this.#database.use(async (db) => {
      const row = await db
        .selectFrom('runs')
        .innerJoin('threads', 'threads.key', 'runs.thread_key')
        .selectAll('runs')
        .select('threads.id as thread_id')
        .where('runs.owner', '=', owner)
        .where('runs.id', '=', id)
        .executeTakeFirst()
      return row && runOf(row)
    })
  }

  unfinished(): Promise<readonly RunRecord[]> {
    return this.#database.use(async (db) => {
      const rows = await db
        .selectFrom('runs')
        .innerJoin('threads', 'threads.key', 'runs.thread_key')
        .selectAll('runs')
        .select('threads.id as thread_id')
        // Found by their index first, since sorting them by key would tempt the engine to go through all runs.
        .where('runs.key', 'in', db.selectFrom('runs').select('key').where(isUnfinished))
        .orderBy('runs.key')
        .execute()
      return rows.map(runOf)
    })
  }

  usage(principalId: string, since: number): Promise<UsageTotal> {
    return this.#database.use(async (db) => {
      const total = await db
        .selectFrom('runs')
        .select(({ fn }) => [
          fn.countAll().as('runs'),
          fn.sum('input_tokens').as('input'),
          fn.sum('output_tokens').as('output'),
        ])
        .where('principal_id', '=', principalId)
        .where('created_at', '>=', since)
        .executeTakeFirstOrThrow()
      // Sums are null of nothing, and some engines count in more than a number holds.
      return {
        runs: Number(total.runs),
        inputTokens: Number(total.input ?? 0),
        outputTokens: Number(total.output ?? 0),
      }
    })
  }

  owners(id: string): Promise<readonly string[]> {
    return this.#database.use(async (db) => {
      const query = db.selectFrom('runs').select('owner').where('id', '=', id).orderBy('key').limit(OWNERS)
      return (await query.execute()).map(({ owner }) => owner)
    })
  }
}

interface Written {
  readonly id: string
  readonly seq: number
  readonly is_answer: number
  readonly body: Tables['messages']['body']
  /** What it is found by; an answer that is not finished is not found yet. */
  readonly words?: ReadonlySet<string>
}

function writtenOf({ message, seq }: StoredMessage): Written {
  const { id, role, status } = message
  const row = { id, seq, is_answer: role === 'assistant' ? 1 : 0, body: toJson(message) }
  return status === 'open' ? row : { ...row, words: indexedWords(textOf(message)) }
}

async function changeRun(
  transaction: Transaction<Tables>,
  { thread, id }: Run,
  change: RunChange,
): Promise<Pick<Row, 'key' | 'thread_key'> | undefined> {
  const columns = columnsOf(change)
  if (Object.keys(columns).length === 0) {
    return transaction
      .selectFrom('runs')
      .select(['key', 'thread_key'])
      .where('owner', '=', thread.owner)
      .where('id', '=', id)
      .executeTakeFirst()
  }
  return transaction
    .updateTable('runs')
    .set(columns)
    .where('owner', '=', thread.owner)
    .where('id', '=', id)
    .returning(['key', 'thread_key'])
    .executeTakeFirst()
}

/** Only what changes. */
function columnsOf({
  state,
  startSeq,
  endSeq,
  parked,
  background,
  usage,
}: RunChange): Updateable<Tables['runs']> {
  return {
    ...(state !== undefined && { state }),
    ...(startSeq !== undefined && { start_seq: startSeq }),
    ...(endSeq !== undefined && { end_seq: endSeq }),
    ...(parked !== undefined && { parked }),
    ...(background && { background: background.length > 0 ? toJson(background) : null }),
    ...(usage && { input_tokens: usage.inputTokens, output_tokens: usage.outputTokens }),
  }
}

function runOf(row: Row & { thread_id: string }): RunRecord {
  const { input_tokens: inputTokens, output_tokens: outputTokens } = row
  return {
    thread: threadRef({ id: row.owner }, row.thread_id),
    id: row.id,
    agent: row.agent,
    principal: fromJson(row.principal),
    fingerprint: row.fingerprint,
    input: fromJson(row.input),
    messageId: row.message_id,
    state: row.state,
    ...(row.start_seq !== null && { startSeq: row.start_seq }),
    ...(row.end_seq !== null && { endSeq: row.end_seq }),
    ...(row.parked !== null && { parked: row.parked }),
    ...(row.background !== null && { background: fromJson(row.background) }),
    ...(inputTokens !== null && outputTokens !== null && { usage: { inputTokens, outputTokens } }),
  }
}
