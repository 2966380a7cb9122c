import type { Socket } from 'node:net'
import { LIMITS } from '@turnpike/protocol'
import { type Server, WebSocket, WebSocketServer } from 'ws'
import type { RawData } from './incoming.ts'
import type { Peer } from './peer.ts'

/** Time that a peer has to answer a close. */
export const CLOSE_TIMEOUT_MS = 1_500
/** Pongs that may wait to be written. By itself, `ws` cuts who sends 61 pings in one go, and says nothing. */
const PENDING_PONGS = 4_096
/** What a read costs at least, however little came. */
const READ_BYTES = 1_024

/** What happens on sockets of `ws`; shared by all of them. */
export interface NativeEvents {
  readonly message: (peer: Peer, data: RawData, isBinary: boolean) => void
  /** A ping or a pong came. */
  readonly control: (peer: Peer) => void
  readonly error: (peer: Peer, error: Error) => void
  readonly close: (peer: Peer, code: number, reason: string) => void
}

/** A socket that knows whose it is, and tells by itself: five listeners on each would weigh some 100 bytes. */
export class ManagedWebSocket extends WebSocket {
  #peer: Peer | undefined
  #events: NativeEvents | undefined

  /** Before anything can have come. */
  listen(peer: Peer, events: NativeEvents): void {
    this.#peer = peer
    this.#events = events
  }

  override emit(name: string | symbol, ...values: unknown[]): boolean {
    if (this.#peer && this.#events) tell(this.#events, this.#peer, { name, values })
    // Where nobody else listens, it would be thrown.
    if (name === 'error' && this.listenerCount(name) === 0) return true
    return super.emit(name, ...values)
  }
}

/** What does the handshakes and the parsing. */
export function nativeServer(maxMessageSize: number): Server<typeof ManagedWebSocket> {
  // Not in the call itself: the published types do not know all of these yet.
  const settings = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    closeTimeout: CLOSE_TIMEOUT_MS,
    maxPayload: maxMessageSize,
    maxFragments: LIMITS.frameFragments,
    maxBufferedChunks: LIMITS.frameBufferedChunks,
    maxPendingAutoPongs: PENDING_PONGS,
    WebSocket: ManagedWebSocket,
  }
  return new WebSocketServer(settings)
}

/** Of a message that is not complete `ws` tells nothing, and keeps it all: while a peer waits, its bytes are counted. */
export function countEarlyBytes(peer: Peer, socket: Socket): void {
  const count = (chunk: Buffer): void => peer.entrance?.bytesRead(Math.max(chunk.length, READ_BYTES))
  socket.on('data', count)
  peer.onceSettled(() => socket.off('data', count))
}

function tell(
  events: NativeEvents,
  peer: Peer,
  { name, values }: { name: string | symbol; values: unknown[] },
): void {
  const [first, second] = values
  if (name === 'message') events.message(peer, first as RawData, second === true)
  else if (name === 'ping' || name === 'pong') events.control(peer)
  else if (name === 'error') events.error(peer, first as Error)
  else if (name === 'close') events.close(peer, first as number, String(second))
}
