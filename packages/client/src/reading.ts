import type { Feeds } from './feeds.ts'
import type { Reader } from './reader.ts'

export interface ReadingOptions {
  readonly feeds: Feeds
  readonly threadId: string
  readonly signal: AbortSignal | undefined
  readonly onAbort: () => void
}

/** One reader's time with a thread: from its beginning to its end, whoever ends it, and whenever. */
export class Reading {
  readonly #options: ReadingOptions
  #leave: () => void = () => {}
  #isOver = false

  constructor(options: ReadingOptions) {
    this.#options = options
  }

  begin(reader: Reader): void {
    const { feeds, threadId, signal, onAbort } = this.#options
    signal?.addEventListener('abort', onAbort, { once: true })
    this.#leave = feeds.add(threadId, reader)
    // It may be over before it has begun: where another reader had all that it was to read.
    if (this.#isOver) this.end()
  }

  end(): void {
    const { signal, onAbort } = this.#options
    this.#isOver = true
    signal?.removeEventListener('abort', onAbort)
    this.#leave()
  }
}
