import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import { GatewayError } from '@turnpike/protocol'
import type { Identity } from '../access/identity.ts'
import { Attachments } from './attachments.ts'
import type { Channel } from './channel.ts'
import { closingWith } from './closing.ts'
import { Connections } from './connections.ts'
import { type DrainOptions, closeAll, drain } from './departure.ts'
import { ForeignChannel } from './foreign-channel.ts'
import { Guard } from './guard.ts'
import type { RawData } from './incoming.ts'
import { type ConnectionManagerConfig, type ManagerSettings, settingsOf } from './manager-config.ts'
import { Outgoing } from './outgoing.ts'
import { Peer, type ServedPath } from './peer.ts'
import { rememberPeer } from './remembered-peers.ts'
import { Upgrades } from './upgrades.ts'
import { type WebSocketAuth, authAt } from './websocket-auth.ts'
import { CallError } from './websocket-error.ts'
import type {
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
  readonly #upgrades: Upgrades
  readonly #paths = new Map<string, ServedPath>()
  /** What has no handler. */
  readonly #unhandled: ServedPath
  readonly #attachments = new Attachments({
    upgradeAt: (path) => (request, socket, head) => {
      const { guard } = this.#servedAt(path)
      this.#upgrades.take({ path, guard, request, socket, head })
    },
    isRegistered: (path) => this.#paths.has(path),
  })

  /** @throws TypeError where the configuration cannot be */
  constructor(config: ConnectionManagerConfig = {}) {
    this.#settings = settingsOf(config)
    this.#connections = new Connections(this.#settings)
    this.#upgrades = new Upgrades({
      maxMessageSize: this.#settings.maxMessageSize,
      connections: this.#connections,
      peerOf: (channel, socket, path) => this.#peerOf(channel, socket, path),
    })
    this.#unhandled = this.#pathWith(undefined, {})
  }

  /** Above it, nobody is let in. */
  get maxConnections(): number {
    return this.#settings.maxConnections
  }

  /**
   * Takes a path; an earlier handler of it is replaced, for those who come from now on.
   *
   * @throws TypeError where its `auth` cannot be, or something else serves the path at a server that this is attached to
   */
  registerHandler(path: string, handler: WebSocketHandler, { auth = {} }: HandlerOptions = {}): void {
    const served = this.#pathWith(handler, auth)
    this.#attachments.assertFree(path)
    this.#paths.set(path, served)
    this.#attachments.serve(path)
  }

  getHandler(path: string): WebSocketHandler | undefined {
    return this.#paths.get(path)?.handler
  }

  /** The paths that are served. */
  getPaths(): readonly string[] {
    return [...new Set([this.#settings.path, ...this.#paths.keys()])]
  }

  /**
   * Serves all paths on a server, beside whatever else it serves; returns what takes them off again. Of the `path` of the
   * configuration, where nobody registered a handler for it, whoever has one may have it.
   *
   * @throws TypeError where something else serves a path that has a handler
   */
  attach(server: Server): () => void {
    const detach = this.#attachments.add(server, this.getPaths())
    this.#connections.draining = undefined
    return detach
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
      throw new CallError(`Connection ${id} not found`, { code: 'unknown-connection', connectionId: id })
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
   * where one is required has to send a credential first: until then it is not among the connections. With `expiresAt`, the
   * connection ends then.
   *
   * @throws WebSocketConnectionError where it is not let in; the caller closes it
   */
  handleConnection(socket: ManagedSocket, path: string, user?: Identity): WebSocketConnection {
    const peer = this.#peerOf(new ForeignChannel(socket), socket, path)
    const known = user ?? undefined
    if (known !== undefined || !peer.path.guard.isRequired) {
      this.#connections.enter(peer, known)
    } else {
      this.#connections.assertRoom()
      this.#connections.wait(peer, undefined)
    }
    hearPongs(socket, () => this.#connections.intake.heard(peer))
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
    if (peer) this.#connections.intake.receive(peer, data, isBinary)
  }

  /** Takes a pong that came to a socket which does not tell of pongs itself. */
  handlePong(id: string): void {
    const peer = this.#connections.get(id)
    if (peer) this.#connections.intake.heard(peer)
  }

  handleClose(id: string, code: number, reason: string): void {
    const peer = this.#connections.get(id)
    if (peer) this.#connections.gone(peer, { code, reason })
  }

  handleError(id: string, error: Error): void {
    const peer = this.#connections.get(id)
    if (peer) this.#connections.failed(peer, error)
  }

  #pathWith(handler: WebSocketHandler | undefined, given: Partial<WebSocketAuth>): ServedPath {
    const { auth: usual, allowedOrigins, logger, limits } = this.#settings
    const { wheel, intake } = this.#connections
    const auth = authAt(usual, given)
    const guard = new Guard({ auth, allowedOrigins, logger, wheel, deadlineMs: limits.earlyMs })
    return { handler, guard, workloadOf: intake.workloadOf }
  }

  #servedAt(path: string): ServedPath {
    return this.#paths.get(path) ?? this.#unhandled
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
    rememberPeer(peer)
    return peer
  }

  #sendTo(peer: Peer, outgoing: Outgoing): boolean {
    // A filter may have closed it.
    if (peer.state !== 'open') return false
    if (!this.#connections.isSlow(peer)) return peer.channel.write(outgoing)
    const { calls } = this.#connections
    peer.onceDrained(() => calls.call(peer, (handler) => handler.onDrain?.(peer.connection)))
    return false
  }
}

function hearPongs(socket: ManagedSocket, heard: () => void): void {
  if ('on' in socket && typeof socket.on === 'function') socket.on('pong', heard)
}
