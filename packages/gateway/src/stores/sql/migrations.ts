import { type Kysely, sql } from 'kysely'
import type { Migration } from 'kysely/migration'
import type { SqlEngine } from './engine.ts'
import { isUnfinished } from './unfinished.ts'

type Database = Kysely<unknown>

/** Every step from nothing to the present tables. One that has run somewhere is never edited: add another. */
export function migrations({ keyType, search }: SqlEngine): Record<string, Migration> {
  return {
    '0001-tables': {
      async up(db: Database) {
        await createThreads(db, keyType)
        await createRuns(db, keyType)
        await createMessages(db, keyType)
        await createApprovals(db, keyType)
        await createArtifacts(db)
        await createMemories(db, keyType)
        await createTickets(db)
        await search.migrate(db)
      },
    },
    '0002-charged-runs': { up: chargeRuns },
    '0003-run-requests': { up: addRequests },
  }
}

type KeyType = SqlEngine['keyType']

async function createThreads(db: Database, keyType: KeyType): Promise<void> {
  await db.schema
    .createTable('threads')
    .addColumn('key', sql`${keyType}`, (column) => column.primaryKey())
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('id', 'text', (column) => column.notNull())
    .addColumn('title', 'text', (column) => column.notNull())
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addColumn('updated_at', 'bigint', (column) => column.notNull())
    .addColumn('head', 'text')
    .addColumn('reserved', 'bigint')
    .addUniqueConstraint('threads_name', ['owner', 'id'])
    .execute()
  await db.schema
    .createIndex('threads_latest')
    .on('threads')
    .columns(['owner', 'updated_at desc', 'id'])
    .execute()
  await db.schema.createIndex('threads_id').on('threads').columns(['id', 'key']).execute()
}

async function createRuns(db: Database, keyType: KeyType): Promise<void> {
  await db.schema
    .createTable('runs')
    .addColumn('key', sql`${keyType}`, (column) => column.primaryKey())
    .addColumn('thread_key', 'bigint', (column) => column.notNull().references('threads.key'))
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('id', 'text', (column) => column.notNull())
    .addColumn('agent', 'text', (column) => column.notNull())
    .addColumn('principal_id', 'text', (column) => column.notNull())
    .addColumn('principal', 'text', (column) => column.notNull())
    .addColumn('fingerprint', 'text', (column) => column.notNull())
    .addColumn('input', 'text', (column) => column.notNull())
    .addColumn('message_id', 'text', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('start_seq', 'bigint')
    .addColumn('end_seq', 'bigint')
    .addColumn('parked', 'text')
    .addColumn('background', 'text')
    .addColumn('input_tokens', 'bigint')
    .addColumn('output_tokens', 'bigint')
    .addColumn('created_at', 'bigint', (column) => column.notNull())
    .addUniqueConstraint('runs_name', ['owner', 'id'])
    .execute()
  await db.schema.createIndex('runs_id').on('runs').columns(['id', 'key']).execute()
  await db.schema
    .createIndex('runs_usage')
    .on('runs')
    .columns(['principal_id', 'created_at', 'input_tokens', 'output_tokens'])
    .execute()
  await db.schema
    .createIndex('runs_unfinished')
    .on('runs')
    .columns(['thread_key'])
    .where(isUnfinished)
    .execute()
}

/** Whose budget runs of anonymous senders are taken from; all others are taken from their sender's. */
async function chargeRuns(db: Database): Promise<void> {
  await db.schema.alterTable('runs').addColumn('charged_to', 'text').execute()
  await db.schema
    .createIndex('runs_charged')
    .on('runs')
    .columns(['charged_to', 'principal_id', 'created_at', 'input_tokens', 'output_tokens'])
    .where(sql.ref('charged_to'), 'is not', null)
    .execute()
}

/** What a run is asked for beside its message, and how it has ended. */
async function addRequests(db: Database): Promise<void> {
  await db.schema.alterTable('runs').addColumn('settings', 'text').execute()
  await db.schema.alterTable('runs').addColumn('tool_call', 'text').execute()
  await db.schema.alterTable('runs').addColumn('finish_reason', 'text').execute()
  await db.schema.alterTable('runs').addColumn('steps', 'integer').execute()
}

async function createMessages(db: Database, keyType: KeyType): Promise<void> {
  await db.schema
    .createTable('messages')
    .addColumn('key', sql`${keyType}`, (column) => column.primaryKey())
    .addColumn('thread_key', 'bigint', (column) => column.notNull().references('threads.key'))
    .addColumn('run_key', 'bigint', (column) => column.notNull().references('runs.key'))
    .addColumn('id', 'text', (column) => column.notNull())
    .addColumn('seq', 'bigint', (column) => column.notNull())
    .addColumn('is_answer', 'integer', (column) => column.notNull())
    .addColumn('body', 'text', (column) => column.notNull())
    .addUniqueConstraint('messages_name', ['thread_key', 'id'])
    .execute()
  await db.schema
    .createIndex('messages_order')
    .on('messages')
    .columns(['thread_key', 'seq', 'is_answer', 'key'])
    .execute()
  await db.schema.createIndex('messages_run').on('messages').columns(['run_key']).execute()
}

async function createApprovals(db: Database, keyType: KeyType): Promise<void> {
  await db.schema
    .createTable('approvals')
    .addColumn('key', sql`${keyType}`, (column) => column.primaryKey())
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('id', 'text', (column) => column.notNull())
    .addColumn('thread_id', 'text', (column) => column.notNull())
    .addColumn('run_id', 'text', (column) => column.notNull())
    .addColumn('tool_call_id', 'text', (column) => column.notNull())
    .addColumn('tool', 'text', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('decision', 'text')
    .addUniqueConstraint('approvals_name', ['owner', 'id'])
    .execute()
  await db.schema.createIndex('approvals_id').on('approvals').columns(['id', 'key']).execute()
  await db.schema.createIndex('approvals_run').on('approvals').columns(['owner', 'run_id', 'key']).execute()
}

async function createArtifacts(db: Database): Promise<void> {
  await db.schema
    .createTable('artifacts')
    .addColumn('owner', 'text', (column) => column.notNull())
    .addColumn('thread_id', 'text', (column) => column.notNull())
    .addColumn('id', 'text', (column) => column.notNull())
    .addColumn('version', 'bigint', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('title', 'text', (column) => column.notNull())
    .addColumn('content', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('artifacts_name', ['owner', 'thread_id', 'id', 'version'])
    .execute()
}

async function createMemories(db: Database, keyType: KeyType): Promise<void> {
  await db.schema
    .createTable('memories')
    .addColumn('key', sql`${keyType}`, (column) => column.primaryKey())
    .addColumn('principal_id', 'text', (column) => column.notNull())
    .addColumn('id', 'text', (column) => column.notNull())
    .addColumn('place', 'text', (column) => column.notNull())
    .addColumn('scope', 'text', (column) => column.notNull())
    .addColumn('text', 'text', (column) => column.notNull())
    .addUniqueConstraint('memories_name', ['principal_id', 'id'])
    .execute()
  await db.schema.createIndex('memories_place').on('memories').columns(['place']).execute()
  await db.schema
    .createTable('memory_words')
    .addColumn('place', 'text', (column) => column.notNull())
    .addColumn('word', 'text', (column) => column.notNull())
    .addColumn('memory_key', 'bigint', (column) => column.notNull().references('memories.key'))
    .addPrimaryKeyConstraint('memory_words_name', ['place', 'word', 'memory_key'])
    .execute()
  await db.schema.createIndex('memory_words_memory').on('memory_words').columns(['memory_key']).execute()
}

async function createTickets(db: Database): Promise<void> {
  await db.schema
    .createTable('tickets')
    .addColumn('digest', 'text', (column) => column.primaryKey())
    .addColumn('principal', 'text', (column) => column.notNull())
    .addColumn('expires_at', 'bigint', (column) => column.notNull())
    .addColumn('credential_expires_at', 'bigint')
    .execute()
  await db.schema.createIndex('tickets_expiry').on('tickets').columns(['expires_at']).execute()
}
