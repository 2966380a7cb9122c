import { randomUUID } from 'node:crypto'
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { GatewayError } from '@turnpike/protocol'
import { type UpgradeRouter, upgradeRouter } from '../transports/upgrade-router.ts'
import type { Channel } from './channel.ts'
import { closingWith } from './closing.ts'
import { rememberChannel } from './connection-link.ts'
import { Connections } from './connections.ts'
import { type DrainOptions, closeAll, drain } from './departure.ts'
import { ForeignChannel } from './foreign-channel.ts'
import { Guard } from './guard.ts'
import type { RawData } from './incoming.ts'
import { type ConnectionManagerConfig, type ManagerSettings, settingsOf } from './manager-config.ts'
import { NativeChannel } from './native-channel.ts'
import { type NativeEvents, countEarlyBytes, nativeServer } from './native-sockets.ts'
import { Outgoing } from './outgoing.ts'
import { Peer, type ServedPath } from './peer.ts'
import type { WebSocketAuth } from './websocket-auth.ts'
import { WebSocketError, tooLargeMessage } from './websocket-error.ts'
import type {
  AuthenticatedUser,
  ManagedSocket,
  WebSocketConnection,
  WebSocketData,
  WebSocketHandler,
} from './websocket-handler.ts'

/** What one path does otherwise than the manager. */
export interface HandlerOptions {
  /** What is not named here is as in the manager's `auth`. */
  readonly auth?: Partial<WebSocketAuth>
}

/**
 * Holds WebSocket connections: lets them in, hands their messages to the handler of their path, sends to one or to all,
 * and sees to it that they live.
 *
 * Sockets come from `attach(server)`, or from any other framework through the `handle…` methods.
 */
export class WebSocketConnectionManager {
  readonly #settings: ManagerSettings
  readonly #connections: Connections
  readonly #websockets: ReturnType<typeof nativeServer>
  readonly #events: NativeEvents
  readonly #paths = new Map<string, ServedPath>()
  /** What has no handler. */
  readonly #unhandled: ServedPath
  readonly #routers = new Map<UpgradeRouter, (() => void)[]>()

  /** @throws TypeError where the configuration cannot be */
  constructor(config: ConnectionManagerConfig = {}) {
    this.#settings = settingsOf(config)
    this.#connections = new Connections(this.#settings)
    this.#websockets = nativeServer(this.#settings.maxMessageSize)
    this.#events = {
      message: (peer, data, isBinary) => this.#connections.receive(peer, data, isBinary),
      control: (peer) => this.#connections.heard(peer),
      error: (peer, error) => this.#connections.failed(peer, this.#parserError(error, peer.connection.id)),
      close: (peer, code, reason) => this.#connections.gone(peer, { code, reason }),
    }
    this.#unhandled = { handler: undefined, guard: this.#guardWith({}) }
  }

  /** Above it, nobody is let in. */
  get maxConnections(): number {
    return this.#settings.maxConnections
  }

  /**
   * Takes a path; an earlier handler of it is replaced, for those who come from now on.
   *
   * @throws TypeError where its `auth` cannot be
   */
  registerHandler(path: string, handler: WebSocketHandler, { auth = {} }: HandlerOptions = {}): void {
    this.#paths.set(path, { handler, guard: this.#guardWith(auth) })
    for (const router of this.#routers.keys()) this.#serve(router, path)
  }

  getHandler(path: string): WebSocketHandler | undefined {
    return this.#paths.get(path)?.handler
  }

  /** The paths that are served. */
  getPaths(): readonly string[] {
    return [...new Set([this.#settings.path, ...this.#paths.keys()])]
  }

  /** Serves all paths on a server, beside whatever else it serves; returns what takes them off again. */
  attach(server: Server): () => void {
    const router = upgradeRouter(server)
    this.#connections.draining = undefined
    if (!this.#routers.has(router)) {
      this.#routers.set(router, [])
      for (const path of this.getPaths()) this.#serve(router, path)
    }
    return () => {
      for (const takeOff of this.#routers.get(router) ?? []) takeOff()
      this.#routers.delete(router)
    }
  }

  getConnection(id: string): WebSocketConnection | undefined {
    return this.#connections.open.get(id)?.connection
  }

  getAllConnections(): WebSocketConnection[] {
    return this.#connections.open.all().map(({ connection }) => connection)
  }

  getConnectionsByUser(userId: string): WebSocketConnection[] {
    return this.#connections.open.ofUser(userId).map(({ connection }) => connection)
  }

  getConnectionsByPath(path: string): WebSocketConnection[] {
    return this.getAllConnections().filter(({ metadata }) => metadata['path'] === path)
  }

  getConnectionCount(): number {
    return this.#connections.open.size
  }

  /**
   * Sends to one.
   *
   * @returns False where nothing was sent: too much waits for this peer already, or its socket is closing. `onDrain` tells
   *   when there is room again.
   * @throws WebSocketError `unknown-connection`
   */
  send(id: string, data: WebSocketData): boolean {
    const peer = this.#connections.open.get(id)
    if (!peer) {
      throw new WebSocketError(`Connection ${id} not found`, { code: 'unknown-connection', connectionId: id })
    }
    return this.#sendTo(peer, new Outgoing(data))
  }

  /**
   * Sends to all for which `filter` is true; it is framed once for all of them.
   *
   * @returns To how many it was sent. Slow peers go without it, or are closed: `whenSlow`.
   */
  broadcast(data: WebSocketData, filter?: (connection: WebSocketConnection) => boolean): number {
    const outgoing = new Outgoing(data)
    let count = 0
    for (const peer of this.#connections.open.all()) {
      if (filter && !filter(peer.connection)) continue
      if (this.#sendTo(peer, outgoing)) count++
      else if (this.#settings.whenSlow === 'close' && this.#connections.isSlow(peer)) {
        this.#connections.refuse(
          peer,
          new GatewayError('connection-closed', 'Too much waited for this peer.'),
        )
      }
    }
    return count
  }

  /**
   * Closes one; at once it is not among the connections any more. `onClose` is called when the peer has answered, or
   * has not in time.
   *
   * @returns Whether there is one of this id.
   * @throws WebSocketError `invalid-payload` where the code or the reason cannot be sent
   */
  close(id: string, code = 1_000, reason = ''): boolean {
    const closing = closingWith(code, reason)
    const peer = this.#connections.get(id)
    if (peer) this.#connections.leave(peer, closing)
    return peer !== undefined
  }

  /**
   * Closes all at once, those that wait for a verdict included, and resolves when they are gone: in 2 s at most.
   *
   * @throws WebSocketError as {@link close}
   */
  async closeAll(code = 1_001, reason = ''): Promise<void> {
    await closeAll(this.#connections, closingWith(code, reason))
  }

  /**
   * Lets nobody in any more, tells all that the server goes (`{ type: "shutdown", retryAfterMs }`), closes them a few at
   * a time with 1012, and resolves when they are gone. `attach` opens the manager again.
   */
  async drain(options: DrainOptions = {}): Promise<void> {
    await drain(this.#connections, options)
  }

  /**
   * Takes a socket of another framework, which from now on has to call the other `handle…` methods. Who has no `user`
   * where one is required has to send a credential first: until then it is not among the connections.
   *
   * @throws WebSocketConnectionError where it is not let in; the caller closes it
   */
  handleConnection(socket: ManagedSocket, path: string, user?: AuthenticatedUser): WebSocketConnection {
    const peer = this.#peerOf(new ForeignChannel(socket), socket, path)
    if (user || !peer.path.guard.isRequired) {
      this.#connections.enter(peer, user)
    } else {
      this.#connections.assertRoom()
      this.#connections.wait(peer, undefined)
    }
    hearPongs(socket, () => this.#connections.heard(peer))
    return peer.connection
  }

  /**
   * Takes a message of a connection. One that is not there any more is ignored.
   *
   * @throws WebSocketError `payload-too-large` | `invalid-frame` where it is refused; the connection is being closed then,
   *   with 1009 or 1007
   */
  handleMessage(id: string, data: RawData, isBinary: boolean): void {
    const peer = this.#connections.get(id)
    if (peer) this.#connections.receive(peer, data, isBinary)
  }

  /** Takes a pong that came to a socket which does not tell of pongs itself. */
  handlePong(id: string): void {
    const peer = this.#connections.get(id)
    if (peer) this.#connections.heard(peer)
  }

  handleClose(id: string, code: number, reason: string): void {
    const peer = this.#connections.get(id)
    if (peer) this.#connections.gone(peer, { code, reason })
  }

  handleError(id: string, error: Error): void {
    const peer = this.#connections.get(id)
    if (peer) this.#connections.failed(peer, error)
  }

  #guardWith(auth: Partial<WebSocketAuth>): Guard {
    const { auth: usual, allowedOrigins, logger, limits } = this.#settings
    const { wheel } = this.#connections
    return new Guard({
      auth: { ...usual, ...auth },
      allowedOrigins,
      logger,
      wheel,
      deadlineMs: limits.earlyMs,
    })
  }

  #servedAt(path: string): ServedPath {
    return this.#paths.get(path) ?? this.#unhandled
  }

  #serve(router: UpgradeRouter, path: string): void {
    const takeOff = router.add(path, (request, socket, head) =>
      this.#upgrade(path, request, { socket, head }),
    )
    this.#routers.get(router)?.push(takeOff)
  }

  /** @throws GatewayError which is answered before the handshake */
  #upgrade(path: string, request: IncomingMessage, { socket, head }: { socket: Socket; head: Buffer }): void {
    const { guard } = this.#servedAt(path)
    guard.assertOrigin(request.headers)
    this.#assertRoom(guard.isRequired)
    this.#websockets.handleUpgrade(request, socket, head, (websocket) => {
      const peer = this.#peerOf(new NativeChannel(websocket, socket), websocket, path)
      websocket.listen(peer, this.#events)
      const presented = guard.presentedWith(request)
      if (presented === undefined && !guard.isRequired) return this.#connections.enter(peer)
      this.#connections.wait(peer, presented)
      countEarlyBytes(peer, socket)
    })
  }

  #assertRoom(mayWait: boolean): void {
    try {
      this.#connections.assertRoom()
      if (mayWait) this.#connections.assertWaitingRoom()
    } catch (error) {
      throw error instanceof WebSocketError ? this.#connections.asGatewayError(error) : error
    }
  }

  #peerOf(channel: Channel, socket: ManagedSocket, path: string): Peer {
    const createdAt = Date.now()
    const { messagesPerSecond } = this.#settings
    const peer = new Peer({
      connection: { id: randomUUID(), socket, metadata: { path }, createdAt, lastActivity: createdAt },
      channel,
      path: this.#servedAt(path),
      perSecond: messagesPerSecond,
    })
    rememberChannel(peer.connection, channel)
    return peer
  }

  /** What a peer did wrong, as the parser found; it closes with the code of the RFC itself. */
  #parserError(error: Error, connectionId: string): WebSocketError {
    const isTooLarge = 'code' in error && error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'
    const message = isTooLarge ? tooLargeMessage(this.#settings.maxMessageSize) : error.message
    const code = isTooLarge ? 'payload-too-large' : 'invalid-frame'
    return new WebSocketError(message, { code, connectionId, cause: error })
  }

  #sendTo(peer: Peer, outgoing: Outgoing): boolean {
    if (!this.#connections.isSlow(peer)) return peer.channel.write(outgoing)
    const { calls } = this.#connections
    peer.onceDrained(() => calls.call(peer, (handler) => handler.onDrain?.(peer.connection)))
    return false
  }
}

function hearPongs(socket: ManagedSocket, heard: () => void): void {
  if ('on' in socket && typeof socket.on === 'function') socket.on('pong', heard)
}
