import { GatewayError } from '@turnpike/protocol'
import type { TimerWheel } from '../timing/timer-wheel.ts'
import type { Closing } from './closing.ts'
import type { HandlerCalls } from './handler-calls.ts'
import { type RawData, byteLengthOf, messageFrom } from './incoming.ts'
import { HIGH_WATER_BYTES, type ManagerSettings } from './manager-config.ts'
import { Outgoing } from './outgoing.ts'
import type { Peer } from './peer.ts'
import { WebSocketError, errorFrame, tooLargeMessage } from './websocket-error.ts'
import type { WebSocketMessage } from './websocket-handler.ts'
import { Workload } from './workload.ts'

const RETRY_MS = 1_000
const JSON_PONG_CHARS = 1_024
const TOO_LARGE = 1_009
const NO_UTF8 = 1_007

export interface IntakeOptions {
  readonly settings: ManagerSettings
  readonly wheel: TimerWheel
  readonly calls: HandlerCalls
  /** Of the pings. */
  readonly round: () => number
  readonly isSlow: (peer: Peer) => boolean
  /** Tells a peer why, then closes it. */
  readonly refuse: (peer: Peer, error: GatewayError) => void
  readonly leave: (peer: Peer, closing: Closing) => void
}

/**
 * Takes what peers send, and hands it to their handlers: in order, and no faster than a peer may, takes its answers, and
 * they are done.
 */
export class Intake {
  readonly #options: IntakeOptions
  /** What a peer has asked for. */
  readonly workloadOf = (peer: Peer): Workload => (peer.workload ??= this.#workload(peer))

  constructor(options: IntakeOptions) {
    this.#options = options
  }

  /** @throws WebSocketError `payload-too-large` | `invalid-frame` */
  receive(peer: Peer, data: RawData, isBinary: boolean): void {
    if (peer.hasEnded) return
    peer.heard(this.#round)
    const bytes = byteLengthOf(data)
    if (bytes > this.#options.settings.maxMessageSize) throw this.#malformed(peer, 'payload-too-large')
    const message = messageFrom(data, isBinary)
    if (!message) throw this.#malformed(peer, 'invalid-frame')
    if (peer.state === 'open' && isJsonPong(message)) return this.heard(peer)
    if (peer.entrance?.receive(message, bytes)) return
    peer.entrance = undefined
    this.#deliver(peer, message)
  }

  /** A ping or a pong came. Nobody needs many of them, so there is no waiting for who sends too many. */
  heard(peer: Peer): void {
    if (peer.hasEnded) return
    peer.heard(this.#round)
    if (peer.countControl() > 0) this.#options.refuse(peer, tooFast())
  }

  /** Hands over what came before it was settled who the peer is. */
  deliverEarly(peer: Peer, messages: readonly WebSocketMessage[]): void {
    for (const message of messages) if (!isJsonPong(message)) this.#deliver(peer, message)
  }

  /** The peer is gone: what it sent before that comes before that. */
  handAllOver(peer: Peer): void {
    peer.workload?.handOver(
      () => peer.state === 'open',
      (message) => this.#handle(peer, message),
    )
  }

  #deliver(peer: Peer, message: WebSocketMessage): void {
    if (peer.state !== 'open') return
    if (peer.isHeld || peer.isAhead || peer.workload?.keeps) this.#keep(peer, message)
    else this.#handle(peer, message)
  }

  /** Of a socket that is not read any more, little comes even so; others might send on for ever. */
  #keep(peer: Peer, message: WebSocketMessage): void {
    const workload = this.workloadOf(peer)
    if (peer.channel.canPause || workload.hasRoomFor(message)) workload.keep(message)
    else this.#refuseOne(peer, workload)
    this.#wait(peer)
  }

  #handle(peer: Peer, message: WebSocketMessage): void {
    peer.countMessage()
    this.#options.calls.message(peer, message)
    if (peer.state !== 'open') return
    if (this.#options.isSlow(peer)) peer.holdUntilDrained(() => this.#goOn(peer))
    else if (peer.isBusy) peer.pause()
  }

  get #round(): number {
    return this.#options.round()
  }

  /** A peer that was held is not any more. */
  #goOn(peer: Peer): void {
    if (peer.state !== 'open') return
    peer.excuse(this.#round)
    peer.workload?.handOver(
      () => peer.state === 'open' && !peer.isHeld && !peer.isAhead,
      (message) => this.#handle(peer, message),
    )
    this.#wait(peer)
  }

  /** What is kept waits for its time; where the peer is held, for the end of that. */
  #wait(peer: Peer): void {
    // The loop that hands over comes here at its own end.
    if (peer.state !== 'open' || peer.workload?.isHandingOver) return
    const next = (): void => (peer.isHeld ? peer.pause() : this.#goOn(peer))
    if (peer.workload?.keeps && !peer.isHeld) peer.slowDown(this.#options.wheel, next)
    else peer.pause()
  }

  #refuseOne(peer: Peer, workload: Workload): void {
    const busy = 'Too much is worked on for this connection already.'
    const error = peer.isHeld ? new GatewayError('rate-limited', busy, { retryAfterMs: RETRY_MS }) : tooFast()
    if (workload.refuse()) this.#options.refuse(peer, error)
    else if (!this.#options.isSlow(peer)) peer.channel.write(new Outgoing(errorFrame(error)))
  }

  #workload(peer: Peer): Workload {
    const { maxPending, maxBufferedBytes } = this.#options.settings
    const workload = new Workload({
      channel: peer.channel,
      maxPending,
      maxKeptBytes: maxBufferedBytes,
      highWaterBytes: Math.min(HIGH_WATER_BYTES, maxBufferedBytes),
      onRelief: () => this.#goOn(peer),
    })
    if (peer.hasEnded) workload.end()
    return workload
  }

  /** What no parser of ours has seen is closed as it would be by ours. */
  #malformed(peer: Peer, code: 'payload-too-large' | 'invalid-frame'): WebSocketError {
    const isLarge = code === 'payload-too-large'
    this.#options.leave(peer, { code: isLarge ? TOO_LARGE : NO_UTF8, reason: code })
    const message = isLarge ? tooLargeMessage(this.#options.settings.maxMessageSize) : 'Message is not UTF-8'
    return new WebSocketError(message, { code, connectionId: peer.connection.id })
  }
}

function tooFast(): GatewayError {
  return new GatewayError('rate-limited', 'More came than can be read.', { retryAfterMs: RETRY_MS })
}

/** Answers of peers that were pinged in JSON are for the manager alone. */
function isJsonPong({ data }: WebSocketMessage): boolean {
  if (typeof data !== 'string' || data.length > JSON_PONG_CHARS || !data.includes('"pong"')) return false
  try {
    const message: unknown = JSON.parse(data)
    return typeof message === 'object' && message !== null && 'type' in message && message.type === 'pong'
  } catch {
    return false
  }
}
