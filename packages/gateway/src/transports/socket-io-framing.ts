import type { Framing } from '../links/link.ts'
import { websocketFraming } from './websocket-framing.ts'

const MEDIUM = 126
const LONG = 127
/** The mark of Engine.IO for a message. */
const MESSAGE = '4'
/** The mark of Socket.IO for an event. */
const EVENT = '2'

/**
 * Events of one namespace as whole WebSocket frames: `42/name,["type",{…}]`.
 *
 * All readers in that namespace share the bytes. For another transport than WebSocket the frames are unpacked again.
 */
export function socketIoFraming(namespace: string): Framing {
  const head = `${MESSAGE}${headOf(namespace)}["`
  const wrap = Buffer.byteLength(head) + '",]'.length
  return {
    name: 'socket.io',
    scope: namespace,
    maxBytes: (frame) => websocketFraming.maxBytes(frame) + wrap + frame.name.length * 3,
    write: ({ name, json }, target, offset) =>
      websocketFraming.write({ name, json: `${head}${name}",${json}]` }, target, offset),
  }
}

/** What stands before an event's JSON in a packet of Socket.IO. */
export function headOf(namespace: string): string {
  return namespace === '/' ? EVENT : `${EVENT}${namespace},`
}

/** The packets of Socket.IO in whole frames. */
export function packetsIn(frames: Uint8Array): string[] {
  const bytes = Buffer.from(frames.buffer, frames.byteOffset, frames.byteLength)
  const packets: string[] = []
  for (let at = 0; at < bytes.length;) {
    const [start, end] = payloadAt(bytes, at)
    packets.push(bytes.toString('utf8', start + MESSAGE.length, end))
    at = end
  }
  return packets
}

function payloadAt(bytes: Buffer, at: number): [start: number, end: number] {
  const length = bytes.readUInt8(at + 1)
  if (length < MEDIUM) return [at + 2, at + 2 + length]
  if (length < LONG) return [at + 4, at + 4 + bytes.readUInt16BE(at + 2)]
  return [at + 10, at + 10 + Number(bytes.readBigUInt64BE(at + 2))]
}
