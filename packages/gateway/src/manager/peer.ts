import type { TimerWheel } from '../timing/timer-wheel.ts'
import type { Channel } from './channel.ts'
import type { Entrance } from './entrance.ts'
import type { Guard } from './guard.ts'
import { Pace } from './pace.ts'
import type { WebSocketConnection, WebSocketHandler } from './websocket-handler.ts'
import type { Workload } from './workload.ts'

/** A path: who may come in, and what is done with them. */
export interface ServedPath {
  readonly guard: Guard
  readonly handler: WebSocketHandler | undefined
  /** What a peer has asked for, counted from when it is first asked for. */
  readonly workloadOf: (peer: Peer) => Workload
}

/** What the manager knows of one connection. */
export class Peer {
  readonly connection: { -readonly [Field in keyof WebSocketConnection]: WebSocketConnection[Field] }
  readonly channel: Channel
  readonly path: ServedPath
  /** How many messages a second it may send; 0 is no limit. */
  readonly #perSecond: number
  #messages: Pace | undefined
  #controls: Pace | undefined
  /** Waiting for a verdict; let in; being closed, after it was let in or before; gone. */
  state: 'waiting' | 'open' | 'leaving' | 'dismissed' | 'gone' = 'waiting'
  entrance: Entrance | undefined
  workload: Workload | undefined
  /** Somebody who waits until it is gone. */
  gone: PromiseWithResolvers<void> | undefined
  /** Which part of the peers it is pinged with; -1: none. */
  group = -1
  #heardIn = 0
  #isRefused = false
  #isBehind = false
  #stopExpiry: () => void = nothing
  #stopSlow: (() => void) | undefined
  #onSettled: (() => void)[] | undefined

  constructor(parts: Pick<Peer, 'connection' | 'channel' | 'path'> & { readonly perSecond: number }) {
    const { connection } = parts
    // As one piece: as it is made, a UUID is put together of 15 strings, which weigh 450 bytes.
    connection.id = Buffer.from(connection.id).toString()
    this.connection = connection
    this.channel = parts.channel
    this.path = parts.path
    this.#perSecond = parts.perSecond
  }

  /** Whether it is being closed, or gone. */
  get hasEnded(): boolean {
    return this.state !== 'waiting' && this.state !== 'open'
  }

  /** Something came from it. @param round - of the pings */
  heard(round: number): void {
    this.#heardIn = round
    this.connection.lastActivity = Date.now()
  }

  /** Not read for now, since what it asked for has to be done first. */
  get isBusy(): boolean {
    return this.workload?.isFull === true && this.channel.canPause
  }

  /** What it has sent is kept, until it has taken its answers, or they are done. */
  get isHeld(): boolean {
    return this.workload?.isFull === true || (this.#isBehind && this.channel.canPause)
  }

  /** Has had no way to show that it lives until now. */
  excuse(round: number): void {
    this.#heardIn = round
  }

  /** Whether something came since then. One that is not read for now cannot show it. */
  livesSince(round: number): boolean {
    return this.#heardIn >= round || (this.#stopSlow !== undefined && !this.#isBehind)
  }

  /** Whether it has sent so fast that its next message has to wait. */
  get isAhead(): boolean {
    return this.#messages !== undefined && this.#messages.waitMs > 0
  }

  /** Reads no more until its next message is in time. */
  slowDown(wheel: TimerWheel, then: () => void): void {
    if (this.#stopSlow) return
    this.#stopSlow = wheel.schedule(this.#messages?.waitMs ?? 0, () => {
      this.#stopSlow = undefined
      if (this.state === 'open') then()
    })
    this.pause()
  }

  /** Reads no more until the peer has taken what waits for it: who reads no answers gets to ask no more. */
  holdUntilDrained(then: () => void): void {
    if (this.#isBehind) return
    this.#isBehind = true
    this.pause()
    this.channel.onceDrained(() => {
      this.#isBehind = false
      if (this.state === 'open') then()
    })
  }

  /** Counts a message that is taken up. */
  countMessage(): void {
    if (this.#perSecond === 0) return
    this.#messages ??= this.#pace()
    this.#messages.take()
  }

  /** Counts a ping or a pong; returns how far that is ahead of what is allowed, in ms. */
  countControl(): number {
    if (this.#perSecond === 0) return 0
    this.#controls ??= this.#pace()
    return this.#controls.take()
  }

  expireWith(stop: () => void): void {
    this.#stopExpiry()
    this.#stopExpiry = stop
  }

  /** Runs `task` once it waits no more: it was let in, or is gone. */
  onceSettled(task: () => void): void {
    this.#onSettled ??= []
    this.#onSettled.push(task)
  }

  settled(): void {
    for (const task of this.#onSettled ?? []) task()
    this.#onSettled = undefined
  }

  stop(): void {
    this.#stopExpiry()
    this.#stopSlow?.()
    this.entrance?.end()
    this.entrance = undefined
    this.workload?.end()
  }

  /** Tells once, after a message was not taken, that there is room again. */
  onceDrained(task: () => void): void {
    if (this.#isRefused) return
    this.#isRefused = true
    this.channel.onceDrained(() => {
      this.#isRefused = false
      if (this.state === 'open') task()
    })
  }

  /** Reads, or reads no more, as is right by now. */
  pause(): void {
    this.channel.pause(this.#stopSlow !== undefined || this.isHeld || this.workload?.keeps === true)
  }

  #pace(): Pace {
    // Where less than one came at once, none would ever be in time.
    return new Pace(this.#perSecond, Math.max(1, 2 * this.#perSecond))
  }
}

function nothing(): void {}
