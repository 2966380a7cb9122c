import type { Socket } from 'node:net'
import { LIMITS } from '@turnpike/protocol'
import { type Server, WebSocket, WebSocketServer } from 'ws'
import type { RawData } from './incoming.ts'
import type { Peer } from './peer.ts'

/** Time that a peer has to answer a close. */
export const CLOSE_TIMEOUT_MS = 1_500
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

/** A socket that knows whose it is, so that one listener does for all: a closure for each would cost as much as the rest. */
export class ManagedWebSocket extends WebSocket {
  #peer: Peer | undefined
  #events: NativeEvents | undefined

  static tell(socket: WebSocket, what: (events: NativeEvents, peer: Peer) => void): void {
    if (!(socket instanceof ManagedWebSocket)) return
    if (socket.#events && socket.#peer) what(socket.#events, socket.#peer)
  }

  /** Before anything can have come. */
  listen(peer: Peer, events: NativeEvents): void {
    this.#peer = peer
    this.#events = events
    this.on('message', onMessage)
    this.on('ping', onControl)
    this.on('pong', onControl)
    this.on('error', onError)
    this.on('close', onClose)
  }
}

function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
  ManagedWebSocket.tell(this, (events, peer) => events.message(peer, data, isBinary))
}

function onControl(this: WebSocket): void {
  ManagedWebSocket.tell(this, (events, peer) => events.control(peer))
}

function onError(this: WebSocket, error: Error): void {
  ManagedWebSocket.tell(this, (events, peer) => events.error(peer, error))
}

function onClose(this: WebSocket, code: number, reason: Buffer): void {
  ManagedWebSocket.tell(this, (events, peer) => events.close(peer, code, reason.toString()))
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
