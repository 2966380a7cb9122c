import type { Channel } from './channel.ts'
import { Outgoing } from './outgoing.ts'

/**
 * The replies to one peer: none is sent before there is room for it, and none is waited for once the peer is gone.
 *
 * All that wait for room share one look at the socket.
 */
export class Replies {
  readonly #channel: Channel
  readonly #highWaterBytes: number
  #room: PromiseWithResolvers<void> | undefined
  #onOver: Set<() => void> | undefined
  #controller: AbortController | undefined
  #hasEnded = false

  constructor(channel: Channel, highWaterBytes: number) {
    this.#channel = channel
    this.#highWaterBytes = highWaterBytes
  }

  /** Whether nobody is there for them any more. */
  get isOver(): boolean {
    return this.#hasEnded || !this.#channel.isOpen
  }

  /** Aborted once the peer is gone, or being closed. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#hasEnded) this.#controller.abort()
    return this.#controller.signal
  }

  /** Sends a message once there is room; what cannot be written as JSON rejects. */
  async send(message: object): Promise<void> {
    const outgoing = new Outgoing(JSON.stringify(message))
    if (!this.#hasRoom) await this.untilRoom()
    if (!this.isOver) this.#channel.write(outgoing)
  }

  /** Resolves once there is room, or nobody to be sent anything. */
  async untilRoom(): Promise<void> {
    while (!this.isOver && !this.#hasRoom) {
      this.#room ??= this.#nextRoom()
      await this.#room.promise
    }
  }

  /** Runs `task` once it is over; returns what takes it back. */
  onceOver(task: () => void): () => void {
    if (this.#hasEnded) task()
    const tasks = (this.#onOver ??= new Set())
    tasks.add(task)
    return () => tasks.delete(task)
  }

  end(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#controller?.abort()
    this.#room?.resolve()
    for (const task of this.#onOver ?? []) task()
    this.#onOver = undefined
  }

  /** Who waits already comes first. */
  get #hasRoom(): boolean {
    return this.#room === undefined && this.#channel.bufferedBytes < this.#highWaterBytes
  }

  #nextRoom(): PromiseWithResolvers<void> {
    const room = Promise.withResolvers<void>()
    this.#channel.onceDrained(() => {
      this.#room = undefined
      room.resolve()
    })
    return room
  }
}
