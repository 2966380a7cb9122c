import type { ThreadEvent } from '@turnpike/client'
import { eventNote } from './event-note.ts'
import type { Paint } from './paint.ts'

const SEQ_CHARS = 6
const TYPE_CHARS = 20

/** An event for people: when, which, and what. */
export function eventLine(event: ThreadEvent, paint: Paint): string {
  const { ts, seq, type } = event
  const time = new Date(ts).toISOString().slice(11, -1)
  const { style, text } = eventNote(event)
  return `${paint('dim', time)} ${String(seq).padStart(SEQ_CHARS)} ${type.padEnd(TYPE_CHARS)} ${paint(style, text)}`
}
