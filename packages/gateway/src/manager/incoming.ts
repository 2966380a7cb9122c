import { isUtf8 } from 'node:buffer'
import type { WebSocketMessage } from './websocket-handler.ts'

/** What sockets give as a message. */
export type RawData = string | ArrayBuffer | ArrayBufferView | readonly Uint8Array[]

/** Bytes of a message, whatever it is in. */
export function byteLengthOf(data: RawData): number {
  if (typeof data === 'string') return Buffer.byteLength(data)
  return isList(data) ? data.reduce((sum, part) => sum + part.byteLength, 0) : data.byteLength
}

/** A message as handlers see it; undefined where it is to be text and is no UTF-8. */
export function messageFrom(data: RawData, isBinary: boolean): WebSocketMessage | undefined {
  const timestamp = Date.now()
  if (typeof data === 'string') {
    return isBinary
      ? { type: 'binary', data: arrayBufferOf(Buffer.from(data)), timestamp }
      : { type: 'text', data, timestamp }
  }
  // A copy, whatever it is: there are servers that take the bytes back after the call.
  if (isBinary) return { type: 'binary', data: arrayBufferOf(data), timestamp }
  const bytes = bytesOf(data)
  return isUtf8(bytes) ? { type: 'text', data: bytes.toString(), timestamp } : undefined
}

function arrayBufferOf(data: Exclude<RawData, string>): ArrayBuffer {
  const bytes = bytesOf(data)
  const copy = new ArrayBuffer(bytes.length)
  new Uint8Array(copy).set(bytes)
  return copy
}

function bytesOf(data: Exclude<RawData, string>): Buffer {
  if (isList(data)) return Buffer.concat(data)
  if (data instanceof ArrayBuffer) return Buffer.from(data)
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}

function isList(data: RawData): data is readonly Uint8Array[] {
  return Array.isArray(data)
}
