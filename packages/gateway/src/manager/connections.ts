import { ERRORS, GatewayError } from '@turnpike/protocol'
import { scheduleAt } from '../timing/expiry.ts'
import type { Admitted, Identity } from '../access/identity.ts'
import { TimerWheel } from '../timing/timer-wheel.ts'
import { WaitingRoom } from '../access/waiting-room.ts'
import type { Closing } from './closing.ts'
import { ConnectionTable } from './connection-table.ts'
import { Entrance } from './entrance.ts'
import { HandlerCalls } from './handler-calls.ts'
import { Heartbeats } from './heartbeats.ts'
import { Intake } from './intake.ts'
import type { ManagerSettings } from './manager-config.ts'
import { CLOSE_TIMEOUT_MS } from './native-sockets.ts'
import { Outgoing } from './outgoing.ts'
import type { Peer } from './peer.ts'
import type { Presented } from './websocket-auth.ts'
import { WebSocketConnectionError, WebSocketError, errorFrame } from './websocket-error.ts'
import type { AuthenticatedUser } from './websocket-handler.ts'

const RETRY_MS = 1_000
const NO_VERDICT = ERRORS.internal.close

/** What becomes of connections: they wait, are open, are being closed, are gone. */
export class Connections {
  readonly wheel: TimerWheel
  readonly calls: HandlerCalls
  /** Takes what they send. */
  readonly intake: Intake
  /** Those that were let in and are not being closed. */
  readonly open = new ConnectionTable()
  /** Set while nobody is let in any more. */
  draining: { readonly retryAfterMs: number } | undefined
  readonly #settings: ManagerSettings
  readonly #waitingRoom: WaitingRoom
  readonly #heartbeats: Heartbeats
  readonly #peers = new Map<string, Peer>()

  constructor(settings: ManagerSettings) {
    const { pingInterval, pongTimeout, limits, logger } = settings
    const finest = Math.min(pingInterval || Infinity, pongTimeout || Infinity, limits.earlyMs || Infinity)
    this.#settings = settings
    this.wheel = new TimerWheel(Math.min(100, Math.max(10, finest / 10)))
    this.calls = new HandlerCalls(logger)
    this.#waitingRoom = new WaitingRoom(limits.earlyConnections)
    this.intake = new Intake({
      settings,
      wheel: this.wheel,
      calls: this.calls,
      round: () => this.#heartbeats.round,
      isSlow: (peer) => this.isSlow(peer),
      refuse: (peer, error) => this.refuse(peer, error),
      leave: (peer, closing) => this.leave(peer, closing),
    })
    const onSilence = (peer: Peer): void => this.#silent(peer)
    this.#heartbeats = new Heartbeats({ wheel: this.wheel, pingInterval, pongTimeout, onSilence })
  }

  /** All of them, those that wait and those that are being closed included. */
  all(): readonly Peer[] {
    return [...this.#peers.values()]
  }

  get(id: string): Peer | undefined {
    return this.#peers.get(id)
  }

  /** @throws WebSocketConnectionError `draining` | `too-many-connections` */
  assertRoom(): void {
    const { maxConnections } = this.#settings
    if (this.draining) throw new WebSocketConnectionError('The server is shutting down', { code: 'draining' })
    if (this.open.size >= maxConnections) throw full(`Maximum connections (${maxConnections}) reached`)
  }

  /** @throws GatewayError `too-many-connections` where too many wait for a verdict */
  assertWaitingRoom(): void {
    this.#waitingRoom.assertRoom()
  }

  /**
   * Lets a peer in at once.
   *
   * @throws WebSocketConnectionError where it is not let in: `unauthorized` | `forbidden`, and as {@link assertRoom}
   */
  enter(peer: Peer, user?: Identity): void {
    const { guard } = peer.path
    let admitted: Admitted | undefined
    try {
      if (user !== undefined) admitted = guard.admitted(user)
      else guard.assertRights(user)
      this.assertRoom()
      this.#makeRoomFor(admitted?.principal)
      // Somebody else may have come in meanwhile.
      this.assertRoom()
    } catch (error) {
      throw connectionError(error)
    }
    this.#peers.set(peer.connection.id, peer)
    if (!admitted && guard.asks) peer.entrance = this.#entrance(peer, undefined, true)
    this.#admit(peer, admitted)
  }

  /** Has a peer wait until it is settled who it is. @throws WebSocketConnectionError where too many do */
  wait(peer: Peer, presented: Presented | undefined): void {
    try {
      this.assertWaitingRoom()
    } catch (error) {
      throw connectionError(error)
    }
    peer.onceSettled(this.#waitingRoom.enter())
    this.#peers.set(peer.connection.id, peer)
    peer.entrance = this.#entrance(peer, presented, false)
  }

  /** Something is wrong with what a socket got, or with the socket. */
  failed(peer: Peer, error: unknown): void {
    if (peer.state === 'open') this.calls.failed(peer, error)
  }

  /** Tells a peer why, then closes it. */
  refuse(peer: Peer, error: unknown): void {
    if (peer.hasEnded) return
    const shown = this.#shown(error)
    // Somebody who reads nothing would only have it wait.
    if (!this.isSlow(peer)) peer.channel.write(new Outgoing(errorFrame(shown)))
    this.leave(peer, { code: shown.row.close ?? NO_VERDICT, reason: shown.code })
  }

  /** Whether so much waits for a peer that it gets no more. */
  isSlow(peer: Peer): boolean {
    return peer.channel.bufferedBytes >= this.#settings.maxBufferedBytes
  }

  /** Closes a peer. It is among the open ones no more, and gone once that is answered, or not in time. */
  leave(peer: Peer, { code, reason }: Closing): void {
    if (peer.hasEnded) return
    const wasOpen = peer.state === 'open'
    // First, since who listens to the end of it may close it again.
    peer.state = wasOpen ? 'leaving' : 'dismissed'
    this.#stop(peer)
    if (wasOpen) peer.channel.close(code, reason)
    else peer.channel.dismiss(code, reason)
    // Other frameworks' sockets may tell at once.
    if (!this.#peers.has(peer.connection.id)) return
    const stop = this.wheel.schedule(CLOSE_TIMEOUT_MS, () => {
      peer.channel.terminate()
      this.gone(peer, { code, reason })
    })
    peer.expireWith(stop)
  }

  /** A socket is closed. */
  gone(peer: Peer, { code, reason }: Closing): void {
    // What it sent before its end comes before that, too.
    if (peer.state === 'open') this.intake.handAllOver(peer)
    if (!this.#peers.delete(peer.connection.id)) return
    const { state } = peer
    peer.state = 'gone'
    this.#stop(peer)
    // Only now is the memory free that it took while it was waiting.
    peer.settled()
    if (state === 'open' || state === 'leaving') {
      this.calls.call(peer, (handler) => handler.onClose?.(peer.connection, code, reason))
    }
    peer.gone?.resolve()
  }

  #stop(peer: Peer): void {
    this.open.delete(peer)
    this.#heartbeats.delete(peer)
    peer.stop()
  }

  /** @throws WebSocketConnectionError `too-many-connections` where a user has enough of them */
  #makeRoomFor(user: AuthenticatedUser | undefined): void {
    const { maxConnectionsPerUser: most, whenUserFull } = this.#settings
    if (!user || most === 0) return
    const theirs = this.open.ofUser(user.id)
    if (theirs.length < most) return
    if (whenUserFull === 'reject') throw full(`Maximum connections per user (${most}) reached`)
    const replaced = new GatewayError('entity-replaced', 'A newer connection of this user took its place.')
    for (const oldest of theirs.slice(0, theirs.length - most + 1)) this.refuse(oldest, replaced)
    // A socket that closes at once has had its `onClose`, and that may have let in another one.
    if (this.open.ofUser(user.id).length >= most) throw full(`Maximum connections per user (${most}) reached`)
  }

  #entrance(peer: Peer, presented: Presented | undefined, isOptional: boolean): Entrance {
    return new Entrance({
      guard: peer.path.guard,
      presented,
      isOptional,
      limits: this.#settings.limits,
      wheel: this.wheel,
      onAdmitted: (admitted) => this.#settled(peer, admitted),
      onRefused: (error) => this.refuse(peer, error),
    })
  }

  /** There is a verdict, and it is a good one. */
  #settled(peer: Peer, admitted: Admitted): void {
    const early = peer.entrance?.release() ?? []
    peer.entrance = undefined
    const { principal } = admitted
    try {
      if (peer.state === 'waiting') this.assertRoom()
      this.#makeRoomFor(principal)
      if (peer.state === 'waiting') this.assertRoom()
    } catch (error) {
      return this.refuse(peer, error)
    }
    // To make room may have closed it, too.
    if (peer.hasEnded) return
    if (peer.state === 'waiting') this.#admit(peer, admitted)
    else this.#name(peer, admitted)
    this.intake.deliverEarly(peer, early)
  }

  #admit(peer: Peer, admitted: Admitted | undefined): void {
    peer.state = 'open'
    peer.settled()
    if (admitted) this.#name(peer, admitted)
    else this.open.add(peer)
    this.#heartbeats.add(peer)
    this.calls.call(peer, (handler) => handler.onOpen?.(peer.connection))
  }

  /** The connection is of somebody, for as long as the credential lasts. */
  #name(peer: Peer, { principal, expiresAt }: Admitted): void {
    this.open.delete(peer)
    peer.connection.user = principal
    this.open.add(peer)
    if (expiresAt === undefined) return
    const expired = new GatewayError(
      'token-expired',
      'The credential has expired. Come back with a newer one.',
    )
    peer.expireWith(scheduleAt(this.wheel, expiresAt, () => this.refuse(peer, expired)))
  }

  /** Told why, in case that it still reads; but a dead peer answers no close. */
  #silent(peer: Peer): void {
    this.leave(peer, { code: ERRORS['connection-closed'].close, reason: 'connection-closed' })
    peer.channel.terminate()
  }

  /** With the time after which it is worth to come back. */
  asGatewayError({ code, message }: WebSocketError): GatewayError {
    const retryAfterMs = this.draining?.retryAfterMs ?? RETRY_MS
    return new GatewayError(code, message, ERRORS[code].retry === 'never' ? {} : { retryAfterMs })
  }

  #shown(error: unknown): GatewayError {
    if (error instanceof GatewayError) return error
    if (error instanceof WebSocketError) return this.asGatewayError(error)
    this.#settings.logger.error({ error }, 'a connection failed')
    return new GatewayError('internal', 'Something went wrong on the server.')
  }
}

function full(message: string): WebSocketConnectionError {
  return new WebSocketConnectionError(message, { code: 'too-many-connections' })
}

function connectionError(error: unknown): unknown {
  if (!(error instanceof GatewayError)) return error
  return new WebSocketConnectionError(error.message, { code: error.code })
}
