import { randomUUID } from 'node:crypto'
import type { BackgroundOperation } from '@turnpike/agents'
import type { EventOf } from '@turnpike/protocol'

type Update = EventOf<'run-update'>['background']

export interface BackgroundOptions {
  readonly name: string
  readonly work: (operation: BackgroundOperation) => Promise<void>
  readonly report: (background: Update) => void
  /** Throws where an update cannot be reported. */
  readonly check: (background: Update) => void
  readonly onEnd: (error?: unknown) => void
}

/**
 * Work that goes on after its run's answer. It reports `running` first and then exactly one of `done`, `failed`,
 * `cancelled`; what it reports after that is dropped.
 */
export class Background {
  readonly id = randomUUID()
  readonly #options: BackgroundOptions
  readonly #abort = new AbortController()
  #progress = 0
  #ended = false

  constructor(options: BackgroundOptions) {
    this.#options = options
  }

  start(): void {
    this.#report('running', 0)
    const operation: BackgroundOperation = {
      id: this.id,
      signal: this.#abort.signal,
      update: (progress, message) => {
        if (!this.#ended) this.#update(progress, message)
      },
    }
    Promise.resolve()
      .then(() => this.#options.work(operation))
      .then(
        () => this.#end('done'),
        (error: unknown) => this.#end('failed', error),
      )
  }

  /** Ends it at once; work that ignores its signal is left behind. */
  cancel(): void {
    this.#abort.abort()
    this.#end('cancelled')
  }

  #end(status: Exclude<Update['status'], 'running'>, error?: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#report(status, status === 'done' ? 1 : this.#progress)
    this.#options.onEnd(error)
  }

  /** Called from anywhere, a timer too: what is wrong with it ends the operation, and not the process. */
  #update(progress: number, message?: string): void {
    try {
      this.#options.check(this.#next('running', progress, message))
      this.#report('running', progress, message)
    } catch (error) {
      this.#abort.abort()
      this.#end('failed', error)
    }
  }

  #report(status: Update['status'], progress: number, message?: string): void {
    const update = this.#next(status, progress, message)
    this.#progress = update.progress
    this.#options.report(update)
  }

  #next(status: Update['status'], progress: number, message?: string): Update {
    const within = Number.isFinite(progress) ? Math.min(1, Math.max(0, progress)) : this.#progress
    const { name } = this.#options
    return { id: this.id, name, status, progress: within, ...(message !== undefined && { message }) }
  }
}
