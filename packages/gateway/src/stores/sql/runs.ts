import { type Message, textOf } from '@turnpike/protocol'
import type { Insertable, Selectable, Transaction } from 'kysely'
import { threadRef } from '../thread-ref.ts'
import {
  type RunChange,
  type RunRecord,
  type RunStore,
  type StoredMessage,
  type UsageTotal,
  OWNERS,
} from '../store.ts'
import { fromJson, toJson } from './json-text.ts'
import { PreparedQuery } from './prepared-query.ts'
import type { Tables } from './schema.ts'
import type { SqlDatabase } from './sql-database.ts'
import { indexedWords } from './text-words.ts'
import { isUnfinished } from './unfinished.ts'

type Run = Pick<RunRecord, 'thread' | 'id'>
type Row = Selectable<Tables['runs']>
type NewRow = Omit<Insertable<Tables['runs']>, 'key'>
type RunColumns = Partial<
  Pick<
    Row,
    | 'state'
    | 'start_seq'
    | 'end_seq'
    | 'parked'
    | 'background'
    | 'input_tokens'
    | 'output_tokens'
    | 'finish_reason'
    | 'steps'
  >
>

/** Runs in a table, and what they write. */
export class SqlRuns implements RunStore {
  readonly #database: SqlDatabase
  // Each run comes by these, so they are prepared. Changes are of a few kinds, by the columns that they are of.
  readonly #changes = new Map<string, ReturnType<typeof changeOf>>()
  readonly #threadKey = new PreparedQuery((db, { owner, id }: { owner: string; id: string }) =>
    db.selectFrom('threads').select('key').where('owner', '=', owner).where('id', '=', id),
  )
  readonly #insert = new PreparedQuery((db, row: NewRow) =>
    db.insertInto('runs').values({
      thread_key: row.thread_key,
      owner: row.owner,
      id: row.id,
      agent: row.agent,
      principal_id: row.principal_id,
      principal: row.principal,
      charged_to: row.charged_to,
      fingerprint: row.fingerprint,
      input: row.input,
      settings: row.settings,
      tool_call: row.tool_call,
      message_id: row.message_id,
      state: row.state,
      created_at: row.created_at,
      start_seq: row.start_seq,
      end_seq: row.end_seq,
      parked: row.parked,
      background: row.background,
      input_tokens: row.input_tokens,
      output_tokens: row.output_tokens,
      finish_reason: row.finish_reason,
      steps: row.steps,
    }),
  )
  readonly #putMessage = new PreparedQuery(
    (db, { thread_key, run_key, id, seq, is_answer, body }: Insertable<Tables['messages']>) =>
      db
        .insertInto('messages')
        .values({ thread_key, run_key, id, seq, is_answer, body })
        .onConflict((conflict) =>
          conflict.columns(['thread_key', 'id']).doUpdateSet({ run_key, seq, is_answer, body }),
        )
        .returning('key'),
  )
  readonly #touchThread = new PreparedQuery((db, { key, updated_at }: { key: number; updated_at: number }) =>
    db.updateTable('threads').set({ updated_at }).where('key', '=', key),
  )

  constructor(database: SqlDatabase) {
    this.#database = database
  }

  create(run: RunRecord): Promise<void> {
    return this.#database.use(async (db) => {
      const { owner, id } = run.thread
      const thread = await this.#threadKey.first(db, { owner, id })
      if (!thread) throw new Error(`There is no thread "${id}" to add a run to.`)
      await this.#insert.all(db, {
        thread_key: thread.key,
        owner,
        id: run.id,
        agent: run.agent,
        principal_id: run.principal.id,
        principal: toJson(run.principal),
        charged_to: run.chargedTo ?? null,
        fingerprint: run.fingerprint,
        input: toJson(run.input),
        settings: run.settings ? toJson(run.settings) : null,
        tool_call: run.toolCall ? toJson(run.toolCall) : null,
        message_id: run.messageId,
        created_at: Date.now(),
        ...NO_CHANGE,
        ...columnsOf(run),
        state: run.state,
      })
    })
  }

  update(run: Run, change: RunChange, messages: readonly StoredMessage[] = []): Promise<void> {
    return this.#database.use(async (db) => {
      const written = messages.map(writtenOf)
      for (const { words } of written)
        if (words) await this.#database.engine.search.learn(db, run.thread.owner, words)
      await db.transaction().execute(async (transaction) => {
        const keys = await this.#change(transaction, run, change)
        if (!keys) throw new Error(`There is no run "${run.id}" to change.`)
        if (written.length === 0) return
        for (const message of written) await this.#write(transaction, { ...keys, ...message, run })
        await this.#touchThread.all(transaction, { key: keys.thread_key, updated_at: Date.now() })
      })
    })
  }

  #change(
    transaction: Transaction<Tables>,
    { thread, id }: Run,
    change: RunChange,
  ): Promise<Pick<Row, 'key' | 'thread_key'> | undefined> {
    const columns = columnsOf(change)
    const names = Object.keys(columns) as (keyof RunColumns)[]
    const kind = names.join()
    let query = this.#changes.get(kind)
    if (!query) this.#changes.set(kind, (query = changeOf(names)))
    return query.first(transaction, { ...columns, owner: thread.owner, run_id: id })
  }

  async #write(
    transaction: Transaction<Tables>,
    { run, words, ...row }: Written & { key: number; thread_key: number; run: Run },
  ): Promise<void> {
    const { key: run_key, thread_key, id, seq, is_answer, body } = row
    const message = { thread_key, run_key, id, seq, is_answer, body }
    const put = await this.#putMessage.first(transaction, message)
    if (!put || !words) return
    const { key } = put
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

  answer(owner: string, id: string): Promise<Message | undefined> {
    return this.#database.use(async (db) => {
      const row = await db
        .selectFrom('runs')
        .innerJoin('messages', 'messages.run_key', 'runs.key')
        .select('messages.body')
        .where('runs.owner', '=', owner)
        .where('runs.id', '=', id)
        .where('messages.is_answer', '=', 1)
        .executeTakeFirst()
      return row && fromJson(row.body)
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

  usage(principalId: string, since: number, chargedTo?: string): Promise<UsageTotal> {
    return this.#database.use(async (db) => {
      let query = db
        .selectFrom('runs')
        .select(({ fn }) => [
          fn.countAll().as('runs'),
          fn.sum('input_tokens').as('input'),
          fn.sum('output_tokens').as('output'),
          fn.min('created_at').as('first_at'),
        ])
        .where('principal_id', '=', principalId)
        .where('created_at', '>=', since)
      if (chargedTo !== undefined) query = query.where('charged_to', '=', chargedTo)
      const total = await query.executeTakeFirstOrThrow()
      // Sums are null of nothing, and some engines count in more than a number holds.
      return {
        runs: Number(total.runs),
        inputTokens: Number(total.input ?? 0),
        outputTokens: Number(total.output ?? 0),
        ...(total.first_at !== null && { firstAt: Number(total.first_at) }),
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

/** The change of some columns of a run; of none, it only finds the run. */
function changeOf(
  names: readonly (keyof RunColumns)[],
): PreparedQuery<RunColumns & { owner: string; run_id: string }, Pick<Row, 'key' | 'thread_key'>> {
  return new PreparedQuery((db, values) => {
    const { owner, run_id } = values
    if (names.length === 0) {
      return db
        .selectFrom('runs')
        .select(['key', 'thread_key'])
        .where('owner', '=', owner)
        .where('id', '=', run_id)
    }
    return db
      .updateTable('runs')
      .set(Object.fromEntries(names.map((name) => [name, values[name]])))
      .where('owner', '=', owner)
      .where('id', '=', run_id)
      .returning(['key', 'thread_key'])
  })
}

const NO_CHANGE = {
  start_seq: null,
  end_seq: null,
  parked: null,
  background: null,
  input_tokens: null,
  output_tokens: null,
  finish_reason: null,
  steps: null,
}

/** Only what changes. */
function columnsOf(change: RunChange): RunColumns {
  const { state, startSeq, endSeq, parked, background, usage, finishReason, steps } = change
  return {
    ...(state !== undefined && { state }),
    ...(startSeq !== undefined && { start_seq: startSeq }),
    ...(endSeq !== undefined && { end_seq: endSeq }),
    ...(parked !== undefined && { parked }),
    ...(background && { background: background.length > 0 ? toJson(background) : null }),
    ...(usage && { input_tokens: usage.inputTokens, output_tokens: usage.outputTokens }),
    ...(finishReason !== undefined && { finish_reason: finishReason }),
    ...(steps !== undefined && { steps }),
  }
}

function runOf(row: Row & { thread_id: string }): RunRecord {
  const { input_tokens: inputTokens, output_tokens: outputTokens } = row
  return {
    thread: threadRef({ id: row.owner }, row.thread_id),
    id: row.id,
    agent: row.agent,
    principal: fromJson(row.principal),
    ...(row.charged_to !== null && { chargedTo: row.charged_to }),
    fingerprint: row.fingerprint,
    input: fromJson(row.input),
    ...(row.settings !== null && { settings: fromJson(row.settings) }),
    ...(row.tool_call !== null && { toolCall: fromJson(row.tool_call) }),
    messageId: row.message_id,
    state: row.state,
    ...(row.start_seq !== null && { startSeq: row.start_seq }),
    ...(row.end_seq !== null && { endSeq: row.end_seq }),
    ...(row.parked !== null && { parked: row.parked }),
    ...(row.background !== null && { background: fromJson(row.background) }),
    ...(inputTokens !== null && outputTokens !== null && { usage: { inputTokens, outputTokens } }),
    ...(row.finish_reason !== null && { finishReason: row.finish_reason }),
    ...(row.steps !== null && { steps: row.steps }),
  }
}
