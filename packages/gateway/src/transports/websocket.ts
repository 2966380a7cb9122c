import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { type Limits, GatewayError } from '@turnpike/protocol'
import { type DuplexDialect } from '@turnpike/protocol/wire'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Gateway } from '../gateway.ts'
import type { Attachment, Link } from '../links/link.ts'
import type { TimerWheel } from '../timing/timer-wheel.ts'
import { type UpgradeHandler, upgradeRouter } from './upgrade-router.ts'
import { websocketFraming } from './websocket-framing.ts'

/** Time that a peer has to answer a close. */
const CLOSE_TIMEOUT_MS = 2_000
/** What a read costs at least, however little came. */
const READ_BYTES = 1_024

export interface WebSocketOptions {
  readonly path: string
  readonly dialect: DuplexDialect
  /** A client that offers subprotocols has to offer this one; one that offers none is let in. */
  readonly subprotocol?: string
  /** Takes the link of a request. @default the gateway does, for the commands of the protocol */
  readonly accept?: (link: Link, request: IncomingMessage) => Attachment
}

/**
 * Serves a dialect over WebSocket at one path of a server; returns what takes it off again. Once the gateway drains, who
 * wants the path may have it.
 *
 * @throws TypeError where somebody else serves the path
 */
export function attachWebSocket(server: Server, gateway: Gateway, options: WebSocketOptions): () => void {
  const { path, dialect, subprotocol } = options
  const { admission, limits, wheel } = gateway
  const accept =
    options.accept ??
    ((link, request) => gateway.accept(link, dialect, { presented: admission.presentedWith(request) }))
  // Not in the call itself: the published types do not know all of these yet.
  const settings = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    // A peer that does not read does not see the close either.
    closeTimeout: CLOSE_TIMEOUT_MS,
    maxPayload: limits.frameBytes,
    maxFragments: limits.frameFragments,
    maxBufferedChunks: limits.frameBufferedChunks,
    handleProtocols: () => subprotocol ?? (false as const),
  }
  const sockets = new WebSocketServer(settings)
  const upgrade: UpgradeHandler = (request, socket, head) => {
    admission.assertOrigin(request.headers)
    assertSubprotocol(request, subprotocol)
    gateway.assertRoom()
    if (admission.isRequired) admission.connections.assertRoom()
    sockets.handleUpgrade(request, socket, head, (websocket) => {
      const link = new WebSocketLink(websocket, socket, { limits, wheel })
      link.attach(accept(link, request))
    })
  }
  return upgradeRouter(server).add(path, upgrade, () => gateway.isDraining)
}

function assertSubprotocol(request: IncomingMessage, expected: string | undefined): void {
  const offered = request.headers['sec-websocket-protocol']?.split(',').map((name) => name.trim())
  if (!expected || !offered || offered.includes(expected)) return
  throw new GatewayError('unsupported-subprotocol', `The subprotocol of this path is "${expected}".`)
}

/**
 * A WebSocket as the gateway sees it.
 *
 * `ws` does the handshake, reads, checks, pings and closes. What the gateway writes are whole frames already, so they
 * go to the socket directly: one write for many events, and no copy.
 */
class WebSocketLink implements Link {
  readonly framing = websocketFraming
  readonly #websocket: WebSocket
  readonly #socket: Socket
  readonly #wheel: TimerWheel
  readonly #limits: Limits
  #alive = true
  #attachment: Attachment | undefined
  #stopHeartbeat: () => void = () => {}

  constructor(websocket: WebSocket, socket: Socket, options: { limits: Limits; wheel: TimerWheel }) {
    this.#websocket = websocket
    this.#socket = socket
    this.#limits = options.limits
    this.#wheel = options.wheel
    // The first ping comes at a time of its own, so that clients who came together are not pinged together.
    const { pingIntervalMs } = this.#limits
    if (pingIntervalMs > 0) this.#pingAfter(pingIntervalMs * (0.5 + Math.random() / 2))
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength
  }

  write(bytes: Uint8Array): void {
    if (this.#websocket.readyState === this.#websocket.OPEN) this.#socket.write(bytes)
  }

  pause(paused: boolean): void {
    if (paused !== this.#websocket.isPaused) this.#websocket[paused ? 'pause' : 'resume']()
  }

  close(code: number, reason: string): void {
    this.pause(false)
    this.#websocket.close(code, reason)
    if (this.#attachment?.isAdmitted === false) this.#ignoreRest()
  }

  attach(attachment: Attachment): void {
    const websocket = this.#websocket
    websocket.on('message', (data: Buffer, isBinary: boolean) => {
      this.#alive = true
      if (isBinary) attachment.malformed('Frames of this wire are text, not binary.')
      else attachment.receive(data.toString())
    })
    websocket.on('pong', () => (this.#alive = true))
    websocket.on('ping', () => (this.#alive = true))
    // What a peer does wrong, `ws` answers with the close code of the RFC; the close follows.
    websocket.on('error', () => {})
    websocket.on('close', () => {
      this.#stopHeartbeat()
      attachment.closed()
    })
    this.#socket.on('drain', () => attachment.drained())
    this.#attachment = attachment
    if (!attachment.isAdmitted) this.#count(attachment)
  }

  /** Of a message that is not complete `ws` tells nothing, and keeps it all. */
  #count(attachment: Attachment): void {
    const count = (chunk: Buffer): void => {
      if (attachment.isAdmitted) this.#socket.off('data', count)
      else attachment.bytesRead(Math.max(chunk.length, READ_BYTES))
    }
    this.#socket.on('data', count)
  }

  /**
   * Somebody unknown is sent away: what still comes is read, so that the peer gets to see the close, and dropped, since
   * `ws` would go on to keep it.
   */
  #ignoreRest(): void {
    this.#socket.removeAllListeners('data')
    this.#socket.resume()
    this.#socket.end()
  }

  #pingAfter(delayMs: number): void {
    this.#stopHeartbeat = this.#wheel.schedule(delayMs, () => this.#ping())
  }

  /**
   * A peer lives if anything comes from it. One that had something left to take, and took of it, lives too: it gets to
   * see the ping only behind all that.
   */
  #ping(): void {
    const { pingIntervalMs, pongTimeoutMs } = this.#limits
    this.#alive = false
    this.#websocket.ping()
    const isBehind = this.bufferedBytes > 0
    const taken = this.#takenBytes()
    this.#stopHeartbeat = this.#wheel.schedule(pongTimeoutMs, () => {
      const isTaking = isBehind && this.#takenBytes() > taken
      // One whose frames are not read cannot show that it lives.
      if (!this.#alive && !isTaking && !this.#websocket.isPaused) this.#websocket.terminate()
      else this.#pingAfter(Math.max(0, pingIntervalMs - pongTimeoutMs))
    })
  }

  #takenBytes(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength
  }
}
