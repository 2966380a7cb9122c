import { isDeepStrictEqual } from 'node:util'
import { type ThreadEvent, isTerminal } from '@turnpike/protocol'
import type { ChatAsk, ChatFrame, ChatWords } from './chat-words.ts'

/** One thing that the log says should have been told. */
interface Word {
  readonly seq: number
  readonly runId: string
  readonly frame: ChatFrame
  /** Where it is text, which frames may join. */
  readonly text: string | undefined
  readonly isEnd: boolean
  /** It is the end of a run that was asked for here. */
  readonly isAwaited: boolean
}

/** How a frame fits what should have been told. */
export type Fit =
  | { readonly kind: 'next' }
  /** It belongs later; what lies between may still come. */
  | { readonly kind: 'ahead'; readonly skipped: number }
  | { readonly kind: 'skipped-before' }
  | { readonly kind: 'again' }
  | { readonly kind: 'too-early' }
  | { readonly kind: 'unknown' }

/** One session of one connection: what should be told of it, and how far that has come. */
export class ChatTrack {
  readonly log: readonly ThreadEvent[]
  readonly #wire: ChatWords
  readonly #words: readonly Word[]
  readonly #told = new Set<number>()
  /** Ends of runs that were asked for, of which only a history has told: each is to be told in a frame, too. */
  readonly #endsByHistory = new Set<number>()
  /** Index of the first word that is to be told; undefined before anything was. */
  #from: number | undefined
  #next = 0
  /** Where it was placed last: before a run, or behind a history. */
  #placedAt = 0
  /** Words that need not come: the connection has ceased to follow the session in between. */
  readonly #excused = new Set<number>()

  /** @param asks - All that this client asks for, by run. */
  constructor(log: readonly ThreadEvent[], wire: ChatWords, asks: ReadonlyMap<string, ChatAsk>) {
    this.log = log
    this.#wire = wire
    this.#words = log.flatMap((event): Word[] => {
      const ask = asks.get(event.runId)
      if (!ask && !wire.hearsOthers) return []
      const frame = wire.frameOf(event, ask ?? { runId: event.runId })
      if (!frame) return []
      const { type, field } = wire.text
      const text = frame.type === type ? String(frame[field]) : undefined
      const key = ask?.key ?? event.runId
      const { seq, runId } = event
      const isEnd = isTerminal(event)
      const isAwaited = isEnd && ask !== undefined
      return [{ seq, runId, frame: { ...frame, [wire.keyField]: key }, text, isEnd, isAwaited }]
    })
  }

  get hasBegun(): boolean {
    return this.#from !== undefined
  }

  /** The last position that the client is known to have. */
  get seq(): number {
    return Math.max(this.#placedAt, this.#words[this.#next - 1]?.seq ?? 0)
  }

  startOf(runId: string): number | undefined {
    return this.log.find((event) => event.runId === runId)?.seq
  }

  /** Goes on at a position, from which on everything is to be told. */
  beginAt(seq: number): void {
    const index = this.#indexAt(seq)
    if (this.#from === undefined) this.#from = index
    else {
      for (let i = this.#next; i < index; i++) this.#excused.add(i)
      for (let i = index; i < this.#next; i++) this.#told.delete(i)
      this.#from = Math.min(this.#from, index)
    }
    this.#next = index
    this.#placedAt = seq - 1
  }

  /** The client has all up to `seq` by a history. */
  reset(seq: number): void {
    const index = this.#indexAt(seq + 1)
    for (let i = this.#from ?? 0; i < index; i++) {
      if (this.#words[i]?.isAwaited && !this.#told.has(i)) this.#endsByHistory.add(i)
    }
    for (let i = 0; i < index; i++) this.#told.add(i)
    this.#from ??= index
    this.#next = Math.max(this.#next, index)
    this.#placedAt = Math.max(this.#placedAt, seq)
  }

  /** Whether a frame is what comes next. */
  expects(frame: ChatFrame): boolean {
    return this.#matchAt(this.#next, frame) > this.#next
  }

  /** Whether a frame is what comes next where the connection begins to follow at a position. */
  wouldBegin(seq: number, frame: ChatFrame): boolean {
    const index = this.#indexAt(seq)
    return this.#matchAt(index, frame) > index
  }

  take(frame: ChatFrame): Fit {
    const [from, next] = [this.#from ?? 0, this.#next]
    for (const i of this.#endsByHistory) {
      if (this.#matchAt(i, frame) > i) {
        this.#endsByHistory.delete(i)
        return { kind: 'next' }
      }
    }
    if (this.#takeAt(next, frame)) return { kind: 'next' }
    for (let i = next + 1; i < this.#words.length; i++) {
      if (this.#takeAt(i, frame)) return { kind: 'ahead', skipped: i - next }
    }
    for (let i = from; i < next; i++) {
      if (!this.#told.has(i) && this.#takeAt(i, frame)) return { kind: 'skipped-before' }
    }
    for (let i = from; i < next; i++) if (this.#matchAt(i, frame) > i) return { kind: 'again' }
    for (let i = 0; i < from; i++) if (this.#matchAt(i, frame) > i) return { kind: 'too-early' }
    return { kind: 'unknown' }
  }

  /** Whether the end of a run was told by a frame. */
  hasEnded(runId: string): boolean {
    return this.#words.some((word, i) => word.runId === runId && word.isEnd && this.#isTold(i))
  }

  hasTold(runId: string): boolean {
    return this.#words.some((word, i) => word.runId === runId && this.#told.has(i))
  }

  /** What was jumped over, what is missing of certain runs, and, of the whole, what has not come yet. */
  missing({ runIds, whole }: { runIds: ReadonlySet<string>; whole: boolean }): readonly Word[] {
    const from = this.#from ?? Infinity
    return this.#words.filter((word, i) => {
      if (runIds.has(word.runId)) return !this.#isTold(i)
      if (this.#told.has(i)) return false
      return i >= from && !this.#excused.has(i) && (whole || i < this.#next)
    })
  }

  #isTold(index: number): boolean {
    return this.#told.has(index) && !this.#endsByHistory.has(index)
  }

  #takeAt(index: number, frame: ChatFrame): boolean {
    const end = this.#matchAt(index, frame)
    if (end === index) return false
    for (let i = index; i < end; i++) this.#told.add(i)
    this.#next = Math.max(this.#next, end)
    return true
  }

  /** Index behind the words that a frame tells, from `index` on; `index` itself where it tells something else. */
  #matchAt(index: number, frame: ChatFrame): number {
    const word = this.#words[index]
    if (!word || word.frame.type !== frame.type) return index
    const { field } = this.#wire.text
    if (word.text === undefined) return isSame(word.frame, frame) ? index + 1 : index
    const text = frame[field]
    if (typeof text !== 'string' || !isSame({ ...word.frame, [field]: '' }, { ...frame, [field]: '' }))
      return index
    let length = 0
    for (let i = index; i < this.#words.length; i++) {
      const piece = this.#words[i]
      if (piece?.text === undefined || piece.runId !== word.runId) return index
      if (!text.startsWith(piece.text, length)) return index
      length += piece.text.length
      if (length === text.length) return i + 1
    }
    return index
  }

  #indexAt(seq: number): number {
    const index = this.#words.findIndex((word) => word.seq >= seq)
    return index < 0 ? this.#words.length : index
  }
}

/** Equal as JSON, in which everything travels: an absent field is one that is undefined. */
function isSame(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b)))
}
