import type { BackgroundOperation } from '@turnpike/agents'
import type { EventOf, EventPayload } from '@turnpike/protocol'
import { Background } from './background.ts'

type Update = EventOf<'run-update'>['background']

export interface BackgroundOperationsOptions {
  readonly report: (background: Update) => void
  /** Throws where an update cannot be reported. */
  readonly check: (background: Update) => void
  readonly onFailure: (error: unknown) => void
  /** Called when one has begun or ended. */
  readonly onChange: () => void
}

/** The background operations of one run. They may go on when the run has ended; cancelling it cancels them. */
export class BackgroundOperations {
  readonly #options: BackgroundOperationsOptions
  readonly #going = new Map<Background, Update>()

  constructor(options: BackgroundOperationsOptions) {
    this.#options = options
  }

  get isEmpty(): boolean {
    return this.#going.size === 0
  }

  /** The latest report of each that still goes on. */
  get latest(): readonly Update[] {
    return [...this.#going.values()]
  }

  start(name: string, work: (operation: BackgroundOperation) => Promise<void>): Background {
    const { report, check, onFailure, onChange } = this.#options
    check({ id: '', name, status: 'running', progress: 0 })
    const operation: Background = new Background({
      name,
      work,
      check,
      report: (update) => {
        if (update.status === 'running') this.#going.set(operation, update)
        report(update)
      },
      onEnd: (error) => {
        this.#going.delete(operation)
        if (error) onFailure(error)
        onChange()
      },
    })
    operation.start()
    onChange()
    return operation
  }

  cancel(): void {
    for (const operation of [...this.#going.keys()]) operation.cancel()
  }
}

/** The event that tells how an operation is. */
export function updateOf(
  background: EventOf<'run-update'>['background'],
): EventPayload & { type: 'run-update' } {
  return { type: 'run-update', background }
}
