import { inspect } from 'node:util'

const SHOWN = 12

export interface InboxOptions {
  /** What it holds, for messages: "frames of ws://…". */
  readonly name?: string
  /** Time a reader waits for one value. @default 10 s */
  readonly deadlineMs?: number
}

interface Waiter<T> {
  readonly resolve: (result: IteratorResult<T, undefined>) => void
  readonly reject: (error: unknown) => void
  readonly timer: NodeJS.Timeout
}

/**
 * A queue that a test awaits: values go in as they come, and are taken in order.
 *
 * A reader that waits past the deadline is told what did arrive. As an async iterable it gives what comes until the end.
 */
export class Inbox<T> implements AsyncIterable<T> {
  readonly #name: string
  readonly #deadlineMs: number
  readonly #values: T[] = []
  readonly #waiters: Waiter<T>[] = []
  readonly #latest: T[] = []
  #count = 0
  #ended: { readonly error: unknown } | undefined

  constructor({ name = 'values', deadlineMs = 10_000 }: InboxOptions = {}) {
    this.#name = name
    this.#deadlineMs = deadlineMs
  }

  /** Values that came and are not taken yet. */
  get size(): number {
    return this.#values.length
  }

  /** Adds a value; after the end it is dropped. */
  push(value: T): void {
    if (this.#ended) return
    this.#count++
    this.#latest.push(value)
    if (this.#latest.length > SHOWN) this.#latest.shift()
    const waiter = this.#waiters.shift()
    if (!waiter) return void this.#values.push(value)
    clearTimeout(waiter.timer)
    waiter.resolve({ done: false, value })
  }

  /** Says that nothing more comes; what is there can still be taken. The first call counts. */
  end(error?: unknown): void {
    if (this.#ended) return
    this.#ended = { error }
    for (const { resolve, reject, timer } of this.#waiters.splice(0)) {
      clearTimeout(timer)
      if (error === undefined) resolve({ done: true, value: undefined })
      else reject(error)
    }
  }

  /** Takes the next value. Rejects past the deadline, and at the end. */
  async next(): Promise<T> {
    const result = await this.#take()
    if (result.done) throw new Error(`No more ${this.#name}: it has ended. ${this.#received()}`)
    return result.value
  }

  /** Takes values up to the first that matches, which is the last of the result. Each has its own deadline. */
  async until(predicate: (value: T) => boolean): Promise<T[]> {
    const taken: T[] = []
    for (;;) {
      const value = await this.next()
      taken.push(value)
      if (predicate(value)) return taken
    }
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return { next: () => this.#take() }
  }

  #take(): Promise<IteratorResult<T, undefined>> {
    if (this.#values.length > 0) return Promise.resolve({ done: false, value: this.#values.shift() as T })
    if (this.#ended) {
      const { error } = this.#ended
      return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error)
    }
    const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<T, undefined>>()
    const waiter: Waiter<T> = {
      resolve,
      reject,
      timer: setTimeout(() => this.#giveUp(waiter), this.#deadlineMs),
    }
    this.#waiters.push(waiter)
    return promise
  }

  #giveUp(waiter: Waiter<T>): void {
    this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
    waiter.reject(new Error(`No ${this.#name} within ${this.#deadlineMs} ms. ${this.#received()}`))
  }

  #received(): string {
    if (this.#count === 0) return 'Nothing was received.'
    const latest = this.#latest.map((value) => `  ${inspect(value, { depth: 3, breakLength: Infinity })}`)
    return `Received ${this.#count}, the latest:\n${latest.join('\n')}`
  }
}
