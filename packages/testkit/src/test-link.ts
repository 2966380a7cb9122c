import type { Framing, Link } from '@turnpike/gateway'

/** Frames as lines of JSON: easy to read back. */
const lines: Framing = {
  name: 'lines',
  maxBytes: ({ json }) => json.length * 3 + 1,
  write: ({ json }, target, offset) => offset + target.write(`${json}\n`, offset),
}

/** A link whose peer takes only what the test lets it take. */
export class TestLink implements Link {
  readonly framing = lines
  /** What was written, in order. */
  readonly frames: unknown[] = []
  readonly writes: number[] = []
  /** Whether the peer reads at all; what is written to one that does not stays buffered. */
  reading = true
  bufferedBytes = 0
  peakBytes = 0
  /** Called after each write. */
  onWrite: () => void = () => {}
  closedWith: { code: number; reason: string } | undefined

  write(bytes: Uint8Array): void {
    const text = Buffer.from(bytes).toString()
    for (const line of text.split('\n')) if (line !== '') this.frames.push(JSON.parse(line))
    this.writes.push(bytes.length)
    if (!this.reading) this.bufferedBytes += bytes.length
    this.peakBytes = Math.max(this.peakBytes, this.bufferedBytes)
    this.onWrite()
  }

  /** The peer takes everything; the caller tells the gateway, as a wire would. */
  drain(): void {
    this.bufferedBytes = 0
  }

  pause(): void {}

  close(code: number, reason: string): void {
    this.closedWith = { code, reason }
  }
}
