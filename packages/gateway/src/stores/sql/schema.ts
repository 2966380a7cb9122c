import type { Principal } from '@turnpike/agents'
import type { ApprovalDecision, DirectCall, RunSettings } from '@turnpike/agents/host'
import type { EventId, FinishReason, Message } from '@turnpike/protocol'
import type { Generated } from 'kysely'
import type { RunChange, RunState } from '../store.ts'
import type { JsonText } from './json-text.ts'

/**
 * The tables, as every engine has them. Integers fit a double and times are milliseconds; an engine that counts in
 * 64 bits has to hand them over as numbers.
 */
export interface Tables {
  threads: ThreadTable
  runs: RunTable
  messages: MessageTable
  approvals: ApprovalTable
  artifacts: ArtifactTable
  memories: MemoryTable
  memory_words: MemoryWordTable
  tickets: TicketTable
}

interface ThreadTable {
  key: Generated<number>
  owner: string
  id: string
  title: string
  created_at: number
  updated_at: number
  /** The last event, where that is known exactly. */
  head: EventId | null
  /** The end of the numbers that may have been given away since then. */
  reserved: number | null
}

interface RunTable {
  key: Generated<number>
  thread_key: number
  owner: string
  id: string
  agent: string
  principal_id: string
  principal: JsonText<Principal>
  charged_to: string | null
  fingerprint: string
  input: JsonText<Message>
  settings: JsonText<RunSettings> | null
  tool_call: JsonText<DirectCall> | null
  message_id: string
  state: RunState
  start_seq: number | null
  end_seq: number | null
  parked: string | null
  background: JsonText<NonNullable<RunChange['background']>> | null
  input_tokens: number | null
  output_tokens: number | null
  finish_reason: FinishReason | null
  steps: number | null
  created_at: number
}

interface MessageTable {
  key: Generated<number>
  thread_key: number
  run_key: number
  id: string
  seq: number
  /** 0 for a question and 1 for an answer: how messages of one run are sorted. */
  is_answer: number
  body: JsonText<Message>
}

interface ApprovalTable {
  key: Generated<number>
  owner: string
  id: string
  thread_id: string
  run_id: string
  tool_call_id: string
  tool: string
  expires_at: number
  decision: JsonText<ApprovalDecision> | null
}

interface ArtifactTable {
  owner: string
  thread_id: string
  id: string
  version: number
  kind: string
  title: string
  content: JsonText<unknown>
}

interface MemoryTable {
  key: Generated<number>
  principal_id: string
  id: string
  /** Where it is found: everywhere, or in one thread. */
  place: string
  scope: string
  text: string
}

interface MemoryWordTable {
  place: string
  word: string
  memory_key: number
}

interface TicketTable {
  digest: string
  principal: JsonText<Principal>
  expires_at: number
  credential_expires_at: number | null
}
