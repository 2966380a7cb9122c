import {
  type EventId,
  type Message,
  type ResetCause,
  type ThreadEvent,
  mergeDeltas,
} from '@turnpike/protocol'
import { isClosing } from './closing.ts'
import { PullQueue } from './pull-queue.ts'
import type { Opening, Reader, ReaderSink } from './reader.ts'

const MOST_WAITING = 10_000

/** One step of a thread. `messages` is the thread after it: who shows only that cannot go wrong. */
export type ThreadUpdate =
  /** The next event. */
  | { readonly type: 'event'; readonly event: ThreadEvent; readonly messages: readonly Message[] }
  /**
   * What was known is replaced: by the history asked for at the beginning, or, with a `cause`, since some events are no
   * longer to be had.
   */
  | {
      readonly type: 'reset'
      readonly cause?: ResetCause
      readonly messages: readonly Message[]
      /** The event that the history goes up to. */
      readonly head: EventId
      /** Older messages were left out. */
      readonly more?: true
    }

/** A thread as it goes on, until it is closed. */
export interface ThreadSubscription extends AsyncIterable<ThreadUpdate, undefined>, AsyncDisposable {
  readonly threadId: string
  /** To go on after, from anywhere. */
  readonly lastEventId: EventId | undefined
  readonly messages: readonly Message[]
  close(): void
}

/** What `threads.subscribe` gives: the side of a reader that faces the user. */
export class UpdateStream implements ThreadSubscription, ReaderSink {
  readonly threadId: string
  readonly #queue: PullQueue<ThreadUpdate>
  readonly #onClose: () => void
  #reader: Reader | undefined
  #isOpen = true

  constructor({ threadId, onClose }: { threadId: string; onClose: () => void }) {
    this.threadId = threadId
    this.#onClose = onClose
    this.#queue = new PullQueue<ThreadUpdate>({ join: joined, onReturn: () => this.close() })
  }

  get lastEventId(): EventId | undefined {
    return this.#reader?.cursor
  }

  get messages(): readonly Message[] {
    return this.#reader?.messages ?? []
  }

  /** Where it reads from. */
  readFrom(reader: Reader): void {
    this.#reader = reader
  }

  close(): void {
    this.#stop()
  }

  [Symbol.asyncIterator](): AsyncIterator<ThreadUpdate, undefined> {
    return this.#queue
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  onEvent(event: ThreadEvent): void {
    this.#queue.push({ type: 'event', event, messages: this.messages })
    const head = this.lastEventId
    if (this.#queue.size <= MOST_WAITING || !head) return
    this.#queue.clear()
    this.#queue.push({ type: 'reset', cause: 'lagged', messages: this.messages, head })
  }

  onReset({ cause, head, history, more }: Opening): void {
    this.#queue.clear()
    this.#queue.push({
      type: 'reset',
      ...(cause && { cause }),
      messages: history,
      head,
      ...(more && { more }),
    })
  }

  onFail(error: Error): void {
    this.#stop(error)
  }

  #stop(error?: Error): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#queue.end(isClosing(error) ? undefined : error)
    this.#onClose()
  }
}

function joined(last: ThreadUpdate, next: ThreadUpdate): ThreadUpdate | undefined {
  if (last.type !== 'event' || next.type !== 'event') return undefined
  const [event, ...more] = mergeDeltas([last.event, next.event])
  return event && more.length === 0 ? { type: 'event', event, messages: next.messages } : undefined
}
