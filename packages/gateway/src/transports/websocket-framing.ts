import { type Framing, writeText } from '../links/link.ts'

const TEXT_FRAME = 0x81
const SHORT_MAX = 125
const MEDIUM_MAX = 65_535
const LONG_HEADER = 10
const MEDIUM_HEADER = 4
const SHORT_HEADER = 2

/**
 * Unfragmented, unmasked text frames, RFC 6455 section 5.2.
 *
 * Written by hand so that the bytes of an event can be shared by all of its readers: `ws` builds a frame for each
 * send, which is half of what a delivery costs beside its system call.
 */
export const websocketFraming: Framing = {
  name: 'websocket',
  maxBytes: ({ json }) => LONG_HEADER + (json.length > 4_096 ? Buffer.byteLength(json) : json.length * 3),
  write({ json }, target, offset) {
    // Nearly every event is of medium length; the text of others moves to where it belongs.
    const length = writeText(json, target, offset + MEDIUM_HEADER)
    target[offset] = TEXT_FRAME
    if (length > MEDIUM_MAX) {
      move(target, offset, { length, header: LONG_HEADER })
      target[offset + 1] = 127
      target.writeBigUInt64BE(BigInt(length), offset + 2)
      return offset + LONG_HEADER + length
    }
    if (length > SHORT_MAX) {
      target[offset + 1] = 126
      target.writeUInt16BE(length, offset + 2)
      return offset + MEDIUM_HEADER + length
    }
    move(target, offset, { length, header: SHORT_HEADER })
    target[offset + 1] = length
    return offset + SHORT_HEADER + length
  },
}

function move(target: Buffer, offset: number, { length, header }: { length: number; header: number }): void {
  const from = offset + MEDIUM_HEADER
  target.copyWithin(offset + header, from, from + length)
}
