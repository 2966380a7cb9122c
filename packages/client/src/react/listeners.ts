import { callEach } from './call-each.ts'

/** Who wants to know when something changes. */
export class Listeners {
  readonly #each = new Set<() => void>()

  get size(): number {
    return this.#each.size
  }

  /** Returns what takes the listener off again. The same one may be added twice, and is then called twice. */
  add(listener: () => void): () => void {
    const own = (): void => listener()
    this.#each.add(own)
    return () => void this.#each.delete(own)
  }

  tell(): void {
    callEach(this.#each)
  }
}
