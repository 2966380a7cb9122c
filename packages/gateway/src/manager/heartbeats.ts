import type { TimerWheel } from '../timing/timer-wheel.ts'
import type { Peer } from './peer.ts'

/** So many parts of the peers are pinged at different times, so that not all answer at once. */
const GROUPS = 10

export interface HeartbeatOptions {
  readonly wheel: TimerWheel
  readonly pingInterval: number
  readonly pongTimeout: number
  /** Nothing came of a peer in time. */
  readonly onSilence: (peer: Peer) => void
}

/** A peer that was pinged while something waited for it. */
interface Behind {
  readonly peer: Peer
  readonly takenBytes: number
}

/**
 * Pings all peers, and tells of those that show no life.
 *
 * A peer costs a place in its group: neither a timer nor a closure of its own.
 */
export class Heartbeats {
  readonly #options: HeartbeatOptions
  readonly #groups: Set<Peer>[] = Array.from({ length: GROUPS }, () => new Set())
  /** How many groups have been pinged so far. */
  #round = 0
  #size = 0
  /** When the next group is. */
  #due = 0
  #stop: (() => void) | undefined

  constructor(options: HeartbeatOptions) {
    this.#options = options
  }

  /** Grows with each ping: what came in an earlier round says nothing about it. */
  get round(): number {
    return this.#round
  }

  add(peer: Peer): void {
    if (this.#options.pingInterval === 0) return
    peer.group = Math.floor(Math.random() * GROUPS)
    this.#groups[peer.group]?.add(peer)
    this.#size++
    if (this.#stop) return
    this.#due = performance.now()
    this.#stop = this.#later()
  }

  delete(peer: Peer): void {
    if (!this.#groups[peer.group]?.delete(peer) || --this.#size > 0) return
    this.#stop?.()
    this.#stop = undefined
  }

  /** By the clock, since the wheel is late by up to two ticks each time. */
  #later(): () => void {
    const { wheel, pingInterval } = this.#options
    const [now, pauseMs] = [performance.now(), pingInterval / GROUPS]
    this.#due = Math.max(this.#due + pauseMs, now)
    return wheel.schedule(this.#due - now, () => {
      this.#stop = this.#later()
      this.#ping(this.#groups[this.#round % GROUPS] ?? new Set())
    })
  }

  #ping(group: ReadonlySet<Peer>): void {
    const { wheel, pongTimeout, onSilence } = this.#options
    const round = ++this.#round
    const peers: Peer[] = []
    const behind: Behind[] = []
    for (const peer of [...group]) {
      const { channel } = peer
      if (!channel.ping()) onSilence(peer)
      else if (channel.bufferedBytes > 0) behind.push({ peer, takenBytes: channel.takenBytes })
      else peers.push(peer)
    }
    if (peers.length + behind.length === 0) return
    wheel.schedule(pongTimeout, () => {
      const silent = peers.filter((peer) => !peer.livesSince(round) && !peer.isBusy)
      // Who takes of what it had left to take lives: the ping is behind that.
      const stuck = behind.filter(
        ({ peer, takenBytes }) => !peer.livesSince(round) && peer.channel.takenBytes <= takenBytes,
      )
      for (const peer of [...silent, ...stuck.map(({ peer }) => peer)]) onSilence(peer)
    })
  }
}
