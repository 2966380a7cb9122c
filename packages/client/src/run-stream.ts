import {
  type ErrorBody,
  type EventId,
  type FinishReason,
  type Message,
  type ThreadEvent,
  type ThreadReset,
  type Usage,
  GatewayError,
  mergeDeltas,
  textOf,
} from '@turnpike/protocol'
import { closing, isClosing } from './closing.ts'
import { PullQueue } from './pull-queue.ts'
import type { Opening, Reader, ReaderSink } from './reader.ts'
import { StreamReset } from './stream-reset.ts'

/** Events that may wait for a slow consumer, deltas joined. */
const MOST_WAITING = 10_000

/** How a run ended. */
export interface RunEnd {
  readonly status: 'done' | 'cancelled' | 'failed'
  /** The whole answer. */
  readonly text: string
  /** The answer as a message; absent where its beginning was never seen. */
  readonly message?: Message
  /** Absent where only a history told of the end. */
  readonly finishReason?: FinishReason
  readonly usage?: Usage
  /** Why it failed. */
  readonly error?: ErrorBody
}

/** The events of one run, as they come, until it has ended. Leaving the loop stops the reading, never the run. */
export interface ThreadStream extends AsyncIterable<ThreadEvent, undefined>, AsyncDisposable {
  readonly threadId: string
  /** The run; unknown while a stream that only follows waits for one to begin. */
  readonly runId: string | undefined
  /** To go on after, from anywhere. */
  readonly lastEventId: EventId | undefined
  /** The answer so far. It grows whether or not somebody iterates. */
  readonly message: Message | undefined
  /** Resolves when the run has ended, well or not. Rejects where the stream was closed before. */
  readonly finished: Promise<RunEnd>
  /** Stops the run. Its last event still comes. */
  cancel(): Promise<void>
  /** Stops reading. The run goes on. */
  close(): void
}

/** The stream of a message that was sent. */
export interface RunStream extends ThreadStream {
  readonly runId: string
}

export interface EventStreamOptions {
  readonly threadId: string
  readonly runId: string | undefined
  readonly onReset: ((reset: ThreadReset) => void) | undefined
  readonly cancelRun: (runId: string) => Promise<unknown>
  /** The server has taken the message, or told what there is to follow. */
  readonly onBegin: () => void
  /** It reads nothing more. */
  readonly onClose: (error?: Error) => void
}

/** What `threads.stream` gives: the side of a reader that faces the user. */
export class EventStream implements ThreadStream, ReaderSink {
  readonly #options: EventStreamOptions
  readonly #queue: PullQueue<ThreadEvent | ThreadReset>
  readonly #finished = Promise.withResolvers<RunEnd>()
  #reader: Reader | undefined
  #runId: string | undefined
  #isOpen = true
  /** Its beginning is a history that was asked for. */
  #expectsHistory = false

  constructor(options: EventStreamOptions) {
    this.#options = options
    this.#runId = options.runId
    this.#queue = new PullQueue<ThreadEvent | ThreadReset>({ join: joined, onReturn: () => this.close() })
    // Nobody has to ask how it ended.
    this.#finished.promise.catch(() => {})
  }

  get threadId(): string {
    return this.#options.threadId
  }

  get runId(): string | undefined {
    return this.#runId
  }

  get lastEventId(): EventId | undefined {
    return this.#reader?.cursor
  }

  get message(): Message | undefined {
    if (this.#runId === undefined) return undefined
    return this.#reader?.messages.findLast(({ role, runId }) => role === 'assistant' && runId === this.#runId)
  }

  get finished(): Promise<RunEnd> {
    return this.#finished.promise
  }

  /** Where it reads from. */
  readFrom(reader: Reader): void {
    this.#reader = reader
    this.#expectsHistory = reader.isFresh
  }

  async cancel(): Promise<void> {
    if (this.#runId !== undefined) await this.#options.cancelRun(this.#runId)
  }

  close(): void {
    this.onFail(closing('The stream'))
  }

  [Symbol.asyncIterator](): AsyncIterator<ThreadEvent, undefined> {
    return { next: () => this.#next(), return: () => this.#left() }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  onSent(): void {
    this.#options.onBegin()
  }

  onEvent(event: ThreadEvent): void {
    if (!this.#isOpen) return
    this.#options.onBegin()
    this.#runId ??= event.runId
    // What other runs of the thread say is not of this one.
    if (event.runId !== this.#runId) return
    this.#queue.push(event)
    if (event.type === 'finish') {
      const { finishReason, usage, text } = event
      const status = finishReason === 'cancelled' || finishReason === 'interrupted' ? 'cancelled' : 'done'
      this.#end({ status, text, finishReason, usage, ...this.#withMessage() })
    } else if (event.type === 'error') {
      this.#end({ status: 'failed', text: this.#text, error: event.error, ...this.#withMessage() })
    } else if (this.#queue.size > MOST_WAITING) {
      this.#lag()
    }
  }

  onReset(opening: Opening): void {
    if (!this.#isOpen) return
    this.#options.onBegin()
    const { cause, head, history, more } = opening
    if (this.#expectsHistory) {
      this.#expectsHistory = false
      this.#runId ??= history.findLast(({ status }) => status === 'open')?.runId
    } else {
      const { threadId } = this
      this.#interrupt({
        type: 'thread.reset',
        threadId,
        cause: cause ?? 'expired',
        head,
        history,
        ...(more && { more }),
      })
    }
    if (this.#runId === undefined) return
    const { message } = this
    if (!message) {
      const isRead = this.#reader?.send !== undefined || cause !== undefined
      if (isRead) this.onFail(new GatewayError('run-lost', 'The thread no longer has this run.'))
      // It would wait for a beginning that is long over.
      else if (more) this.onFail(new GatewayError('unknown-run', 'The history does not go back to this run.'))
    } else if (message.status !== 'open') {
      this.#end({ status: message.status, text: this.#text, message })
    }
  }

  onFail(error: Error): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#finished.reject(error)
    this.#queue.end(isClosing(error) ? undefined : error)
    this.#options.onClose(error)
  }

  /** A reset is told in its place among the events, to who can go on with it. */
  async #next(): Promise<IteratorResult<ThreadEvent, undefined>> {
    for (;;) {
      const { done, value } = await this.#queue.next()
      if (done) return { done, value: undefined }
      if (value.type !== 'thread.reset') return { done: false, value }
      if (!this.#options.onReset) throw new StreamReset(value)
      this.#options.onReset(value)
    }
  }

  async #left(): Promise<IteratorResult<ThreadEvent, undefined>> {
    await this.#queue.return()
    return { done: true, value: undefined }
  }

  get #text(): string {
    return this.message ? textOf(this.message) : ''
  }

  #withMessage(): { message?: Message } {
    const { message } = this
    return message ? { message } : {}
  }

  #end(end: RunEnd): void {
    this.#isOpen = false
    this.#finished.resolve(end)
    this.#queue.end()
    this.#options.onClose()
  }

  /** The consumer may hold the beginning of something that now goes on elsewhere. */
  #interrupt(reset: ThreadReset): void {
    this.#queue.clear()
    this.#queue.push(reset)
  }

  /** What a consumer does not take for so long is let go of. */
  #lag(): void {
    const { threadId } = this
    const { cursor: head, messages: history = [] } = this.#reader ?? {}
    if (head) this.#interrupt({ type: 'thread.reset', threadId, cause: 'lagged', head, history })
  }
}

function joined(last: ThreadEvent | ThreadReset, next: ThreadEvent | ThreadReset): ThreadEvent | undefined {
  if (last.type === 'thread.reset' || next.type === 'thread.reset') return undefined
  const [event, ...more] = mergeDeltas([last, next])
  return more.length === 0 ? event : undefined
}
