import type { Principal } from '@turnpike/agents'
import type {
  ApprovalDecision,
  ArtifactStore,
  DirectCall,
  MemoryStore,
  RunSettings,
} from '@turnpike/agents/host'
import type { EventId, EventOf, FinishReason, Message, Usage } from '@turnpike/protocol'
import type { ThreadRef } from './thread-ref.ts'

/** What outlives the process: threads, runs, approvals, artifacts, memories. Where it holds nothing yet, it makes it. */
export interface Store {
  /** Whether another process finds what this one has left; without that, nothing can wait for a restart. */
  readonly isDurable: boolean
  readonly threads: ThreadStore
  readonly numbering: Numbering
  readonly runs: RunStore
  readonly approvals: ApprovalStore
  readonly tickets: TicketStore
  /** The artifacts of a thread, every version. */
  readonly artifacts: (thread: ThreadRef) => ArtifactStore
  /** What a principal has told to remember: `thread` scope in this thread, all else in every one of theirs. */
  readonly memories: (thread: ThreadRef, principalId: string) => MemoryStore
  close(): Promise<void>
}

/** A thread as listings show it. */
export interface ThreadSummary {
  readonly id: string
  /** The beginning of its first message. */
  readonly title: string
  readonly createdAt: number
  readonly updatedAt: number
}

/** A message with its place in the thread: the `seq` of the event that began its run. */
export interface StoredMessage {
  readonly message: Message
  readonly seq: number
}

/** A place in a list of threads, latest change first. */
export type ThreadCursor = Pick<ThreadSummary, 'updatedAt' | 'id'>

/** One page, newest first; `before` is the cursor of the next. */
export interface Page<Cursor = number> {
  readonly limit: number
  readonly before?: Cursor
}

/** A page of threads; with `search`, of those that hold all of its words, in the title or in a message. */
export interface ThreadPage extends Page<ThreadCursor> {
  readonly search?: string
}

export interface ThreadStore {
  /** Makes the thread if there is none. */
  open(thread: ThreadRef, title: string): Promise<void>
  has(thread: ThreadRef): Promise<boolean>
  /** Threads of one owner, latest change first, and by id among those of one moment. */
  list(owner: string, page: ThreadPage): Promise<readonly ThreadSummary[]>
  /** Messages, oldest first, a question before its answer: the last `limit` of those with a `seq` below `before`. */
  messages(thread: ThreadRef, page: Page): Promise<readonly StoredMessage[]>
  /** Whose threads have this id: the oldest first, {@link OWNERS} at most. */
  owners(id: string): Promise<readonly string[]>
}

/** How many owners of one id a store names. */
export const OWNERS = 100

/** Where the numbers of a thread's events go on when the log that held them is gone. */
export interface Numbering {
  /**
   * The place a new log begins at, above everything any client may have seen: the head where that is known exactly,
   * else the end of what was reserved. With it, the messages of runs that have not ended. A thread that is not there,
   * or has no events yet, begins at `ORIGIN`.
   */
  resume(thread: ThreadRef): Promise<{ readonly head: EventId; readonly open: readonly StoredMessage[] }>
  /** Numbers up to this one may be given away from now on. Does nothing where there is no such thread. */
  reserve(thread: ThreadRef, upTo: number): Promise<void>
  /** Gives back what was reserved: this is the last event there is. */
  settle(thread: ThreadRef, head: EventId): Promise<void>
}

/** What became of a run so far. */
export type RunState = 'queued' | 'running' | 'parked' | 'done' | 'cancelled' | 'failed'

/** What changes about a run. */
export interface RunChange {
  readonly state?: RunState
  /** The `seq` of its first and of its last event. */
  readonly startSeq?: number
  readonly endSeq?: number
  /** What a parked run goes on from; JSON. Null where it is not parked any more. */
  readonly parked?: string | null
  /** Its background operations that still go on. */
  readonly background?: readonly EventOf<'run-update'>['background'][]
  readonly usage?: Usage
  /** How it has ended, and in how many steps, where it did not fail. */
  readonly finishReason?: FinishReason
  readonly steps?: number
}

/** A run, from when it was taken on. A thread's owner owns its runs, whoever sent the message. */
export interface RunRecord extends RunChange {
  readonly thread: ThreadRef
  readonly id: string
  readonly agent: string
  /** Who sent the message. */
  readonly principal: Principal
  /** Whom an anonymous sender sent it for, and whose budget it is taken from. */
  readonly chargedTo?: string
  /** Tells a repeated request from another one of the same id. */
  readonly fingerprint: string
  readonly input: Message
  /** What is asked of the model, for a run that has not begun. */
  readonly settings?: RunSettings
  /** The call that is made in place of an answer. */
  readonly toolCall?: DirectCall
  /** The id of the answer. */
  readonly messageId: string
  readonly state: RunState
}

/** What runs have used. */
export interface UsageTotal extends Usage {
  readonly runs: number
  /** When the first of them was made; absent where there is none. */
  readonly firstAt?: number
}

export interface RunStore {
  /** Adds a run; its thread has to be there. */
  create(run: RunRecord): Promise<void>
  /**
   * Changes a run, and adds its messages or replaces those of the same id: all of it or nothing. Where there are
   * messages, its thread counts as changed now.
   */
  update(
    run: Pick<RunRecord, 'thread' | 'id'>,
    change: RunChange,
    messages?: readonly StoredMessage[],
  ): Promise<void>
  find(owner: string, id: string): Promise<RunRecord | undefined>
  /** The answer that a run has given. */
  answer(owner: string, id: string): Promise<Message | undefined>
  /** Runs that have not ended, and those ended whose background operations have not; in the order they were made. */
  unfinished(): Promise<readonly RunRecord[]>
  /**
   * What the runs that a principal sent have used since a time (ms), by when they were made.
   *
   * @param chargedTo - Given, only those count that were charged to it.
   */
  usage(principalId: string, since: number, chargedTo?: string): Promise<UsageTotal>
  /** As {@link ThreadStore.owners}. */
  owners(id: string): Promise<readonly string[]>
}

/** What waits, or waited, for somebody's approval. */
export interface ApprovalRecord {
  readonly thread: ThreadRef
  readonly runId: string
  readonly id: string
  readonly toolCallId: string
  readonly tool: string
  readonly expiresAt: number
  readonly decision?: ApprovalDecision
}

export interface ApprovalStore {
  /** Adds an approval, or what was decided of it. */
  save(approval: ApprovalRecord): Promise<void>
  find(owner: string, id: string): Promise<ApprovalRecord | undefined>
  /** All approvals of a run, in the order they were made. */
  ofRun(owner: string, runId: string): Promise<readonly ApprovalRecord[]>
  /** As {@link ThreadStore.owners}. */
  owners(id: string): Promise<readonly string[]>
}

/** What a ticket is good for. */
export interface TicketRecord {
  readonly principal: Principal
  /** When the ticket ends, and when the credential ends that it was got with. */
  readonly expiresAt: number
  readonly credentialExpiresAt?: number
}

export interface TicketStore {
  /** Keeps a ticket under a digest of it, and lets go of those that have expired. */
  save(digest: string, ticket: TicketRecord): Promise<void>
  /** Gives a ticket out once, whoever asks first; undefined for one that is not there. Expiry is the caller's to check. */
  take(digest: string): Promise<TicketRecord | undefined>
}
