import { type WebSocketError, CallError } from './websocket-error.ts'
import type { WebSocketData } from './websocket-handler.ts'

const TEXT = 0x81
const BINARY = 0x82
const SHORT_MAX = 125
const MEDIUM_MAX = 65_535

/** Something to send, framed once however many get it. */
export class Outgoing {
  /** For sockets that frame it themselves. */
  readonly payload: string | Uint8Array<ArrayBuffer>
  #frame: Buffer | undefined

  /** @throws WebSocketError `invalid-payload` where it is neither text nor bytes, and cannot be JSON */
  constructor(data: WebSocketData) {
    this.payload = payloadOf(data)
  }

  /** One whole frame of a server, RFC 6455 section 5.2: neither masked nor fragmented. */
  get frame(): Buffer {
    this.#frame ??= frameOf(this.payload)
    return this.#frame
  }
}

function payloadOf(data: WebSocketData): string | Uint8Array<ArrayBuffer> {
  if (typeof data === 'string') return data
  // Copies, since who sends may write to its buffer again before a slow peer has taken it.
  if (data instanceof ArrayBuffer) return new Uint8Array(data.slice(0))
  if (ArrayBuffer.isView(data))
    return new Uint8Array(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  return jsonOf(data)
}

function jsonOf(data: unknown): string {
  // As JSON they would be `{}`: what they hold would be lost without a word.
  if (data instanceof SharedArrayBuffer || data instanceof Blob) throw unsendable()
  try {
    const json: string | undefined = JSON.stringify(data)
    if (json !== undefined) return json
  } catch (cause) {
    throw unsendable(cause)
  }
  throw unsendable()
}

function unsendable(cause?: unknown): WebSocketError {
  return new CallError('What is sent has to be text, bytes (ArrayBuffer or a view of it), or JSON.', {
    code: 'invalid-payload',
    cause,
  })
}

function frameOf(payload: string | Uint8Array): Buffer {
  const length = Buffer.byteLength(payload)
  const header = length > MEDIUM_MAX ? 10 : length > SHORT_MAX ? 4 : 2
  const frame = Buffer.allocUnsafe(header + length)
  frame[0] = typeof payload === 'string' ? TEXT : BINARY
  if (header === 2) {
    frame[1] = length
  } else if (header === 4) {
    frame[1] = 126
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = 127
    frame.writeBigUInt64BE(BigInt(length), 2)
  }
  if (typeof payload === 'string') frame.write(payload, header)
  else frame.set(payload, header)
  return frame
}
