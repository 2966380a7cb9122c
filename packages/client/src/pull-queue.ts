export interface PullQueueOptions<Item> {
  /** Joins what comes to what waits; nothing where they have to stay apart. */
  readonly join: (last: Item, next: Item) => Item | undefined
  /** The reader has left: by `break`, `return`, or an error of its own. */
  readonly onReturn: () => void
}

/** What was pushed, for one that pulls: an async iterator. A reader that is behind gets joined items. */
export class PullQueue<Item> implements AsyncIterableIterator<Item, undefined> {
  readonly #options: PullQueueOptions<Item>
  readonly #waiting: PromiseWithResolvers<IteratorResult<Item, undefined>>[] = []
  #items: Item[] = []
  #end: { readonly error?: unknown } | undefined

  constructor(options: PullQueueOptions<Item>) {
    this.#options = options
  }

  get size(): number {
    return this.#items.length
  }

  push(item: Item): void {
    if (this.#end) return
    const waiting = this.#waiting.shift()
    if (waiting) return waiting.resolve({ done: false, value: item })
    const last = this.#items.at(-1)
    const joined = last === undefined ? undefined : this.#options.join(last, item)
    if (joined === undefined) this.#items.push(item)
    else this.#items[this.#items.length - 1] = joined
  }

  /** Lets go of what waits, for something that replaces it. */
  clear(): void {
    this.#items = []
  }

  /** Nothing more comes. What waits is still given; then the end, or the error once. */
  end(...[error]: [error?: unknown]): void {
    if (this.#end) return
    this.#end = error === undefined ? {} : { error }
    for (const waiting of this.#waiting.splice(0)) this.#settle(waiting)
  }

  next(): Promise<IteratorResult<Item, undefined>> {
    const waiting = Promise.withResolvers<IteratorResult<Item, undefined>>()
    const item = this.#items.shift()
    if (item !== undefined) waiting.resolve({ done: false, value: item })
    else if (this.#end) this.#settle(waiting)
    else this.#waiting.push(waiting)
    return waiting.promise
  }

  return(): Promise<IteratorResult<Item, undefined>> {
    this.#items = []
    this.#end = {}
    for (const waiting of this.#waiting.splice(0)) this.#settle(waiting)
    this.#options.onReturn()
    return Promise.resolve({ done: true, value: undefined })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  #settle({ resolve, reject }: PromiseWithResolvers<IteratorResult<Item, undefined>>): void {
    const error = this.#end?.error
    this.#end = {}
    if (error === undefined) resolve({ done: true, value: undefined })
    else reject(error)
  }
}
