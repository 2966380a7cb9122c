import { randomUUID } from 'node:crypto'
import type { AgentEvent } from '@turnpike/protocol'

type Update = Extract<AgentEvent, { type: 'run-update' }>['background']

/**
 * How far a step of a workflow is, told as `run-update`.
 *
 * Not as `step-start` and `step-finish`: those are the calls of a model, which `finish` counts and which have usage but
 * neither a name nor a failure. A step of a workflow may hold many of them, or none.
 */
export class StepProgress {
  readonly #id = randomUUID()
  readonly #name: string
  readonly #emit: (event: AgentEvent) => void
  #progress = 0
  #isOver = false

  constructor(name: string, emit: (event: AgentEvent) => void) {
    this.#name = name
    this.#emit = emit
    this.#tell('running')
  }

  update(progress: number, message?: string): void {
    if (this.#isOver) return
    if (Number.isFinite(progress)) this.#progress = Math.min(1, Math.max(0, progress))
    this.#tell('running', message)
  }

  /** Tells once how it ended. */
  end(status: Exclude<Update['status'], 'running'>, message?: string): void {
    if (this.#isOver) return
    this.#isOver = true
    if (status === 'done') this.#progress = 1
    this.#tell(status, message)
  }

  #tell(status: Update['status'], message?: string): void {
    const background = { id: this.#id, name: this.#name, status, progress: this.#progress }
    this.#emit({
      type: 'run-update',
      background: message === undefined ? background : { ...background, message },
    })
  }
}
