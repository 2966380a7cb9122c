import type { AgentEvent } from '@turnpike/protocol'
import { isJsonObject } from './tool-result.ts'

type Update = Extract<AgentEvent, { type: 'run-update' }>['background']

const MAX_MESSAGE_CHARS = 4_096

/** How far one call of a tool is, told as `run-update`. A tool that reports nothing is not told of. */
export class ToolProgress {
  readonly #call: { readonly id: string; readonly name: string }
  readonly #emit: (event: AgentEvent) => void
  #progress = 0
  #isReporting = false

  constructor(call: { id: string; name: string }, emit: (event: AgentEvent) => void) {
    this.#call = call
    this.#emit = emit
  }

  /** What a generator yielded: a number 0 to 1, `{ progress, message }`, or anything else as a message. */
  report(update: unknown): void {
    this.#isReporting = true
    if (typeof update === 'number') return this.#tell('running', update)
    if (isJsonObject(update) && typeof update['progress'] === 'number') {
      return this.#tell('running', update['progress'], messageOf(update['message']))
    }
    this.#tell('running', this.#progress, messageOf(update))
  }

  end(status: Exclude<Update['status'], 'running'>): void {
    if (this.#isReporting) this.#tell(status, status === 'done' ? 1 : this.#progress)
  }

  #tell(status: Update['status'], progress: number, message?: string): void {
    if (Number.isFinite(progress)) this.#progress = Math.min(1, Math.max(0, progress))
    const background = { ...this.#call, status, progress: this.#progress }
    this.#emit({
      type: 'run-update',
      background: message === undefined ? background : { ...background, message },
    })
  }
}

function messageOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined
  return asText(value).slice(0, MAX_MESSAGE_CHARS)
}

function asText(value: unknown): string {
  if (typeof value === 'string') return value
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return String(value)
  }
}
