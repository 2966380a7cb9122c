import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Channel } from './channel.ts'
import { noteMistake } from './client-mistakes.ts'
import type { Connections } from './connections.ts'
import type { Guard } from './guard.ts'
import { NativeChannel } from './native-channel.ts'
import { type NativeEvents, countEarlyBytes, nativeServer } from './native-sockets.ts'
import type { Peer } from './peer.ts'
import { WebSocketError, tooLargeMessage } from './websocket-error.ts'
import type { ManagedSocket } from './websocket-handler.ts'

export interface UpgradesOptions {
  readonly maxMessageSize: number
  readonly connections: Connections
  readonly peerOf: (channel: Channel, socket: ManagedSocket, path: string) => Peer
}

/** A request for a WebSocket. */
export interface Upgrade {
  readonly path: string
  readonly guard: Guard
  readonly request: IncomingMessage
  readonly socket: Socket
  readonly head: Buffer
}

/** Makes requests for a WebSocket connections, or refuses them in HTTP. */
export class Upgrades {
  readonly #options: UpgradesOptions
  readonly #websockets: ReturnType<typeof nativeServer>
  readonly #events: NativeEvents

  constructor(options: UpgradesOptions) {
    const { connections, maxMessageSize } = options
    const { intake } = connections
    this.#options = options
    this.#websockets = nativeServer(maxMessageSize)
    this.#events = {
      message: (peer, data, isBinary) => intake.receive(peer, data, isBinary),
      control: (peer) => intake.heard(peer),
      error: (peer, error) => connections.failed(peer, this.#parserError(error, peer.connection.id)),
      close: (peer, code, reason) => connections.gone(peer, { code, reason }),
    }
  }

  /** @throws GatewayError which is answered before the handshake */
  take({ path, guard, request, socket, head }: Upgrade): void {
    const { connections, peerOf } = this.#options
    guard.assertOrigin(request.headers)
    const presented = guard.presentedWith(request)
    const mayEnter = presented === undefined && !guard.isRequired
    this.#assertRoom(!mayEnter)
    this.#websockets.handleUpgrade(request, socket, head, (websocket) => {
      const peer = peerOf(new NativeChannel(websocket, socket), websocket, path)
      websocket.listen(peer, this.#events)
      if (mayEnter) return connections.enter(peer)
      connections.wait(peer, presented)
      countEarlyBytes(peer, socket)
    })
  }

  /** After the handshake, an answer in HTTP would be a broken frame. */
  #assertRoom(mayWait: boolean): void {
    const { connections } = this.#options
    try {
      connections.assertRoom()
      if (mayWait) connections.assertWaitingRoom()
    } catch (error) {
      throw error instanceof WebSocketError ? connections.asGatewayError(error) : error
    }
  }

  /** What a peer did wrong, as the parser found; it closes with the code of the RFC itself. */
  #parserError(error: Error, connectionId: string): WebSocketError {
    const isTooLarge = 'code' in error && error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'
    const message = isTooLarge ? tooLargeMessage(this.#options.maxMessageSize) : error.message
    const code = isTooLarge ? 'payload-too-large' : 'invalid-frame'
    const mistake = new WebSocketError(message, { code, connectionId, cause: error })
    noteMistake(mistake)
    return mistake
  }
}
