import {
  type Answers,
  type History,
  type Limits,
  type ResetCause,
  type ThreadEvent,
  type ThreadReset,
  canMerge,
  mergeDeltas,
  seqOf,
} from '@turnpike/protocol'
import { type Dialect, type Frame } from '@turnpike/protocol/wire'
import type { AwaitedEnds } from './awaited-ends.ts'
import type { ThreadRef } from '../stores/thread-ref.ts'
import type { EventLog, Follow } from '../logs/event-log.ts'
import { readHistory } from '../logs/history.ts'
import { type Link, bytesOf } from '../links/link.ts'
import { Metrics, type WireMeter } from '../telemetry/metrics.ts'
import { type Encoding, encodingOf, framesOf } from '../logs/slab.ts'
import type { Sent } from '../runs/runs.ts'
import type { Store } from '../stores/store.ts'
import type { StartAt } from '../logs/thread-window.ts'

/** Of so many flushes of a reader one is timed: reading the clock costs more than all else that is counted. */
const TIMED_FLUSHES = 8
/** Spans told in a history that are known of one reader. */
const JUMPS = 16

export interface SubscriptionOptions {
  readonly log: EventLog
  readonly store: Store
  readonly limits: Limits
  /** Without it, what is counted is nobody's. */
  readonly metrics?: Metrics
  readonly link: Link
  readonly dialect: Dialect
  readonly thread: ThreadRef
  readonly reasoning: boolean
  /** Called once it has given all it will: the event set by {@link Subscription.endAt} is written. */
  readonly onEnd?: () => void
  /** Called where it cannot go on because its history could not be read. */
  readonly onFailure: (error: unknown) => void
  /** The ends that its reader is told even where a history tells of them. @default none */
  readonly ends?: AwaitedEnds
  /** Called in place of a reset, and of all that would follow. @default its reader is reset */
  readonly onLost?: () => void
}

/** Events behind one up to another one, by `seq`. */
interface Span {
  readonly after: number
  readonly upTo: number
}

/** How a subscription began: from its reader's own place, or from a history. */
export type Opening = Answers['thread.subscribe']

/** The reset that tells a reader of `thread` to go on from a history. */
export function resetOf(
  thread: Pick<ThreadRef, 'id'>,
  opening: History & { readonly cause: ResetCause },
): ThreadReset {
  const { cause, head, history, more } = opening
  return { type: 'thread.reset', threadId: thread.id, cause, head, history, ...(more && { more }) }
}

/**
 * One reader of one thread: a cursor into the log, a dialect, and a link. The only code that reads the log for a
 * client.
 *
 * It owns no buffer. It pulls while the link holds less than the high-water mark; else it waits for the link to
 * drain, and then catches up with adjacent deltas merged. If the log has meanwhile let go of its place, the reader is
 * sent a reset with the history and goes on from there.
 */
export class Subscription {
  readonly #options: SubscriptionOptions
  readonly #encoding: Encoding
  readonly #metrics: Metrics
  readonly #wire: WireMeter
  #follow: Follow | undefined
  /** The last event read. */
  #position = 0
  /** The last event the reader got to see: what `covers` counts from. */
  #visible = 0
  #open = false
  #closed = false
  #lagging = false
  #endSeq = Infinity
  /** What is behind it was appended while this reader was there. */
  #liveSeq = Infinity
  #flushes = 0
  /** The last event before all that it tells. */
  #beganAt: number | undefined
  /** The spans that were told in a history; the oldest become one. */
  readonly #jumps: Span[] = []
  #isLookingUp = false
  readonly #placed = Promise.withResolvers<void>()

  constructor(options: SubscriptionOptions) {
    this.#options = options
    const { dialect, reasoning, link, metrics = new Metrics() } = options
    this.#encoding = encodingOf({ dialect, reasoning, framing: link.framing })
    this.#metrics = metrics
    this.#wire = metrics.wire(link.framing.name)
  }

  get thread(): ThreadRef {
    return this.#options.thread
  }

  /** How many events it is behind. */
  get lag(): number {
    return Math.max(0, (this.#follow?.window.headSeq ?? 0) - this.#position)
  }

  /** Whether its reader was given all that there is to tell. */
  get isCaughtUp(): boolean {
    return this.#open && this.lag === 0 && !this.#options.ends?.isDue
  }

  /** Takes its place in the log. Nothing is written before {@link begin}. */
  async place(start: StartAt): Promise<Opening> {
    const { log, store, thread, limits, reasoning } = this.#options
    this.#follow?.close()
    const follow = await log.follow(thread, start, this.pump)
    this.#follow = follow
    if (this.#closed) follow.close()
    if (follow.snapshot) this.#jumpTo(seqOf(follow.position))
    this.#position = this.#visible = seqOf(follow.position)
    this.#beganAt ??= this.#position
    this.#placed.resolve()
    if (start !== 'head' && 'after' in start) this.#metrics.resumed(follow.cause)
    if (!follow.snapshot) return { recovered: true, head: follow.position }
    const { snapshot, cause } = follow
    const { head, history, more } = await readHistory(store.threads, thread, { snapshot, limits, reasoning })
    return { recovered: false, ...(cause && { cause }), head, history, ...(more && { more }) }
  }

  /** Takes its place before the event at `seq`, and starts delivery; a history comes first where that is gone. */
  async beginFrom(seq: number): Promise<void> {
    const opening = await this.place({ from: seq })
    if (this.#closed) return
    if (!opening.recovered && this.#options.onLost) return this.#lose(this.#options.onLost)
    if (!opening.recovered) this.#reset({ ...opening, cause: opening.cause ?? 'expired' })
    this.begin()
  }

  /** Starts delivery; after the answer that tells the reader where it begins. */
  begin(): void {
    this.#open = true
    this.#liveSeq = this.#follow?.window.headSeq ?? Infinity
    this.#tellJumped()
  }

  /** Ends the subscription once the event at `seq` is written. */
  endAt(seq: number): void {
    this.#endSeq = seq
    this.pump()
  }

  /** Its reader waits for the end of a run. */
  awaitEnd(sent: Sent): void {
    const { ends } = this.#options
    if (this.#open) ends?.forgetEnded(this.#position)
    ends?.add(sent, () => this.#tellJumped())
  }

  /**
   * The same for a run that has ended at `endSeq`: what was in a history is told at once.
   *
   * @returns Whether it is told here; false where the run ended before all that is.
   */
  async awaitPast(sent: Sent, endSeq: number): Promise<boolean> {
    await this.#placed.promise
    if (this.#options.ends?.has(sent.runId)) return true
    const isJumped = this.#isJumped(endSeq)
    if (!isJumped && (this.#beganAt ?? 0) >= endSeq) return false
    if (isJumped) this.tellEnd(sent, endSeq)
    else this.awaitEnd(sent)
    return true
  }

  /** Its reader is told of the end of a run that is over, and of nothing else of it. */
  tellEnd(sent: Sent, endSeq: number): void {
    this.#options.ends?.tell(sent, endSeq)
    this.pump()
  }

  /** Its reader is told of a run elsewhere. */
  noteTold({ runId }: Sent): void {
    this.#options.ends?.noteTold(runId)
  }

  close(): void {
    this.#closed = true
    this.#placed.resolve()
    this.#follow?.close()
  }

  /** Writes what is new, as far as the link takes it. Called on news, and when the link has drained. */
  readonly pump = (): void => {
    try {
      this.#pump()
    } catch (error) {
      // What one reader cannot be told is no reason for others to wait.
      this.close()
      this.#options.onFailure(error)
    }
  }

  #pump(): void {
    const window = this.#follow?.window
    if (!window || !this.#open || this.#closed) return
    const { link, limits, ends } = this.#options
    if (ends?.isDue) return this.#tellEnds(ends)
    const begunAt = this.#position
    if (begunAt >= this.#liveSeq && begunAt < window.headSeq) {
      this.#metrics.readerLag.observe(window.headSeq - begunAt)
    }
    while (this.#position < Math.min(window.headSeq, this.#endSeq)) {
      if (link.bufferedBytes >= limits.highWaterBytes) {
        this.#lagging = true
        return
      }
      if (this.#position < window.floorSeq) return this.#fellOut()
      if (this.#position === begunAt && begunAt >= this.#liveSeq) this.#time(window)
      this.#writeNext(window)
    }
    this.#lagging = false
    if (this.#position >= this.#endSeq) this.#end()
  }

  /** What is behind them waits for that. */
  #tellEnds(ends: AwaitedEnds): void {
    const { link, limits, dialect, onFailure } = this.#options
    if (this.#isLookingUp || link.bufferedBytes >= limits.highWaterBytes) return
    this.#isLookingUp = true
    ends
      .next()
      .then((events) => {
        this.#isLookingUp = false
        if (this.#closed) return
        this.#say(events.flatMap((event) => dialect.encode(event)))
        this.pump()
      })
      .catch(onFailure)
  }

  /** The first event of a flush stands for all. */
  #time(window: Follow['window']): void {
    if (this.#flushes++ % TIMED_FLUSHES !== 0) return
    const appendedAt = window.timeOf(this.#position + 1)
    if (appendedAt) this.#metrics.delivery.observe(Math.max(0, Date.now() - appendedAt) / 1_000)
  }

  #writeNext(window: Follow['window']): void {
    const slab = this.#lagging ? undefined : window.slab(this.#encoding, this.#position)
    // A reader that begins amid events it does not get to see counts otherwise than those who saw what came before.
    const shared = slab && slab.visibleUpTo(this.#position) === this.#visible
    const slice = shared ? slab.after(this.#position, this.#endSeq) : undefined
    if (!slice) return this.#writeMerged(window)
    this.#position = slice.lastSeq
    this.#visible = slice.lastVisible
    if (slice.bytes.length > 0) this.#write(slice.bytes, slice.frames)
  }

  /** Catches up: adjacent deltas become one frame each. */
  #writeMerged(window: Follow['window']): void {
    const { limits } = this.#options
    const batch: ThreadEvent[] = []
    let merged = 0
    let chars = 0
    for (let seq = this.#position + 1; seq <= Math.min(window.headSeq, this.#endSeq); seq++) {
      const event = window.at(seq)
      if (!event) break
      const previous = batch.at(-1)
      if (!previous || !canMerge(previous, event)) merged++
      if (merged > limits.flushEvents || chars > limits.flushBytes) break
      batch.push(event)
      chars += 'delta' in event ? event.delta.length : JSON.stringify(event).length
    }
    const said: Frame[] = []
    for (const event of mergeDeltas(batch)) {
      const frames = framesOf(this.#encoding, event, this.#visible)
      if (frames.length > 0) this.#visible = event.seq
      if (frames.length > 0 && event.covers !== undefined && event.covers > 1) this.#wire.merged.add()
      said.push(...frames)
      this.#position = event.seq
    }
    this.#say(said)
  }

  /** The log has let go of what this reader has not seen: it is told, and goes on from the history. */
  #fellOut(): void {
    this.#open = false
    const { onLost, onFailure } = this.#options
    if (onLost) return this.#lose(onLost)
    this.place('head')
      .then((opening) => {
        if (this.#closed || opening.recovered) return
        this.#metrics.resumed('lagged')
        this.#reset({ ...opening, cause: 'lagged' })
        this.#lagging = false
        this.begin()
      })
      .catch(onFailure)
  }

  /** What lies between is told in a history. */
  #jumpTo(upTo: number): void {
    this.#options.ends?.forgetEnded(this.#position)
    this.#jumps.push({ after: this.#position, upTo })
    const [first, second] = this.#jumps
    if (this.#jumps.length <= JUMPS || !first || !second) return
    this.#jumps.splice(0, 2, { after: first.after, upTo: second.upTo })
  }

  #reset(opening: History & { readonly cause: ResetCause }): void {
    const { dialect, thread } = this.#options
    this.#say(dialect.reset(resetOf(thread, opening)))
  }

  #lose(onLost: () => void): void {
    this.close()
    onLost()
  }

  #isJumped(seq: number): boolean {
    return this.#jumps.some(({ after, upTo }) => after < seq && seq <= upTo)
  }

  /** That a run has ended may be known later than its last event is there to be read, or to be jumped. */
  #tellJumped(): void {
    if (!this.#open) return
    this.#options.ends?.tellJumped((seq) => this.#isJumped(seq))
    this.pump()
  }

  #say(frames: readonly Frame[]): void {
    if (frames.length > 0) this.#write(bytesOf(this.#options.link.framing, frames), frames.length)
  }

  #write(bytes: Uint8Array, frames: number): void {
    this.#options.link.write(bytes)
    this.#wire.wrote(frames, bytes.length)
  }

  #end(): void {
    this.close()
    this.#options.onEnd?.()
  }
}
