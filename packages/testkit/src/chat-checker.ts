import {
  type EventId,
  type Message,
  type ResetCause,
  type ThreadEvent,
  mintEventId,
  seqOf,
} from '@turnpike/protocol'
import { headOfHistory } from './chat-reset.ts'
import { ChatTrack } from './chat-track.ts'
import { type ChatAsk, type ChatFrame, type ChatWords, chatJsonWords } from './chat-words.ts'
import { type Verdict, type VerdictKind, checkHistory } from './history-checker.ts'

/** What a client writes down of one connection, in the order in which it happened. */
export type ChatRecord =
  | { readonly type: 'asked'; readonly ask: ChatAsk }
  | { readonly type: 'cancelled'; readonly runId: string }
  | { readonly type: 'told'; readonly frame: ChatFrame }

/** A {@link Verdict}; `FOREIGN` is what the log does say, and this client should not have been told. */
export interface ChatVerdict extends Omit<Verdict, 'kind'> {
  readonly kind: VerdictKind | 'FOREIGN'
  /** The frame concerned, counted from 0 among what was told; what never came is behind the last one. */
  readonly at: number
}

export interface CheckChatOptions {
  /** Every event of the sessions that the client asked in: each session's in order. */
  readonly log: readonly ThreadEvent[]
  readonly records: readonly ChatRecord[]
  /** @default {@link chatJsonWords} */
  readonly words?: ChatWords
  /**
   * How the connection ended: at any moment; once all that was asked had been answered; or once everything had been told
   * that the log holds of the sessions it follows.
   */
  readonly left: 'cut' | 'answered' | 'settled'
  /** It is of one question, and ends with its run, as an event stream does. @default false */
  readonly endsWithRun?: boolean
  /** Runs that were asked for on other connections, too. @default none */
  readonly askedElsewhere?: ReadonlySet<string>
  /** Sessions that a connection follows before those that are through make room. @default any number */
  readonly subscriptions?: number
  /** Compares the history of a reset with the log, which then has to begin where the session does. @default true */
  readonly histories?: boolean
}

/**
 * Compares what one client was told on one connection, in the words of a wire, with what the log says it should have
 * been told; none where that is exact.
 *
 * What has to hold: a session is told from the beginning of the first run that was asked for here, everything from then
 * on, in order and once, whoever asked for it; pieces of text may come joined. A reset gives in a history what it jumps
 * over, and is followed by the ends among that of runs that were asked for here. A question that came to nothing is refused once, and then nothing more comes of it.
 */
export function checkChat(options: CheckChatOptions): ChatVerdict[] {
  const check = new Check(options)
  for (const record of options.records) {
    if (record.type === 'asked') check.asked(record.ask)
    else if (record.type === 'cancelled') check.cancelled(record.runId)
    else check.told(record.frame)
  }
  return check.end()
}

/** Codes that a question about a run that is there may be refused with. */
const REFUSALS_OF_KNOWN: readonly string[] = [
  'draining',
  'internal',
  'rate-limited',
  'run-id-conflict',
  'too-many-subscriptions',
]
/** Those of one that was not there yet, and came to be when somebody else asked for it. */
const REFUSALS_OF_NEW: readonly string[] = ['thread-busy', 'too-many-runs']

interface Question {
  readonly ask: ChatAsk
  refused: boolean
  /** A session of this one was perhaps given up, to make room, before it was asked. */
  readonly wasFull: boolean
}

/** A reset, in the fields that wires have in common. */
interface Reset {
  readonly sessionId?: string
  readonly cause?: ResetCause
  readonly head?: EventId
  readonly history?: readonly Message[]
  readonly more?: true
}

class Check {
  readonly #options: CheckChatOptions
  readonly #words: ChatWords
  readonly #tracks: ReadonlyMap<string, ChatTrack>
  readonly #threadOf: ReadonlyMap<string, string>
  readonly #questions: Question[] = []
  /** Runs that were to be stopped and may not have been there: as often as each was. */
  readonly #cancelled: string[] = []
  readonly #followed = new Set<string>()
  readonly #verdicts: ChatVerdict[] = []
  #told = -1
  #isFull = false

  constructor(options: CheckChatOptions) {
    const { log, records, words = chatJsonWords } = options
    this.#options = options
    this.#words = words
    const asks = new Map(
      records.flatMap((each) => (each.type === 'asked' ? [[each.ask.runId, each.ask] as const] : [])),
    )
    const threads = Map.groupBy(log, ({ threadId }) => threadId)
    this.#tracks = new Map([...threads].map(([id, events]) => [id, new ChatTrack(events, words, asks)]))
    this.#threadOf = new Map(log.map(({ runId, threadId }) => [runId, threadId]))
  }

  asked(ask: ChatAsk): void {
    const threadId = this.#threadOf.get(ask.runId)
    const { subscriptions = Infinity } = this.#options
    if (threadId !== undefined && !this.#followed.has(threadId)) {
      this.#isFull ||= this.#followed.size >= subscriptions
      this.#followed.add(threadId)
    }
    this.#questions.push({ ask, refused: false, wasFull: this.#isFull })
  }

  cancelled(runId: string): void {
    // Behind a question of its own, a run is there, unless that came to nothing.
    const isAsked = this.#questions.some(({ ask }) => ask.runId === runId)
    if (!isAsked || !this.#threadOf.has(runId)) this.#cancelled.push(runId)
  }

  told(frame: ChatFrame): void {
    this.#told++
    if (this.#words.asides.includes(frame.type)) return
    if (frame.type === 'reset') return this.#reset(frame as Reset)
    const key = frame[this.#words.keyField]
    // It refuses what was no question, or says goodbye.
    if (key === undefined && frame.type === 'error') return
    if (typeof key !== 'string' && typeof key !== 'number')
      return this.#say('PHANTOM', `about no question: ${shown(frame)}`)
    const runId = this.#runOf(key)
    const threadId = this.#threadOf.get(runId)
    const track = threadId === undefined ? undefined : this.#tracks.get(threadId)
    if (this.#isRefusal(frame, runId, track)) return
    const questions = this.#asksIn(threadId)
    if (!track) return this.#say('PHANTOM', `of ${key}, which never ran: ${shown(frame)}`)
    if (questions.length === 0)
      return this.#say('FOREIGN', `of a session that was not asked in: ${shown(frame)}`)
    if (this.#isOver(track)) return this.#say('FOREIGN', `behind the end: ${shown(frame)}`)
    this.#place(track, questions, frame)
    this.#take(track, frame)
  }

  end(): ChatVerdict[] {
    this.#told++
    const { left } = this.#options
    const open = this.#questions.filter(({ refused }) => !refused).map(({ ask }) => ask)
    for (const [threadId, track] of this.#tracks) {
      const asked = open.filter((ask) => this.#threadOf.get(ask.runId) === threadId)
      const runIds = new Set(left === 'cut' ? [] : asked.map(({ runId }) => runId))
      const whole = left === 'settled' && asked.length > 0 && !this.#isFull
      for (const { frame } of track.missing({ runIds, whole }))
        this.#say('LOST', `never came: ${shown(frame)}`)
    }
    if (left === 'cut') return this.#verdicts
    for (const ask of open) {
      if (!this.#threadOf.has(ask.runId)) this.#say('LOST', `nothing came of ${ask.key ?? ask.runId}`)
    }
    return this.#verdicts
  }

  #take(track: ChatTrack, frame: ChatFrame): void {
    const fit = track.take(frame)
    switch (fit.kind) {
      case 'next':
        return
      case 'ahead':
        return this.#say('SILENT-GAP', `${fit.skipped} frames were skipped before ${shown(frame)}`)
      case 'skipped-before':
        return this.#say('REORDER', `came too late: ${shown(frame)}`)
      case 'again':
        return this.#say('DUP', `came again: ${shown(frame)}`)
      case 'too-early':
        return this.#say('FOREIGN', `of before the first question: ${shown(frame)}`)
      case 'unknown':
        return this.#say('PHANTOM', `not what the log says: ${shown(frame)}`)
      default:
        return fit satisfies never
    }
  }

  /** A session is told from the beginning of the first of its runs that were asked for here. */
  #place(track: ChatTrack, questions: readonly Question[], frame?: ChatFrame): void {
    if (!track.hasBegun) {
      const starts = questions.flatMap(({ ask }) => track.startOf(ask.runId) ?? [])
      return track.beginAt(Math.min(...starts))
    }
    if (!frame || !this.#isFull || track.expects(frame)) return
    const again = questions.filter(({ wasFull }) => wasFull)
    const start = again
      .flatMap(({ ask }) => track.startOf(ask.runId) ?? [])
      .find((seq) => track.wouldBegin(seq, frame))
    if (start !== undefined) track.beginAt(start)
  }

  /** A question that came to nothing here, whether or not its run is there. */
  #isRefusal(frame: ChatFrame, runId: string, track: ChatTrack | undefined): boolean {
    if (frame.type !== 'error') return false
    const code = String(frame['code'])
    const cancelled = code === 'unknown-run' ? this.#cancelled.indexOf(runId) : -1
    if (cancelled >= 0) {
      this.#cancelled.splice(cancelled, 1)
      return true
    }
    const asked = this.#questions.filter(({ ask, refused }) => ask.runId === runId && !refused)
    const question = asked.at(-1)
    if (!question) return false
    const isNew = this.#options.askedElsewhere?.has(runId) && REFUSALS_OF_NEW.includes(code)
    if (track && !isNew && !REFUSALS_OF_KNOWN.includes(code)) return false
    if (track?.hasTold(runId) && asked.length === 1) return false
    question.refused = true
    return true
  }

  #reset(reset: Reset): void {
    const { sessionId = '', cause, more } = reset
    const track = this.#tracks.get(sessionId)
    const questions = this.#asksIn(sessionId)
    if (!track || questions.length === 0)
      return this.#say('FOREIGN', `a reset of "${sessionId}", which was not asked in`)
    if (this.#isOver(track)) return this.#say('FOREIGN', 'a reset behind the end')
    const causes: ResetCause[] = track.hasBegun && !this.#isFull ? ['lagged'] : ['lagged', 'expired']
    this.#place(track, questions)
    const history = this.#words.labelsHistory ? this.#unlabelled(reset.history ?? []) : (reset.history ?? [])
    const { head = headOfHistory(track.log, history, { from: track.seq, more: more ?? false }) } = reset
    if (!head) return this.#say('PHANTOM', 'a reset with a history that the log never came to')
    const { histories = true } = this.#options
    const verdicts = checkHistory({
      log: track.log,
      records: [{ type: 'reset', cause, head, history, more }],
      after: mintEventId(0, track.seq),
      upTo: head,
      causes,
      histories,
    })
    for (const { kind, detail } of verdicts) this.#say(kind, detail)
    track.reset(seqOf(head))
  }

  /** A history without the names of questions, which have to be right. */
  #unlabelled(history: readonly Message[]): Message[] {
    const { keyField } = this.#words
    return history.map((message) => {
      const { [keyField]: label } = message as Message & Record<string, unknown>
      const question = this.#questions.find(({ ask }) => ask.runId === message.runId)
      if (label !== question?.ask.key)
        this.#say('PHANTOM', `a message of ${message.runId} is named ${String(label)}`)
      return { ...message, [keyField]: undefined }
    })
  }

  #isOver(track: ChatTrack): boolean {
    const { endsWithRun = false } = this.#options
    return endsWithRun && this.#questions.some(({ ask }) => track.hasEnded(ask.runId))
  }

  #runOf(key: string | number): string {
    const question = this.#questions.findLast(({ ask }) => (ask.key ?? ask.runId) === key)
    return question?.ask.runId ?? String(key)
  }

  #asksIn(threadId: string | undefined): readonly Question[] {
    return this.#questions.filter(
      ({ ask, refused }) => !refused && this.#threadOf.get(ask.runId) === threadId && threadId !== undefined,
    )
  }

  #say(kind: ChatVerdict['kind'], detail: string): void {
    this.#verdicts.push({ kind, at: this.#told, detail })
  }
}

/** A frame in a few words: texts are cut in the middle. */
function shown(frame: ChatFrame): string {
  const cut = (_name: string, value: unknown): unknown =>
    typeof value === 'string' && value.length > 60 ? `${value.slice(0, 25)} … ${value.slice(-25)}` : value
  return JSON.stringify(frame, cut)
}
