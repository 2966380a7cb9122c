import {
  type EventId,
  type History,
  type Message,
  type ResetCause,
  type ThreadEvent,
  ORIGIN,
  advance,
  reduce,
  seqOf,
} from '@turnpike/protocol'
import { type Note, FORGOTTEN, awayNote, resetNote, resumedNote, withNote } from './note.ts'
import { type Pending, withoutRuns } from './pending.ts'
import { type Runs, withFacts } from './run-facts.ts'

const RECENT = 50

/** An event as the list of raw events shows it. */
export interface Received {
  readonly key: string
  readonly type: string
  readonly seq: number
  readonly covers: number
}

/** What came since a resume: behind `fromSeq`, and up to `toSeq` once it is known how far the thread had gone. */
interface Replay {
  readonly fromSeq: number
  readonly toSeq?: number
  readonly after: string | undefined
}

/** All that the page knows of one thread. */
export interface ThreadState {
  readonly threadId: string
  readonly messages: readonly Message[]
  /** Older messages were left out. */
  readonly hasMore: boolean
  /** The last event applied. */
  readonly cursor: EventId
  readonly runs: Runs
  readonly pending: readonly Pending[]
  readonly notes: readonly Note[]
  readonly replay?: Replay | undefined
  /** How many events the last resume brought. */
  readonly replayed?: number | undefined
  /** Events received, those that merged frames stand for included. */
  readonly received: number
  /** The latest first. */
  readonly recent: readonly Received[]
}

export function emptyThread(threadId: string): ThreadState {
  return {
    threadId,
    messages: [],
    hasMore: false,
    cursor: ORIGIN,
    runs: new Map(),
    pending: [],
    notes: [],
    received: 0,
    recent: [],
  }
}

/** The run that is going on, if one is. */
export function activeRun({ messages }: ThreadState): string | undefined {
  return messages.findLast(({ role, status }) => role === 'assistant' && status === 'open')?.runId
}

/** Applies an event; a gap gives nothing: it has to be asked for again. */
export function withEvent(state: ThreadState, event: ThreadEvent): ThreadState | undefined {
  const step = advance(seqOf(state.cursor), event)
  if (step === 'refetch-gap') return undefined
  if (step === 'skip-duplicate') return state
  const covers = event.covers ?? 1
  const received = { key: event.id, type: event.type, seq: event.seq, covers }
  const messages = reduce(state.messages, event)
  return settled({
    ...state,
    // A later server may have more types than this page; they count, and change no message.
    messages: Array.isArray(messages) ? messages : state.messages,
    runs: withFacts(state.runs, event),
    pending: event.type === 'start' ? withoutRuns(state.pending, new Set([event.runId])) : state.pending,
    cursor: event.id,
    received: state.received + covers,
    recent: [received, ...state.recent.slice(0, RECENT - 1)],
  })
}

/** Goes on from a history; `cause` says why, where it was not asked for. */
export function withHistory(state: ThreadState, from: History & { cause?: ResetCause }): ThreadState {
  const { history, head, more = false, cause } = from
  const ids = new Set(history.map(({ id }) => id))
  const notes = state.notes.filter(({ kind, after }) => kind !== 'away' && after && ids.has(after))
  return {
    ...state,
    messages: history,
    hasMore: more,
    cursor: head,
    pending: withoutRuns(state.pending, new Set(history.map(({ runId }) => runId ?? ''))),
    notes: cause ? withNote(notes, resetNote(history, cause)) : notes,
    replay: undefined,
    replayed: undefined,
  }
}

/** Begins again with a thread that the server does not know. */
export function withoutHistory(state: ThreadState): ThreadState {
  const { threadId, pending, cursor, notes } = state
  return { ...emptyThread(threadId), pending, notes: cursor === ORIGIN ? notes : [FORGOTTEN] }
}

/** The connection is gone. */
export function withLoss(state: ThreadState, { cut }: { cut: boolean }): ThreadState {
  const last = state.messages.at(-1)
  if (!last) return state
  const note = awayNote(last.id, { cut, running: activeRun(state) !== undefined })
  return { ...state, replay: undefined, notes: withNote(state.notes, note) }
}

/** The server goes on behind the cursor. */
export function withReplay(state: ThreadState): ThreadState {
  return { ...state, replay: { fromSeq: seqOf(state.cursor), after: state.messages.at(-1)?.id } }
}

/** It is known how far the thread had gone at the resume; nothing where that could not be found out. */
export function withReplayEnd(state: ThreadState, head: EventId | undefined): ThreadState {
  const { replay, cursor } = state
  if (!replay) return state
  return settled({ ...state, replay: { ...replay, toSeq: seqOf(head ?? cursor) } })
}

/** Every event counted was next in line when it came, so having reached the end proves that none is missing. */
function settled(state: ThreadState): ThreadState {
  const { replay, cursor, notes } = state
  if (replay?.toSeq === undefined || seqOf(cursor) < replay.toSeq) return state
  const replayed = Math.max(0, replay.toSeq - replay.fromSeq)
  return {
    ...state,
    replay: undefined,
    replayed,
    notes: withNote(notes, resumedNote(replay.after, replayed)),
  }
}
