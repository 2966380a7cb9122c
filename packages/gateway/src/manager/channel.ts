import type { Framing } from '../links/link.ts'
import type { Outgoing } from './outgoing.ts'

/** How the manager talks over one socket. */
export interface Channel {
  readonly isOpen: boolean
  /** What was written and not yet taken by the peer. */
  readonly bufferedBytes: number
  /** What the peer has taken so far, where the socket can tell. */
  readonly takenBytes: number
  /** False where the socket does not take it any more. */
  readonly write: (outgoing: Outgoing) => boolean
  /** How frames become bytes for {@link Channel.writeFrames}. */
  readonly framing: Framing
  /** The same for any number of frames that were framed already. */
  readonly writeFrames: (bytes: Uint8Array) => boolean
  /** Asks the peer for a sign of life; false where the socket is gone. */
  readonly ping: () => boolean
  /** Whether it can stop reading. */
  readonly canPause: boolean
  /** Stops or goes on reading, where it can. */
  readonly pause: (paused: boolean) => void
  /** Runs `task` once what waits has been taken, where the socket can tell, or the socket is closed. */
  readonly onceDrained: (task: () => void) => void
  readonly close: (code: number, reason: string) => void
  /** The same for somebody who was not let in: what still comes is dropped. */
  readonly dismiss: (code: number, reason: string) => void
  readonly terminate: () => void
}
