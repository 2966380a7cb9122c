import type { Frame } from '@turnpike/protocol/wire'

/** How a wire writes one frame as bytes. Pure. */
export interface Framing {
  readonly name: string
  /** An upper bound of what {@link write} needs. */
  maxBytes(frame: Frame): number
  /** Writes the frame at `offset` and returns where it ends. */
  write(frame: Frame, target: Buffer, offset: number): number
}

/** One physical connection, as a wire gives it to the gateway. */
export interface Link {
  readonly framing: Framing
  /** What was written and not yet taken by the peer. */
  readonly bufferedBytes: number
  /** Writes whole frames. The wire reports {@link Attachment.drained} once everything is taken. */
  write(bytes: Uint8Array): void
  /** Stops or goes on reading from the peer. */
  pause(paused: boolean): void
  close(code: number, reason: string): void
}

/** What the gateway gives back: where the wire reports what happens on the link. */
export interface Attachment {
  /** A text frame arrived. */
  receive(text: string): void
  /** Something arrived that cannot be a frame. */
  malformed(reason: string): void
  /** Whether it is settled who the peer is. Until then what was read is to be told, be it whole frames or not. */
  readonly isAdmitted: boolean
  bytesRead(count: number): void
  /** All that was written is taken. */
  drained(): void
  closed(): void
}

/** Frames as the bytes of one write. */
export function bytesOf(framing: Framing, frames: readonly Frame[]): Uint8Array {
  const target = Buffer.allocUnsafe(frames.reduce((sum, frame) => sum + framing.maxBytes(frame), 0))
  let end = 0
  for (const frame of frames) end = framing.write(frame, target, end)
  return target.subarray(0, end)
}
