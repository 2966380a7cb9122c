import type { Channel } from './channel.ts'
import { DEFAULT_MAX_PENDING } from './manager-config.ts'
import { Replies } from './replies.ts'
import type { WebSocketMessage } from './websocket-handler.ts'

export interface WorkloadOptions {
  readonly channel: Channel
  /** 0 is no limit. */
  readonly maxPending: number
  /** What may wait to be taken up, where reading cannot be stopped. */
  readonly maxKeptBytes: number
  /** What may wait for the peer before it is replied to. */
  readonly highWaterBytes: number
  /** It was full, and is not any more. */
  readonly onRelief: () => void
}

/** What a message takes beside what is in it. */
const MESSAGE_BYTES = 100

/** What one peer has asked for and is not done. Made for the first of it: most peers have none. */
export class Workload {
  /** How it is replied to. */
  readonly replies: Replies
  readonly #options: WorkloadOptions
  /** Promises that handlers gave, and requests that a router works on: most are the same work seen twice. */
  #promises = 0
  #requests = 0
  #refused = 0
  #kept: WebSocketMessage[] = []
  #keptBytes = 0
  #isHandingOver = false

  constructor(options: WorkloadOptions) {
    const { channel, highWaterBytes } = options
    this.#options = options
    this.replies = new Replies(channel, highWaterBytes)
  }

  /** Whether it is so much that nothing more is taken up. */
  get isFull(): boolean {
    const { maxPending } = this.#options
    return maxPending > 0 && (this.#promises >= maxPending || this.#requests >= maxPending)
  }

  /** Whether messages wait to be taken up. */
  get keeps(): boolean {
    return this.#kept.length > 0
  }

  /** Whether they are being handed over right now, for as long as that may go on. */
  get isHandingOver(): boolean {
    return this.#isHandingOver
  }

  promiseBegan(): void {
    this.#promises++
  }

  readonly promiseSettled = (): void => {
    this.#less(() => this.#promises--)
  }

  requestBegan(): void {
    this.#requests++
  }

  requestEnded(): void {
    this.#less(() => this.#requests--)
  }

  hasRoomFor(message: WebSocketMessage): boolean {
    return !this.keeps || this.#keptBytes + bytesOf(message) <= this.#options.maxKeptBytes
  }

  /** Keeps a message that was read already. */
  keep(message: WebSocketMessage): void {
    this.#kept.push(message)
    this.#keptBytes += bytesOf(message)
  }

  /** Hands over what was kept, in order, for as long as `mayGoOn` says so. */
  handOver(mayGoOn: () => boolean, take: (message: WebSocketMessage) => void): void {
    // Where that brings relief again, the loop that runs already goes on.
    if (this.#isHandingOver) return
    this.#isHandingOver = true
    try {
      while (mayGoOn()) {
        const message = this.#kept.shift()
        if (!message) break
        this.#keptBytes -= bytesOf(message)
        this.#refused = 0
        take(message)
      }
    } finally {
      this.#isHandingOver = false
    }
  }

  /** Counts a message that was refused; true where there were too many of them in a row. */
  refuse(): boolean {
    return ++this.#refused > (this.#options.maxPending || DEFAULT_MAX_PENDING)
  }

  /** The peer is gone, or being closed. */
  end(): void {
    this.#kept = []
    this.#keptBytes = 0
    this.replies.end()
  }

  #less(count: () => void): void {
    const wasFull = this.isFull
    count()
    if (!wasFull || this.isFull) return
    this.#refused = 0
    this.#options.onRelief()
  }
}

function bytesOf({ data }: WebSocketMessage): number {
  return MESSAGE_BYTES + (typeof data === 'string' ? 2 * data.length : data.byteLength)
}
