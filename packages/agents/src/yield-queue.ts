import type { AgentYield } from './runnable.ts'

/** What a run said, for one reader; it keeps what nobody has read yet. */
export class YieldQueue {
  #values: AgentYield[] = []
  #end: { readonly error?: unknown } | undefined
  #wake = Promise.withResolvers<void>()

  push(value: AgentYield): void {
    if (this.#end) return
    this.#values.push(value)
    this.#wake.resolve()
  }

  /** Ends the reading; with an error where one is given. */
  end(end: { readonly error?: unknown } = {}): void {
    this.#end ??= end
    this.#wake.resolve()
  }

  /** @param onStop - Called where the reader goes away before the end. */
  async *read(onStop: () => void): AsyncGenerator<AgentYield, void> {
    try {
      for (;;) {
        const values = this.#values
        this.#values = []
        yield* values
        if (this.#values.length > 0) continue
        if (this.#end) break
        this.#wake = Promise.withResolvers<void>()
        await this.#wake.promise
      }
    } finally {
      if (!this.#end) onStop()
    }
    if ('error' in this.#end) throw this.#end.error
  }
}
