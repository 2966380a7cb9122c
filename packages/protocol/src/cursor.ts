import { GatewayError } from './errors.ts'

declare const kind: unique symbol

/**
 * Names one event of a thread: `<ms>-<seq>`, padded to 13 and 10 digits so that ids sort as strings.
 *
 * It is the "last event id" of every wire, the `id:` of Server-Sent Events, and a reader's cursor.
 */
export type EventId = string & { readonly [kind]: 'event-id' }

const MS_DIGITS = 13
const SEQ_DIGITS = 10
const PATTERN = /^(\d{1,13})-(\d{1,10})$/

let latestMs = -1
let latestPrefix = ''

/** Makes the id of event number `seq`, logged at `ms` since the epoch. */
export function mintEventId(ms: number, seq: number): EventId {
  // Ids are made in the order of time, so the first half is nearly always the one just made.
  if (ms !== latestMs) {
    latestMs = ms
    latestPrefix = `${pad(ms, MS_DIGITS)}-`
  }
  return (latestPrefix + pad(seq, SEQ_DIGITS)) as EventId
}

/** The cursor before a thread's first event. */
export const ORIGIN = mintEventId(0, 0)

/**
 * Reads an id that a client sent, padded or not.
 *
 * @throws GatewayError `invalid-event-id`
 */
export function parseEventId(text: string): { id: EventId; ms: number; seq: number } {
  const match = PATTERN.exec(text)
  if (!match) {
    throw new GatewayError(
      'invalid-event-id',
      'An event id is "<ms>-<seq>", such as "1700000000000-0000000042". Send the id of the last event you applied.',
    )
  }
  const ms = Number(match[1])
  const seq = Number(match[2])
  return { id: mintEventId(ms, seq), ms, seq }
}

/** The position in its thread that an id names. */
export function seqOf(id: EventId): number {
  return Number(id.slice(MS_DIGITS + 1))
}

/** Orders two ids of one thread; negative where `a` is the earlier. */
export function compareEventIds(a: EventId, b: EventId): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** What a reader does with a frame: apply it, skip it as seen, or ask again because something is missing. */
export type Advance = 'apply' | 'skip-duplicate' | 'refetch-gap'

/**
 * Decides whether a delivered event continues a reader's history.
 *
 * A frame may stand for several log events (`covers`); it continues where `seq - covers === lastSeq`.
 */
export function advance(lastSeq: number, event: { seq: number; covers?: number | undefined }): Advance {
  if (event.seq <= lastSeq) return 'skip-duplicate'
  return event.seq - (event.covers ?? 1) === lastSeq ? 'apply' : 'refetch-gap'
}

function pad(value: number, digits: number): string {
  return String(value).padStart(digits, '0')
}
