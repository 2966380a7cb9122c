import type { Answer, ThreadReset } from '../commands.ts'
import type { Dialect, Frame } from '../dialect.ts'
import { type ErrorBody, GatewayError } from '../errors.ts'
import type { ThreadEvent } from '../events.ts'
import { parseJson } from '../json.ts'

/** The canonical vocabulary: every event under its own type, the whole event as the body. */
export const threadStream: Dialect = {
  name: 'thread-stream',
  encode: (event) => [{ name: event.type, id: event.id, json: stringifyEvent(event) }],
}

/** A command as a client of wire 0 sends it; `payload` is still unchecked. */
export interface Request {
  readonly id: string | number
  readonly command: string
  readonly payload: unknown
}

/** Sent before a close that the client should know how to take. */
export interface Goodbye {
  readonly type: 'goodbye'
  readonly code: string
  readonly retryAfterMs?: number
}

/**
 * Reads one text frame of wire 0: `{ id, command, payload }`.
 *
 * @throws GatewayError `invalid-frame` | `too-deep`
 */
export function decodeRequest(text: string): Request {
  const frame = parseJson(text)
  if (typeof frame !== 'object' || frame === null || Array.isArray(frame)) throw notARequest('an object')
  const { id, command, payload } = frame as Record<string, unknown>
  if (typeof id !== 'string' && typeof id !== 'number')
    throw notARequest('an "id" that is a string or a number')
  if (typeof id === 'string' && id.length > 256) throw notARequest('an "id" of at most 256 characters')
  if (typeof command !== 'string') throw notARequest('a "command" that is a string')
  return { id, command, payload }
}

/** The answer to one request; `id` is null where the request could not be read. */
export function answerFrame(id: Request['id'] | null, answer: Answer): Frame {
  return { name: 'answer', json: JSON.stringify({ id, ...answer }) }
}

/** The failure of one request. */
export function failureFrame(id: Request['id'] | null, error: ErrorBody): Frame {
  return answerFrame(id, { ok: false, error })
}

/** The explicit reset of a reader; it may resume after `head`. */
export function resetFrame(reset: ThreadReset): Frame {
  return { name: reset.type, id: reset.head, json: JSON.stringify(reset) }
}

/** The last frame before a close. */
export function goodbyeFrame(goodbye: Omit<Goodbye, 'type'>): Frame {
  return { name: 'goodbye', json: JSON.stringify({ type: 'goodbye', ...goodbye }) }
}

/**
 * An event as JSON.
 *
 * Text deltas are nearly all that is ever sent, so they are put together by hand: a third of what
 * `JSON.stringify` takes for the whole object. Ids, numbers and channels need no escaping; the rest does.
 */
function stringifyEvent(event: ThreadEvent): string {
  if (event.type !== 'text-delta') return JSON.stringify(event)
  const covers = event.covers === undefined ? '' : `,"covers":${event.covers}`
  return (
    `{"id":"${event.id}","seq":${event.seq},"type":"text-delta","threadId":${JSON.stringify(event.threadId)}` +
    `,"runId":${JSON.stringify(event.runId)},"ts":${event.ts}${covers}` +
    `,"delta":${JSON.stringify(event.delta)},"channel":"${event.channel}"}`
  )
}

function notARequest(expected: string): GatewayError {
  return new GatewayError('invalid-frame', `A frame is { id, command, payload }; this one lacks ${expected}.`)
}
