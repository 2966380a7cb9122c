import type { GatewayError } from '@turnpike/protocol'
import type { Clock } from './clock.ts'
import { ThreadFeed } from './feed.ts'
import type { Reader } from './reader.ts'
import type { Inbound, Link } from './wire.ts'

export interface FeedsOptions {
  readonly clock: Clock
  readonly onTrouble: (error?: GatewayError) => void
}

/** The threads that are read, each once however many read it. */
export class Feeds {
  readonly #options: FeedsOptions
  readonly #feeds = new Map<string, ThreadFeed>()
  #link: Link | undefined

  constructor(options: FeedsOptions) {
    this.#options = options
  }

  /** Messages that no server has taken yet. */
  get waiting(): number {
    let count = 0
    for (const { readers } of this.#feeds.values()) {
      for (const reader of readers) if (reader.isAwaiting && !reader.isSent) count++
    }
    return count
  }

  /** Lets a reader read; returns what ends that. */
  add(threadId: string, reader: Reader): () => void {
    const feed = this.#feeds.get(threadId) ?? this.#open(threadId)
    feed.add(reader)
    return () => feed.remove(reader)
  }

  attach(link: Link): void {
    this.#link = link
    for (const feed of [...this.#feeds.values()]) feed.attach(link)
  }

  detach(): void {
    this.#link = undefined
    for (const feed of [...this.#feeds.values()]) feed.detach()
  }

  take(frame: Inbound): void {
    this.#feeds.get(frame.threadId)?.take(frame)
  }

  fail(error: Error): void {
    this.#link = undefined
    for (const feed of [...this.#feeds.values()]) feed.fail(error)
  }

  #open(threadId: string): ThreadFeed {
    const feed = new ThreadFeed({
      ...this.#options,
      threadId,
      onIdle: () => {
        if (this.#feeds.get(threadId) === feed) this.#feeds.delete(threadId)
      },
    })
    // First, since a feed without readers is idle.
    if (this.#link) feed.attach(this.#link)
    this.#feeds.set(threadId, feed)
    return feed
  }
}
