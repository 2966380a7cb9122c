import { isDeepStrictEqual } from 'node:util'
import {
  type EventId,
  type Message,
  type ResetCause,
  type ThreadEvent,
  ORIGIN,
  advance,
  mergeDeltas,
  reduce,
  seqOf,
} from '@turnpike/protocol'

/** What a client writes down, in the order in which it came. */
export type HistoryRecord =
  | { readonly type: 'event'; readonly event: ThreadEvent }
  | ({ readonly type: 'reset' } & ResetRecord)
  /** A new connection resumes from the cursor. */
  | { readonly type: 'connected'; readonly recovered?: boolean }

interface ResetRecord {
  /** Absent where the client had named no place. */
  readonly cause?: ResetCause | undefined
  readonly head: EventId
  readonly history: readonly Message[]
  /** The history begins later than the thread. */
  readonly more?: true | undefined
}

/**
 * What is wrong with a history.
 *
 * `LOST`: never delivered. `DUP`: delivered again. `REORDER`: delivered after a later one. `PHANTOM`: not what the log
 * says. `SILENT-GAP`: skipped, and no reset said so.
 */
export type VerdictKind = 'LOST' | 'DUP' | 'REORDER' | 'PHANTOM' | 'SILENT-GAP'

export interface Verdict {
  readonly kind: VerdictKind
  /** The first event concerned. */
  readonly at: number
  readonly detail: string
}

export interface CheckHistoryOptions {
  /** Every event of the thread as it was logged, in order. */
  readonly log: readonly ThreadEvent[]
  readonly records: readonly HistoryRecord[]
  /** Whether the client asked for reasoning; one that did not must get none. @default false */
  readonly reasoning?: boolean
  /** Counts a frame sent twice as `DUP`, although a client's contiguity rule would skip it. @default true */
  readonly strict?: boolean
  /** Compares the history of a reset with the log folded up to its head. @default true */
  readonly histories?: boolean
  /** Causes that excuse a hole. @default all */
  readonly causes?: readonly ResetCause[]
  /** The cursor that the client began with. @default the thread's beginning */
  readonly after?: EventId
  /** The client stopped listening here: what comes later is not lost. @default the log's end */
  readonly upTo?: EventId
}

const CAUSES: readonly ResetCause[] = ['expired', 'unknown', 'rolled-back', 'lagged']

/** Compares what one client received with the log, and tells every difference; none where the history is exact. */
export function checkHistory(options: CheckHistoryOptions): Verdict[] {
  const check = new Check(options)
  for (const record of options.records) {
    if (record.type === 'event') check.event(record.event)
    else if (record.type === 'reset') check.reset(record)
    else check.connected()
  }
  return check.end()
}

class Check {
  readonly #options: CheckHistoryOptions
  readonly #log: ReadonlyMap<number, ThreadEvent>
  readonly #verdicts: Verdict[] = []
  /** Events that the client has, by a frame or folded into a history. */
  readonly #covered = new Set<number>()
  #cursor: number
  /** Where the first gap since the last reset began: a client that keeps the contiguity rule still stands there. */
  #gapAfter: number | undefined
  /** Whether the next frame may go back to before that gap. */
  #resuming = false
  /** Nothing was named, so a first reset needs no cause. */
  #fresh: boolean

  constructor(options: CheckHistoryOptions) {
    this.#options = options
    this.#log = new Map(options.log.map((event) => [event.seq, event]))
    this.#cursor = seqOf(options.after ?? ORIGIN)
    this.#fresh = options.after === undefined
    this.#coverUpTo(this.#cursor)
  }

  connected(): void {
    this.#resuming = this.#gapAfter !== undefined
  }

  event(event: ThreadEvent): void {
    const covers = event.covers ?? 1
    const first = event.seq - covers + 1
    if (!Number.isInteger(first) || covers < 1 || !this.#exists(first, event.seq)) {
      return this.#say(
        'PHANTOM',
        event.seq,
        `stands for ${first} to ${event.seq}, which the log does not hold`,
      )
    }
    this.#fresh = false
    if (this.#resuming && first - 1 === this.#gapAfter) this.#goBack(first - 1)
    this.#resuming = false
    this.#content(event, first)
    this.#place(event, first)
  }

  reset({ cause, head, history, more }: ResetRecord): void {
    const { causes = CAUSES, histories = true } = this.#options
    const seq = seqOf(head)
    if (cause === undefined ? !this.#fresh : !causes.includes(cause)) {
      this.#say('SILENT-GAP', this.#cursor + 1, `a reset to ${seq} without a legal cause: ${cause ?? 'none'}`)
    }
    const backwards = cause === 'rolled-back' || cause === 'unknown'
    if (seq < this.#cursor && !backwards) {
      this.#say('REORDER', seq, `a reset (${cause ?? 'no cause'}) goes back from ${this.#cursor}`)
    }
    if (!this.#isPlace(head)) this.#say('PHANTOM', seq, `a reset to "${head}", which the log does not know`)
    else if (histories) this.#history(seq, history, more ?? false)
    this.#fresh = false
    this.#goBack(seq)
    this.#coverUpTo(seq)
  }

  end(): Verdict[] {
    const { log, upTo } = this.#options
    const last = upTo === undefined ? Infinity : seqOf(upTo)
    for (const event of log) {
      if (event.seq > last || this.#covered.has(event.seq) || !this.#isVisible(event)) continue
      this.#say('LOST', event.seq, `${event.type} never came`)
    }
    return this.#verdicts
  }

  /** A frame has to say what the events it stands for say. */
  #content(event: ThreadEvent, first: number): void {
    const covered = this.#events(first, event.seq)
    const [expected, ...more] = mergeDeltas(covered.filter((each) => this.#isVisible(each))).toReversed()
    const last = this.#log.get(event.seq)
    // It has the place of the last event it stands for, also where that one is not said.
    const wanted = expected && {
      ...expected,
      id: last?.id,
      seq: last?.seq,
      ts: last?.ts,
      covers: event.covers,
    }
    if (!wanted || !sameJson(event, wanted)) {
      this.#say('PHANTOM', event.seq, `${event.type} differs from the log: ${JSON.stringify(event)}`)
    }
    for (const swallowed of more) this.#say('LOST', swallowed.seq, `swallowed by the frame of ${event.seq}`)
  }

  /** Frames have to continue each other. */
  #place(event: ThreadEvent, first: number): void {
    const { seq } = event
    const again = this.#range(first, seq).filter((each) => this.#covered.has(each))
    const step = advance(this.#cursor, event)
    if (step === 'refetch-gap') this.#gapAfter ??= this.#cursor
    if (again[0] !== undefined) {
      // A whole frame that is behind the cursor would be skipped; one that overlaps could not be taken at all.
      const skippable = step === 'skip-duplicate' && again.length === seq - first + 1
      if (!skippable || (this.#options.strict ?? true))
        this.#say('DUP', again[0], `again in the frame of ${seq}`)
    } else if (step === 'skip-duplicate') {
      this.#say('REORDER', first, `came after ${this.#cursor}`)
    } else if (step === 'refetch-gap') {
      this.#say('SILENT-GAP', this.#cursor + 1, `the frame of ${seq} follows that of ${this.#cursor}`)
    }
    for (const each of this.#range(first, seq)) this.#covered.add(each)
    this.#cursor = Math.max(this.#cursor, seq)
  }

  #history(seq: number, history: readonly Message[], more: boolean): void {
    const events = this.#options.log.filter((event) => event.seq <= seq)
    const whole = mergeDeltas(events).reduce(reduce, [] as readonly Message[])
    const folded = this.#options.reasoning ? whole : whole.map(withoutReasoning)
    const expected = more ? folded.slice(Math.max(0, folded.length - history.length)) : folded
    if (sameJson(history, expected)) return
    const index = expected.findIndex((message, i) => !sameJson(message, history[i]))
    const where = index < 0 ? `${history.length} messages for ${expected.length}` : `message ${index}`
    this.#say('PHANTOM', seq, `the history of a reset differs from the log: ${where}`)
  }

  #goBack(seq: number): void {
    for (const each of this.#covered) if (each > seq) this.#covered.delete(each)
    this.#cursor = seq
    this.#gapAfter = undefined
    this.#resuming = false
  }

  #coverUpTo(seq: number): void {
    for (const { seq: each } of this.#options.log) if (each <= seq) this.#covered.add(each)
  }

  /** A head may stand where numbering skipped ahead, but not behind the log's end. */
  #isPlace(head: EventId): boolean {
    const logged = this.#log.get(seqOf(head))
    return logged ? logged.id === head : head === ORIGIN || seqOf(head) < (this.#options.log.at(-1)?.seq ?? 0)
  }

  #isVisible(event: ThreadEvent): boolean {
    return this.#options.reasoning === true || event.type !== 'text-delta' || event.channel === 'answer'
  }

  #exists(first: number, last: number): boolean {
    return (
      first >= 1 && last - first < this.#log.size && this.#events(first, last).length === last - first + 1
    )
  }

  #events(first: number, last: number): ThreadEvent[] {
    return this.#range(first, last).flatMap((seq) => this.#log.get(seq) ?? [])
  }

  #range(first: number, last: number): number[] {
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  }

  #say(kind: VerdictKind, at: number, detail: string): void {
    this.#verdicts.push({ kind, at, detail })
  }
}

/** Equal as JSON, in which everything travels: an absent field is one that is undefined. */
function sameJson(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(plain(a), plain(b))
}

function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value))
}

function withoutReasoning(message: Message): Message {
  return { ...message, parts: message.parts.filter((part) => part.type !== 'reasoning') }
}
