import type { EventId, ResetCause } from '@turnpike/protocol'
import type { ThreadRef } from '../stores/thread-ref.ts'
import type { EventDraft, Snapshot, StartAt, ThreadWindow } from './thread-window.ts'

/** A reader's place in a thread. */
export interface Follow {
  /** The part of the log that is in memory; the reader pulls from it. */
  readonly window: ThreadWindow
  /** The last event the reader has: its own where it could be recovered, else the snapshot's. */
  readonly position: EventId
  /** Present where continuity could not be proved, or no start was given. */
  readonly snapshot?: Snapshot
  readonly cause?: ResetCause
  close(): void
}

/**
 * The log: append, and follow. The only queue there is.
 *
 * Events of one thread are numbered 1, 2, 3 … in the order of their appends. `append` returns that position; as a
 * promise only where the log is elsewhere. A draft belongs to the log from then on and is not changed any more.
 */
export interface EventLog {
  append(thread: ThreadRef, draft: EventDraft): number | Promise<number>
  /** Subscribes first, then places the reader: what is appended meanwhile is not missed. `wake` tells of news. */
  follow(thread: ThreadRef, start: StartAt, wake: () => void): Promise<Follow>
  snapshot(thread: ThreadRef): Promise<Snapshot>
  close(): Promise<void>
}
