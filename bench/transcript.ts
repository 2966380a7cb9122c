import { createHash } from 'node:crypto'
import type { Reader } from './reader.ts'

/** An event as both servers send it; the bare one leaves out most. */
export interface Heard {
  readonly type?: string
  readonly delta?: string
  readonly text?: string
  readonly covers?: number
  readonly seq?: number
  readonly history?: readonly { readonly parts: readonly { readonly text?: string }[] }[]
  readonly cause?: string
}

/** A message and when the last byte of it came. */
export interface Arrival {
  readonly event: Heard
  readonly atMs: number
}

/** What a WebSocket client has read. */
export function framesOf(reader: Reader): Arrival[] {
  const { chunks, times } = reader
  const bytes = Buffer.concat(chunks)
  const arrivals: Arrival[] = []
  let chunk = 0
  let chunkEnd = chunks[0]?.length ?? 0
  for (let at = 0; at < bytes.length;) {
    const short = bytes.readUInt8(at + 1) & 127
    const header = short === 127 ? 10 : short === 126 ? 4 : 2
    const length =
      short === 127
        ? Number(bytes.readBigUInt64BE(at + 2))
        : short === 126
          ? bytes.readUInt16BE(at + 2)
          : short
    const isText = (bytes.readUInt8(at) & 15) === 1
    const start = at + header
    at = start + length
    while (chunkEnd < at && chunk < chunks.length) chunkEnd += chunks[++chunk]?.length ?? 0
    // The end of it is still on its way.
    if (at > bytes.length) break
    if (!isText) continue
    const event = heardIn(bytes.toString('utf8', start, at))
    if (event) arrivals.push({ event, atMs: times[chunk] ?? 0 })
  }
  return arrivals
}

/** What a client of an event stream has read. */
export function eventsOf(reader: Reader): Heard[] {
  const text = dechunked(Buffer.concat(reader.chunks))
  return text
    .split('\n\n')
    .map((block) => /^data: (.*)$/m.exec(block)?.[1])
    .filter((json) => json !== undefined)
    .map(parse)
}

/** The hash of all text in events, in the order they came. */
export function hashOf(events: readonly Heard[]): string {
  const hash = createHash('sha256')
  for (const { type, delta } of events) if (type === 'text-delta') hash.update(delta ?? '')
  return hash.digest('hex')
}

/** @throws Error where a client has not got exactly what was produced. */
export function assertSame(heard: string, produced: string | undefined): void {
  if (heard !== produced)
    throw new Error(`The text a client got is not what was produced: ${heard}, ${produced}`)
}

/** The body of a response of unknown length. */
function dechunked(bytes: Buffer): string {
  const parts: Buffer[] = []
  for (let at = bytes.indexOf('\r\n\r\n') + 4; at < bytes.length;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    const length = parseInt(bytes.toString('latin1', at, lineEnd), 16)
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + length))
    at = lineEnd + 4 + length
  }
  return Buffer.concat(parts).toString()
}

/** What a frame says; nothing, where it is a packet of Socket.IO that is no event. */
function heardIn(text: string): Heard | undefined {
  if (text.startsWith('{')) return parse(text)
  if (!text.startsWith('42[')) return undefined
  const [, event] = JSON.parse(text.slice(2)) as [string, Heard]
  return event
}

function parse(json: string): Heard {
  return JSON.parse(json) as Heard
}
