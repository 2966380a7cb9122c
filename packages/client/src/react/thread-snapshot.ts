import type { GatewayError, Message, ThreadEvent } from '@turnpike/protocol'
import type { ConnectionState } from '../connection.ts'
import type { Resumed } from './resumption.ts'
import type { BackgroundUpdate, MemoryFact } from './run-facts.ts'

/** `loading`: the history is not here yet. `running`: a run of this thread goes on, or a message is on its way. */
export type ThreadStatus = 'idle' | 'loading' | 'running' | 'error'

/** What is known of a thread at one moment; another object after every change, sharing what did not change. */
export interface ThreadSnapshot {
  /** Absent until the first message makes the thread. */
  readonly threadId: string | undefined
  /** The history, what came since, and what was sent and is not in the thread yet (`status` `open`, role `user`). */
  readonly messages: readonly Message[]
  /** The latest ones received, for inspectors. */
  readonly events: readonly ThreadEvent[]
  readonly status: ThreadStatus
  /** The active one, whoever began it. `agent` is empty where its `start` was not seen. */
  readonly run: { readonly id: string; readonly agent: string } | undefined
  /** What is wrong at the moment: a refused wish, a subscription or a run that failed. The next success clears it. */
  readonly error: GatewayError | undefined
  readonly connection: ConnectionState
  readonly resumed: Resumed | undefined
  /** There are older messages to load. */
  readonly hasMore: boolean
  readonly background: readonly BackgroundUpdate[]
  readonly memories: readonly MemoryFact[]
}

/** The connection before anything has needed it, and on a server. */
export const NO_CONNECTION: ConnectionState = { status: 'idle' }

/** The messages of all three origins in one list, which is the one before where nothing changed. */
export class MessageList {
  #parts: readonly (readonly Message[])[] = []
  #list: readonly Message[] = []

  of(...parts: readonly (readonly Message[])[]): readonly Message[] {
    if (parts.length === this.#parts.length && parts.every((part, index) => part === this.#parts[index])) {
      return this.#list
    }
    this.#parts = parts
    const filled = parts.filter((part) => part.length > 0)
    const [only] = filled
    this.#list = filled.length === 1 && only ? only : filled.flat()
    return this.#list
  }
}

/** Tells whether two snapshots say the same. */
export function isSameSnapshot(a: ThreadSnapshot, b: ThreadSnapshot): boolean {
  const keys = Object.keys(a) as (keyof ThreadSnapshot)[]
  return keys.every((key) => Object.is(a[key], b[key]))
}
