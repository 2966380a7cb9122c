import type { ThreadEvent } from '@turnpike/protocol'
import type { Dialect, Frame } from '@turnpike/protocol/wire'
import type { Framing } from '../links/link.ts'

const FIRST_PAGE_BYTES = 4_096
const PAGE_BYTES = 65_536
/** A page is let go of as a whole, also where its reader gets to see nothing of what it stands for. */
const PAGE_EVENTS = 1_024

/** How one kind of reader gets its bytes: what is said, how it is written, and whether reasoning is part of it. */
export interface Encoding {
  readonly dialect: Dialect
  readonly framing: Framing
  readonly reasoning: boolean
  /** Tells two encodings apart; put together once for a reader, since it is looked up by it with each flush. */
  readonly key: string
}

/** Makes an encoding. */
export function encodingOf(parts: Omit<Encoding, 'key'>): Encoding {
  const { dialect, framing, reasoning } = parts
  return { ...parts, key: `${dialect.name} ${framing.name} ${framing.scope ?? ''} ${reasoning}` }
}

/** The frames of one event for a reader that last saw `lastVisible`; none where it gets to see nothing of it. */
export function framesOf(encoding: Encoding, event: ThreadEvent, lastVisible: number): readonly Frame[] {
  if (!encoding.reasoning && event.type === 'text-delta' && event.channel === 'reasoning') return []
  const covers = event.seq - lastVisible
  return encoding.dialect.encode(covers === 1 ? event : { ...event, covers })
}

interface Page {
  readonly buffer: Buffer
  readonly firstSeq: number
  /** The last event before this page that a reader gets to see. */
  readonly visibleBefore: number
  /** Where each event's frames end. */
  readonly ends: number[]
  /** For each event, the last one up to it that a reader gets to see. */
  readonly visible: number[]
  /** For each event, the frames of this page up to it; only where they are not one each. */
  frames?: number[]
}

/** A run of bytes to write as they are, and the last event in them. */
export interface Slice {
  readonly bytes: Uint8Array
  /** How many frames they are. */
  readonly frames: number
  readonly lastSeq: number
  readonly lastVisible: number
}

/**
 * A thread's events as the bytes of one encoding, kept beside the log and shared by all readers of that kind.
 *
 * Each event is encoded once; delivery to one reader more, or a replay, is a view of these pages and one write.
 * Measured on 10,000 events: 1.4 ms this way, 74 ms event by event.
 */
export class Slab {
  readonly #encoding: Encoding
  #pages: Page[] = []
  #nextSeq: number
  #lastVisible: number

  constructor(encoding: Encoding, firstSeq: number) {
    this.#encoding = encoding
    this.#nextSeq = firstSeq
    this.#lastVisible = firstSeq - 1
  }

  /** The first event it holds, or will hold. */
  get firstSeq(): number {
    return this.#pages[0]?.firstSeq ?? this.#nextSeq
  }

  /** The event to append next. */
  get nextSeq(): number {
    return this.#nextSeq
  }

  /** Encodes the next event. */
  append(event: ThreadEvent): void {
    const frames = framesOf(this.#encoding, event, this.#lastVisible)
    const { framing } = this.#encoding
    let room = 0
    for (const frame of frames) room += framing.maxBytes(frame)
    const page = this.#pageWith(room, event.seq)
    let end = page.ends.at(-1) ?? 0
    for (const frame of frames) end = framing.write(frame, page.buffer, end)
    if (frames.length > 0) this.#lastVisible = event.seq
    if (frames.length !== 1) page.frames ??= page.ends.map((_, index) => index + 1)
    page.frames?.push((page.frames.at(-1) ?? 0) + frames.length)
    page.ends.push(end)
    page.visible.push(this.#lastVisible)
    this.#nextSeq = event.seq + 1
  }

  /** The last event up to `seq` that readers of this encoding get to see. */
  visibleUpTo(seq: number): number {
    if (seq === this.#nextSeq - 1) return this.#lastVisible
    const page = this.#pageOf(seq)
    if (page) return page.visible[seq - page.firstSeq] ?? seq
    return this.#pages[0]?.visibleBefore ?? seq
  }

  /** What follows `seq`, up to `until`: the rest of the page that the next event is on. */
  after(seq: number, until: number): Slice | undefined {
    const page = this.#pageOf(seq + 1)
    if (!page || until <= seq) return undefined
    const last = Math.min(page.ends.length - 1, until - page.firstSeq)
    const before = seq - page.firstSeq
    const start = page.ends[before] ?? 0
    return {
      bytes: page.buffer.subarray(start, page.ends[last] ?? start),
      frames: page.frames ? (page.frames[last] ?? 0) - (page.frames[before] ?? 0) : last - before,
      lastSeq: page.firstSeq + last,
      lastVisible: page.visible[last] ?? seq,
    }
  }

  /** Lets go of the pages that hold nothing from `firstSeq` on. */
  trim(firstSeq: number): void {
    const keep = this.#pages.findIndex((page) => page.firstSeq + page.ends.length > firstSeq)
    this.#pages = keep < 0 ? [] : this.#pages.slice(keep)
  }

  #pageOf(seq: number): Page | undefined {
    if (seq >= this.#nextSeq) return undefined
    return this.#pages.findLast((page) => page.firstSeq <= seq)
  }

  #pageWith(room: number, firstSeq: number): Page {
    const last = this.#pages.at(-1)
    const used = last?.ends.at(-1) ?? 0
    const isFull = last !== undefined && last.buffer.length - used < room
    if (last && !isFull && last.ends.length < PAGE_EVENTS) return last
    const grown = isFull ? Math.min(PAGE_BYTES, last.buffer.length * 4) : Math.max(FIRST_PAGE_BYTES, used)
    const page: Page = {
      buffer: Buffer.allocUnsafeSlow(Math.max(grown, room)),
      firstSeq,
      visibleBefore: this.#lastVisible,
      ends: [],
      visible: [],
    }
    this.#pages.push(page)
    return page
  }
}
