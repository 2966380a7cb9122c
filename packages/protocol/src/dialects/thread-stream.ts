import type { DuplexDialect, Request } from '../dialect.ts'
import { GatewayError } from '../errors.ts'
import type { ThreadEvent } from '../events.ts'
import { parseJson } from '../json.ts'
import { LIMITS } from '../limits.ts'

/** The canonical vocabulary: every event under its own type, the whole event as the body. */
export const threadStream: DuplexDialect = {
  name: 'thread-stream',
  encode: (event) => [{ name: event.type, id: event.id, json: stringifyEvent(event) }],
  reset: (reset) => [{ name: reset.type, id: reset.head, json: JSON.stringify(reset) }],
  decode: decodeRequest,
  answer: (id, answer) => [{ name: 'answer', json: JSON.stringify({ id, ...answer }) }],
  goodbye: ({ code, retryAfterMs }, ticket) => [
    { name: 'goodbye', json: JSON.stringify({ type: 'goodbye', code, retryAfterMs, ticket }) },
  ],
}

/**
 * The same on a wire that names its events and takes answers itself: only what nobody takes is said. A failure then is
 * told under the command's name, which is the request's id, and a subscription that is not recovered as a reset.
 */
export const threadStreamEvents: DuplexDialect = {
  ...threadStream,
  name: 'thread-stream-events',
  answer(id, answer) {
    if (!answer.ok) return [{ name: 'command.error', json: JSON.stringify({ command: id, ...answer.error }) }]
    if (!('recovered' in answer) || answer.recovered) return []
    const { ok: _ok, recovered: _recovered, ...reset } = answer
    return [
      { name: 'thread.reset', id: reset.head, json: JSON.stringify({ type: 'thread.reset', ...reset }) },
    ]
  },
}

function decodeRequest(text: string): Request {
  const frame = parseJson(text)
  if (typeof frame !== 'object' || frame === null || Array.isArray(frame)) throw notARequest('an object')
  const { id, command, payload } = frame as Record<string, unknown>
  if (typeof id !== 'string' && !Number.isFinite(id)) throw notARequest('an "id": a string or a number')
  if (typeof id === 'string' && id.length > LIMITS.idChars) throw notARequest('an "id" of bearable length')
  if (typeof command !== 'string') throw notARequest('a "command": a string')
  return { id: id as string | number, command, payload }
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
  const agent = event.agent === undefined ? '' : `,"agent":${JSON.stringify(event.agent)}`
  // Deltas of one run follow each other: their ids are written once.
  if (event.threadId !== latest.threadId || event.runId !== latest.runId) {
    const { threadId, runId } = event
    const json = `,"type":"text-delta","threadId":${JSON.stringify(threadId)},"runId":${JSON.stringify(runId)},"ts":`
    latest = { threadId, runId, json }
  }
  return (
    `{"id":"${event.id}","seq":${event.seq}${latest.json}${event.ts}${covers}` +
    `,"delta":${JSON.stringify(event.delta)},"channel":"${event.channel}"${agent}}`
  )
}

let latest = { threadId: '', runId: '', json: '' }

function notARequest(expected: string): GatewayError {
  return new GatewayError('invalid-frame', `A frame is { id, command, payload }; this one lacks ${expected}.`)
}
