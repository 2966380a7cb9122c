import { type Framing, writeText } from './link.ts'

/** Frames as lines: for a link that takes them apart again. */
export function lineFraming(name: string): Framing {
  return {
    name,
    maxBytes: ({ json }) => json.length * 3 + 1,
    write: ({ json }, target, offset) => offset + writeText(`${json}\n`, target, offset),
  }
}

/** The frames of bytes that a {@link lineFraming} wrote. */
export function linesIn(bytes: Uint8Array): string[] {
  return Buffer.from(bytes).toString().split('\n').slice(0, -1)
}
