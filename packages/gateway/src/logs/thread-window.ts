import {
  type EventId,
  type EventPayload,
  type Limits,
  type Message,
  type ResetCause,
  type ThreadEvent,
  mergeDeltas,
  mintEventId,
  parseEventId,
  reduce,
} from '@turnpike/protocol'
import { type Encoding, Slab } from './slab.ts'
import type { Ticker } from '../timing/ticker.ts'

/** About what an event weighs in memory beside its text. */
const EVENT_OVERHEAD_BYTES = 160
// oxlint-disable-next-line no-control-regex
const BEYOND_LATIN = /[^\x00-\xff]/

/** What a run hands the log; the log adds position and time. */
export type EventDraft = EventPayload & { readonly runId: string }

/** Where a reader starts: behind an event it has, at the position of one it wants, or with what comes next. */
export type StartAt = { readonly after: EventId } | { readonly from: number } | 'head'

/** A message that events still in the log have touched, and where it stands in the thread. */
export interface OpenMessage {
  readonly message: Message
  /** The `seq` of the event that began it; it orders messages and tells them from stored ones. */
  readonly seq: number
}

/** A thread's state at one event. */
export interface Snapshot {
  /** The last event folded in. */
  readonly head: EventId
  /** The messages of the runs that the log still holds; older ones are in the store. */
  readonly messages: readonly OpenMessage[]
}

/** Where a reader begins: behind `position`, or, where its own place is gone, behind a snapshot. */
export type Placement = { readonly position: EventId } | { readonly cause?: ResetCause }

/**
 * The part of a thread's log that is in memory: its latest events, their bytes in every encoding that is being read,
 * and the messages they fold into.
 *
 * It holds the replay window and the run in progress, up to the cap in bytes. What it lets go it has folded first.
 */
export class ThreadWindow {
  readonly #threadId: string
  readonly #limits: Limits
  readonly #ticker: Ticker
  readonly #followers = new Set<() => void>()
  readonly #slabs = new Map<string, Slab>()
  // Events are kept as they were handed in, with their time beside them; the rest of an event follows from its
  // position, and is put together when somebody reads it. What is kept is what the garbage collector has to carry.
  #drafts: (EventDraft | undefined)[] = []
  #times: number[] = []
  /** Index of the first event that still counts. */
  #start = 0
  #bytes = 0
  #head: EventId | undefined
  #headSeq: number
  #headMs: number
  /** The id of the event before the first one held. */
  #floor: EventId
  #floorSeq: number
  readonly #runs = new Map<string, { readonly startSeq: number; endSeq?: number; endMs?: number }>()
  #messages: readonly Message[] = []
  #foldedSeq: number
  #firstDeltaDue = false

  /** Begins behind `head`; `open` are the messages of runs that go on from before it. */
  constructor(
    threadId: string,
    { head, open = [] }: { head: EventId; open?: readonly OpenMessage[] },
    options: { limits: Limits; ticker: Ticker },
  ) {
    this.#threadId = threadId
    this.#limits = options.limits
    this.#ticker = options.ticker
    this.#messages = open.map((entry) => entry.message)
    for (const { message, seq } of open) this.#runs.set(message.runId ?? '', { startSeq: seq })
    const { seq, ms } = parseEventId(head)
    this.#head = head
    this.#headSeq = seq
    this.#headMs = ms
    this.#floor = head
    this.#floorSeq = seq
    this.#foldedSeq = seq
  }

  get head(): EventId {
    return (this.#head ??= mintEventId(this.#headMs, this.#headSeq))
  }

  get headSeq(): number {
    return this.#headSeq
  }

  /** A reader behind this position has missed something. */
  get floorSeq(): number {
    return this.#floorSeq
  }

  /** Nothing in it that would have to be kept, and nobody who reads it. */
  get isIdle(): boolean {
    return this.#count === 0 && this.#runs.size === 0 && this.#followers.size === 0
  }

  get #count(): number {
    return this.#drafts.length - this.#start
  }

  /** Numbers an event and adds it; readers are told at the end of the turn. Returns its position. */
  append(draft: EventDraft, now: number): number {
    // First of all, since it throws where the draft is not JSON.
    const bytes = sizeOf(draft)
    const seq = ++this.#headSeq
    if (now > this.#headMs) this.#headMs = now
    this.#head = undefined
    this.#drafts.push(draft)
    this.#times.push(this.#headMs)
    this.#bytes += bytes
    if (draft.type !== 'text-delta') this.#trackRun(draft, seq)
    this.#tell(draft)
    const { logBytes } = this.#limits
    // At the end of the turn, once those who keep up have read; at once where there was too much before this one.
    if (this.#bytes - bytes > 2 * logBytes) this.trim(now)
    else if (this.#bytes > logBytes) this.#ticker.mark(this.#trimNow)
    return seq
  }

  /** The event at a position that the window holds. */
  at(seq: number): ThreadEvent | undefined {
    const index = this.#start + seq - this.#floorSeq - 1
    const draft = this.#drafts[index]
    const ts = this.#times[index]
    if (!draft || ts === undefined || index < this.#start) return undefined
    return withEnvelope(draft, { id: mintEventId(ts, seq), seq, threadId: this.#threadId, ts })
  }

  /** When the event at a position that the window holds was appended. */
  timeOf(seq: number): number | undefined {
    return this.#times[this.#start + seq - this.#floorSeq - 1]
  }

  /** The event at a position, with the text deltas up to `until` that continue it joined to it, whoever says them. */
  joined(seq: number, until: number): ThreadEvent | undefined {
    const first = this.at(seq)
    if (first?.type !== 'text-delta') return first
    let { delta } = first
    let last = seq
    let index = this.#start + seq - this.#floorSeq
    for (
      let next = this.#drafts[index];
      last < until && next?.type === 'text-delta';
      next = this.#drafts[++index]
    ) {
      if (next.channel !== first.channel || next.runId !== first.runId) break
      delta += next.delta
      last++
    }
    if (last === seq) return first
    const ts = this.#times[index - 1] ?? first.ts
    return { ...first, id: mintEventId(ts, last), seq: last, ts, delta, covers: last - seq + 1 }
  }

  /** Finds where a reader goes on; a cursor is good only where exactly that event is known. */
  place(start: StartAt): Placement {
    if (start === 'head') return {}
    if ('from' in start) {
      if (start.from <= this.#floorSeq) return { cause: 'expired' }
      return { position: this.at(start.from - 1)?.id ?? this.#floor }
    }
    const { id, seq } = parseEventId(start.after)
    if (id === this.#floor || id === this.head) return { position: id }
    if (seq > this.#headSeq) return { cause: 'unknown' }
    if (seq < this.#floorSeq) return { cause: 'expired' }
    return this.at(seq)?.id === id ? { position: id } : { cause: 'rolled-back' }
  }

  /** The thread's state at its head, as far as the events held and those before them in their runs tell. */
  snapshot(): Snapshot {
    this.#fold()
    const messages: OpenMessage[] = []
    for (const message of this.#messages) {
      const run = this.#runs.get(message.runId ?? '')
      if (run) messages.push({ message, seq: run.startSeq })
    }
    return { head: this.head, messages }
  }

  /** Wakes a reader whenever there is news, until the returned function is called. */
  onNews(wake: () => void): () => void {
    this.#followers.add(wake)
    return () => this.#followers.delete(wake)
  }

  /** The bytes of an encoding, complete up to the head, for a reader at `position`. */
  slab(encoding: Encoding, position: number): Slab {
    const { key } = encoding
    let slab = this.#slabs.get(key)
    if (!slab || slab.firstSeq > position + 1 || slab.nextSeq <= this.#floorSeq) {
      // A second one begins with all there is: readers that come ever earlier must not each start it anew.
      slab = new Slab(encoding, (slab ? this.#floorSeq : position) + 1)
      this.#slabs.set(key, slab)
    }
    for (let event = this.at(slab.nextSeq); event; event = this.at(slab.nextSeq)) slab.append(event)
    return slab
  }

  /**
   * Lets go of what is neither young enough to be replayed nor part of a run in progress, and of the oldest where
   * there is more than the cap.
   */
  trim(now: number): void {
    const oldest = now - this.#limits.replayWindowMs
    const openSeq = Math.min(...[...this.#runs.values()].map((run) => (run.endSeq ? Infinity : run.startSeq)))
    // Below the cap by an eighth, so that a full log is not trimmed event by event.
    const room = this.#bytes > this.#limits.logBytes ? (this.#limits.logBytes * 7) / 8 : Infinity
    const before = this.#start
    // The latest event stays, however large it is: it is what the others wait for.
    while (this.#count > 1 || (this.#count === 1 && this.#headMs < oldest)) {
      const draft = this.#drafts[this.#start]
      if (!draft) break
      const ts = this.#times[this.#start] ?? 0
      const seq = this.#floorSeq + 1
      const wanted = ts >= oldest || seq >= openSeq
      if (wanted && this.#bytes <= room) break
      if (seq > this.#foldedSeq) this.#fold()
      this.#floor = mintEventId(ts, seq)
      this.#floorSeq = seq
      this.#bytes -= sizeOf(draft)
      // At once: the list itself is cut more seldom.
      this.#drafts[this.#start++] = undefined
    }
    if (this.#start !== before) this.#release()
    this.#releaseRuns(oldest)
  }

  #release(): void {
    if (this.#start * 2 > this.#drafts.length) {
      this.#drafts = this.#drafts.slice(this.#start)
      this.#times = this.#times.slice(this.#start)
      this.#start = 0
    }
    for (const slab of this.#slabs.values()) slab.trim(this.#floorSeq + 1)
    if (this.#count === 0) this.#slabs.clear()
  }

  #releaseRuns(oldest: number): void {
    for (const [runId, run] of this.#runs) {
      // By time, too: until then the store may not have the messages yet.
      if (run.endSeq === undefined || run.endSeq > this.#floorSeq || (run.endMs ?? 0) >= oldest) continue
      this.#runs.delete(runId)
      this.#messages = this.#messages.filter((message) => message.runId !== runId)
    }
  }

  #trackRun({ type, runId }: EventDraft, seq: number): void {
    if (type === 'start') {
      this.#runs.set(runId, { startSeq: seq })
      this.#firstDeltaDue = true
    } else if (type === 'finish' || type === 'error') {
      const run = this.#runs.get(runId)
      if (!run) return
      run.endSeq = seq
      run.endMs = this.#headMs
    }
  }

  /** The first delta of a run goes at once; only what follows waits for its turn's neighbours. */
  #tell({ type }: EventDraft): void {
    const atOnce = this.#firstDeltaDue && type === 'text-delta'
    if (atOnce) this.#firstDeltaDue = false
    if (this.#followers.size === 0) return
    if (atOnce) this.#wake()
    else this.#ticker.mark(this.#wake)
  }

  readonly #trimNow = (): void => this.trim(this.#headMs)

  readonly #wake = (): void => {
    for (const wake of this.#followers) wake()
  }

  /** Folds what has come since the last time: lazily, so that a delta nobody asks about costs nothing here. */
  #fold(): void {
    const fresh: ThreadEvent[] = []
    for (let seq = this.#foldedSeq + 1; seq <= this.#headSeq;) {
      const event = this.joined(seq, this.#headSeq)
      if (!event) break
      fresh.push(event)
      seq = event.seq + 1
    }
    for (const event of mergeDeltas(fresh)) this.#messages = reduce(this.#messages, event)
    this.#foldedSeq = this.#headSeq
  }
}

/** Spelt out for text deltas, which are nearly all there is: a spread costs as much as encoding one. */
function withEnvelope(
  draft: EventDraft,
  { id, seq, threadId, ts }: { id: EventId; seq: number; threadId: string; ts: number },
): ThreadEvent {
  if (draft.type === 'text-delta') {
    const { type, runId, delta, channel, agent } = draft
    if (agent === undefined) return { id, seq, type, threadId, runId, ts, delta, channel }
    return { id, seq, type, threadId, runId, ts, delta, channel, agent }
  }
  const { type, runId, ...payload } = draft
  return { id, seq, type, threadId, runId, ts, ...payload } as ThreadEvent
}

/** What it takes in memory: two bytes a character where a text has more than Latin letters. */
function sizeOf(draft: EventDraft): number {
  const text = draft.type === 'text-delta' ? draft.delta : JSON.stringify(draft)
  return EVENT_OVERHEAD_BYTES + (BEYOND_LATIN.test(text) ? 2 * text.length : text.length)
}
