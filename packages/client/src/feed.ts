import { type Answers, type EventId, GatewayError, ORIGIN } from '@turnpike/protocol'
import { backoffMs } from './backoff.ts'
import type { Clock } from './clock.ts'
import type { Opening, Reader } from './reader.ts'
import { type Inbound, type Link, LinkLost } from './wire.ts'

/** Gaps in a row, with nothing applied between, after which the link is to blame. */
const MOST_GAPS = 3

export interface FeedOptions {
  readonly threadId: string
  readonly clock: Clock
  /** The link does not do what it should, or was refused with this. */
  readonly onTrouble: (error?: GatewayError) => void
  /** Nobody reads the thread any more. */
  readonly onIdle: () => void
}

/**
 * All local readers of one thread, and the one subscription they share.
 *
 * Every reader has its own cursor. The subscription is placed at the first of those that need it; the others skip what
 * they have. So there is one answer to a new reader, a gap, a lost link and a reset: {@link ThreadFeed.align}.
 */
export class ThreadFeed {
  readonly #options: FeedOptions
  readonly #readers = new Set<Reader>()
  #link: Link | undefined
  /** The server sends this thread's events over the link. */
  #following = false
  /** With reasoning: this is about the subscription that was answered, not the one that is asked for. */
  #reasoning = false
  /** Where the subscription was placed: after an event, by a history, or at the start of a run. */
  #placed: EventId | 'history' | 'send' = 'history'
  #asking = false
  #sending = false
  #leaving = false
  /** The server asked to wait: whoever comes meanwhile waits, too. */
  #isHeld = false
  /** The server does not know the thread; a message makes it. */
  #unknown = false
  #gaps = 0
  #retries = 0
  #stopRetry: () => void = () => {}

  constructor(options: FeedOptions) {
    this.#options = options
  }

  get readers(): ReadonlySet<Reader> {
    return this.#readers
  }

  add(reader: Reader): void {
    this.#readers.add(reader)
    // Where the subscription stands is not where this reader stands.
    if (reader.cursor !== undefined) reader.isStale = true
    this.#align()
  }

  remove(reader: Reader): void {
    if (!this.#readers.delete(reader)) return
    this.#settle()
  }

  attach(link: Link): void {
    this.detach()
    this.#link = link
    for (const reader of this.#readers) {
      reader.isSent = false
      reader.placings = 0
    }
    this.#align()
  }

  detach(): void {
    this.#release()
    this.#link = undefined
    this.#following = this.#asking = this.#sending = this.#leaving = this.#unknown = false
    this.#gaps = 0
    this.#settle()
  }

  take(frame: Inbound): void {
    if (frame.type === 'thread.reset') {
      // The subscription that lost its place is about to be replaced; a run that was to begin there is behind it.
      if (this.#asking) return this.#overtake(frame)
      this.#place(frame)
      return this.#align()
    }
    let gap = false
    for (const reader of [...this.#readers]) {
      // It would move past what the subscription that is on its way to it begins with.
      if (reader.reasoning && !this.#reasoning && reader.cursor !== undefined) continue
      const step = reader.take(frame)
      if (step === 'apply') this.#gaps = 0
      // While a subscription is asked for, these are the last words of the one before.
      if (step !== 'refetch-gap' || this.#asking) continue
      if (reader.isAwaiting) reader.overtake()
      else reader.isStale = true
      gap = true
    }
    if (!gap) return
    if (++this.#gaps > MOST_GAPS) this.#options.onTrouble()
    else this.#align()
  }

  /** Ends every reader. */
  fail(error: Error): void {
    this.detach()
    this.#drop([...this.#readers], error)
  }

  /** Asks for what the readers need, one thing at a time. */
  #align(): void {
    const link = this.#link
    if (!link || this.#asking || this.#sending || this.#isHeld) return
    this.#shareHistory()
    const readers = [...this.#readers]
    if (readers.some((reader) => reader.isFresh)) return this.#ask(link, undefined)
    const unserved = readers.flatMap((reader) => (this.#isServed(reader) ? [] : (reader.cursor ?? [])))
    const [earliest] = unserved.toSorted()
    if (earliest !== undefined) return this.#ask(link, earliest)
    if (this.#following && !this.#reasoning && this.#wantsReasoning) return this.#askForReasoning(link)
    const awaiting = readers.find((reader) => reader.isAwaiting && !reader.isSent)
    if (awaiting) return this.#send(link, awaiting)
    this.#settle()
  }

  /** Before the run begins that somebody wants to see the reasoning of. */
  #askForReasoning(link: Link): void {
    const latest = [...this.#readers]
      .flatMap(({ cursor }) => cursor ?? [])
      .toSorted()
      .at(-1)
    if (latest !== undefined) return this.#ask(link, latest)
    this.#unfollow(link)
    for (const reader of this.#readers) reader.isSent = false
    this.#align()
  }

  #isServed(reader: Reader): boolean {
    if (this.#unknown) return true
    return this.#following && !reader.isStale && (this.#reasoning || !reader.reasoning)
  }

  /** A reader that comes later takes the history from one that has it. */
  #shareHistory(): void {
    if (!this.#following) return
    for (const reader of this.#readers) {
      if (!reader.isFresh) continue
      for (const other of this.#readers) {
        const { cursor, messages: history, more } = other
        if (!cursor || !other.isWhole || other.isStale || (reader.reasoning && !other.reasoning)) continue
        reader.place({ head: cursor, history, ...(more && { more }) })
        break
      }
    }
  }

  #ask(link: Link, after: EventId | undefined): void {
    const { threadId } = this.#options
    this.#asking = true
    const reasoning = this.#wantsReasoning
    const payload = {
      threadId,
      ...(after !== undefined && { lastEventId: after }),
      ...(reasoning && { reasoning }),
    }
    link.request('thread.subscribe', payload, (outcome) => {
      if (this.#link !== link) return
      this.#asking = false
      if ('error' in outcome) this.#refused(outcome.error, after)
      else this.#subscribed(outcome.answer, { after, reasoning })
    })
  }

  #subscribed(
    answer: Answers['thread.subscribe'],
    { after, reasoning }: { after: EventId | undefined; reasoning: boolean },
  ): void {
    this.#following = true
    this.#reasoning = reasoning
    this.#placed = after ?? 'history'
    this.#retries = 0
    if (!answer.recovered) {
      this.#place(answer)
    } else {
      for (const reader of this.#readers) {
        if (reader.cursor && after && reader.cursor >= after) reader.isStale = false
      }
    }
    this.#align()
  }

  /** The subscription goes on behind a history. Who stands elsewhere, for a reason of its own, asks again. */
  #place(opening: Opening): void {
    const { head, history, cause } = opening
    for (const reader of [...this.#readers]) {
      if (reader.reasoning && !this.#reasoning) {
        // This history was told to others, and lacks what this reader came for.
        if (reader.isAwaiting) reader.overtake()
        else reader.isStale = true
      } else if (reader.isAwaiting) {
        if (!isIn(history, reader)) continue
        if (this.#placed === 'send' && reader.isSent) reader.place(opening)
        else reader.overtake()
      } else if (reader.isFresh || reader.cursor === this.#placed || cause === 'lagged') {
        if (reader.cursor !== head) reader.place(opening)
      } else {
        reader.isStale = reader.cursor !== head
      }
    }
    if (this.#placed !== 'send') this.#placed = 'history'
  }

  #overtake({ history }: Opening): void {
    for (const reader of this.#readers) if (reader.isAwaiting && isIn(history, reader)) reader.overtake()
  }

  #send(link: Link, reader: Reader): void {
    const { send } = reader
    if (!send) return
    const { overtakings } = reader
    if (overtakings > 0 && ++reader.placings > MOST_GAPS) return this.#options.onTrouble()
    this.#sending = true
    // Only who does not follow the thread is placed at the start of its run.
    if (overtakings > 0 && this.#following) this.#unfollow(link)
    const reasoning = this.#wantsReasoning
    link.request('thread.send', { ...send, ...(reasoning && { reasoning }) }, (outcome) => {
      if (this.#link !== link) return
      this.#sending = false
      // What overtook it meanwhile is no longer mended by this.
      reader.isSent = 'answer' in outcome && reader.overtakings === overtakings
      if ('answer' in outcome) this.#sent(reader, { answer: outcome.answer, reasoning })
      else this.#sendRefused(reader, outcome.error)
    })
  }

  #sent(reader: Reader, { answer, reasoning }: { answer: Answers['thread.send']; reasoning: boolean }): void {
    if (!this.#following) {
      this.#following = true
      this.#reasoning = reasoning
      this.#placed = 'send'
    } else if (this.#isBehind(reader)) {
      reader.overtake()
    }
    this.#unknown = false
    this.#retries = 0
    reader.sent(answer)
    this.#align()
  }

  /** A run that was sent before is answered as the first time, and nothing of it comes again. */
  #isBehind(reader: Reader): boolean {
    return reader.isAwaiting && [...this.#readers].some(({ messages }) => isIn(messages, reader))
  }

  #sendRefused(reader: Reader, error: GatewayError | LinkLost): void {
    // Other refusals are for the sender to judge: a busy thread may be a reason to say so.
    const isPassing = error instanceof LinkLost || ['rate-limited', 'draining'].includes(error.code)
    if (isPassing && this.#retriesAfter(error)) return
    // Who waited for the thread that this message was to make finds out now.
    this.#unknown = false
    this.#drop([reader], error)
    this.#align()
  }

  #refused(error: GatewayError | LinkLost, after: EventId | undefined): void {
    if (this.#retriesAfter(error)) return
    if (error instanceof GatewayError && error.code === 'unknown-thread') this.#threadIsUnknown(error)
    else
      this.#drop(
        [...this.#readers].filter((each) => !each.isAwaiting && each.cursor === after),
        error,
      )
    this.#align()
  }

  /** Tells whether it tries again by itself: over another link, or later. */
  #retriesAfter(error: GatewayError | LinkLost): boolean {
    if (error instanceof LinkLost) return true
    const { row, retryAfterMs = 0 } = error
    if (row.retry === 'never') return false
    if (row.retry === 'reconnect') {
      this.#options.onTrouble(error)
      return true
    }
    const { clock } = this.#options
    this.#stopRetry()
    this.#isHeld = true
    this.#stopRetry = clock.after(retryAfterMs + backoffMs(this.#retries++, clock.random()), () => {
      this.#isHeld = false
      this.#align()
    })
    return true
  }

  #release(): void {
    this.#stopRetry()
    this.#isHeld = false
  }

  #threadIsUnknown(error: GatewayError): void {
    this.#unknown = true
    const isToCome = [...this.#readers].some((reader) => reader.isAwaiting)
    if (!isToCome) return this.#drop([...this.#readers], error)
    for (const reader of [...this.#readers]) {
      if (!reader.isAwaiting && reader.cursor !== ORIGIN) reader.place({ head: ORIGIN, history: [] })
    }
  }

  #drop(readers: readonly Reader[], error: Error): void {
    for (const reader of readers) {
      this.#readers.delete(reader)
      reader.fail(error)
    }
    this.#settle()
  }

  get #wantsReasoning(): boolean {
    return [...this.#readers].some((reader) => reader.reasoning)
  }

  /** Lets go of the thread once nobody reads it, and nothing is on its way. */
  #settle(): void {
    if (this.#readers.size > 0 || this.#asking || this.#sending || this.#leaving) return
    if (this.#following && this.#link) {
      if (!this.#isHeld) this.#unfollow(this.#link)
      return
    }
    this.#release()
    this.#options.onIdle()
  }

  #unfollow(link: Link): void {
    this.#following = false
    this.#leaving = true
    link.request('thread.unsubscribe', { threadId: this.#options.threadId }, (outcome) => {
      const error = 'error' in outcome ? outcome.error : undefined
      if (this.#link !== link || error instanceof LinkLost) return
      this.#leaving = false
      if (error && this.#retriesAfter(error)) this.#stays(link)
      this.#settle()
    })
  }

  /** The subscription is where it was, and takes up one of those that are allowed. */
  #stays(link: Link): void {
    if (this.#link !== link) return
    this.#following = true
    for (const reader of this.#readers) if (reader.isAwaiting) reader.overtake()
  }
}

function isIn(history: Opening['history'], { send }: Reader): boolean {
  return history.some(({ runId }) => runId === send?.runId)
}
