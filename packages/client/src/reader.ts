import {
  type Answers,
  type EventId,
  type History,
  type Message,
  type PayloadOf,
  type ResetCause,
  type ThreadEvent,
  advance,
  reduce,
  seqOf,
} from '@turnpike/protocol'
import { withoutReasoning } from '@turnpike/protocol/wire'

/** A history to go on from; the cause says why, where it was not asked for. */
export type Opening = History & { readonly cause?: ResetCause | undefined }

/** A message on its way. Its run has an id from the start, so that sending it twice is sending it once. */
export type Send = PayloadOf<'thread.send'> & { readonly threadId: string; readonly runId: string }

/** Who a reader reads for. */
export interface ReaderSink {
  /** The event is applied: {@link Reader.messages} has it. */
  onEvent(event: ThreadEvent): void
  /** What was known is replaced. */
  onReset(opening: Opening): void
  /** It reads nothing more. */
  onFail(error: Error): void
  onSent?(answer: Answers['thread.send']): void
}

export interface ReaderOptions {
  readonly sink: ReaderSink
  readonly reasoning?: boolean | undefined
  /** Where it goes on. Without, it begins with the history, or with the run it sends. */
  readonly cursor?: EventId | undefined
  /** What was folded up to there. */
  readonly messages?: readonly Message[] | undefined
  /** Begins at the start of this run. */
  readonly send?: Send | undefined
}

/**
 * One local reader of a thread: a cursor, and what was folded up to it.
 *
 * It keeps the rule of contiguity by itself, so that any number of readers at any places can share one subscription.
 */
export class Reader {
  readonly reasoning: boolean
  readonly send: Send | undefined
  /** It missed something that comes only if it is asked for. */
  isStale = false
  /** Its message was taken on the present link. */
  isSent = false
  /** How often its run was found to have begun behind the others: it has to be placed at the start again. */
  overtakings = 0
  /** How often that was tried on the present link. */
  placings = 0
  /** Everything of the thread is in {@link messages}, or older than `more` says. */
  isWhole = false
  more: true | undefined
  #cursor: EventId | undefined
  /** Events applied since the last one told. */
  #untold = 0
  #messages: readonly Message[]
  readonly #sink: ReaderSink

  constructor({ sink, reasoning, cursor, messages, send }: ReaderOptions) {
    this.#sink = sink
    this.reasoning = reasoning ?? false
    this.send = send
    this.#cursor = cursor
    this.#messages = messages ?? []
  }

  /** The last event applied. */
  get cursor(): EventId | undefined {
    return this.#cursor
  }

  get messages(): readonly Message[] {
    return this.#messages
  }

  /** It waits for the start of its run. */
  get isAwaiting(): boolean {
    return this.send !== undefined && this.#cursor === undefined
  }

  /** It waits for a history. */
  get isFresh(): boolean {
    return this.send === undefined && this.#cursor === undefined
  }

  take(event: ThreadEvent): ReturnType<typeof advance> {
    if (this.#cursor === undefined) {
      if (event.runId !== this.send?.runId) return 'skip-duplicate'
      if (event.type !== 'start') return 'refetch-gap'
      this.#apply(event)
      return 'apply'
    }
    const step = advance(seqOf(this.#cursor), event)
    if (step === 'apply') this.#apply(event)
    return step
  }

  /** Goes on from a history. */
  place(opening: Opening): void {
    this.#cursor = opening.head
    this.#messages = this.reasoning ? opening.history : opening.history.map(withoutReasoning)
    this.more = opening.more
    this.isWhole = true
    this.isStale = false
    this.#untold = 0
    this.#sink.onReset({ ...opening, history: this.#messages })
  }

  overtake(): void {
    this.overtakings++
    this.isSent = false
  }

  sent(answer: Answers['thread.send']): void {
    this.#sink.onSent?.(answer)
  }

  fail(error: Error): void {
    this.#sink.onFail(error)
  }

  #apply(event: ThreadEvent): void {
    const { id, covers = 1 } = event
    this.#cursor = id
    this.#untold += covers
    // Another reader asked for it.
    if (event.type === 'text-delta' && event.channel === 'reasoning' && !this.reasoning) return
    const messages = reduce(this.#messages, event)
    // A later server may have more types than this client: they count, and tell nothing.
    if (!Array.isArray(messages)) return
    this.#messages = messages
    const told = this.#untold === covers ? event : { ...event, covers: this.#untold }
    this.#untold = 0
    this.#sink.onEvent(told)
  }
}
