import type { GatewayError } from '@turnpike/protocol'
import type { Clock } from '../clock.ts'
import { type Tool, argumentsFor } from './tool.ts'

/** What a gateway takes of a frame, unless it was told otherwise, less room for the rest of it. */
const MAX_RESULT_BYTES = 1_048_576 - 4_096
const MOST_BYTES_A_CHARACTER = 3

/** Asks the gateway something; gives nothing where the link ended before the answer. */
export type Ask = (command: string, payload: unknown, settle?: (error?: GatewayError) => void) => void

export interface ToolCallsOptions {
  readonly tools: readonly Tool[]
  readonly ask: Ask
  readonly clock: Clock
}

/** The calls that came over one link. */
export class ToolCalls {
  readonly #tools: ReadonlyMap<string, Tool>
  readonly #options: ToolCallsOptions
  readonly #running = new Map<string, AbortController>()

  constructor(options: ToolCallsOptions) {
    this.#options = options
    this.#tools = new Map(options.tools.map((each) => [each.name, each]))
  }

  /** Takes a frame; those of a kind that a later gateway may send are left. */
  take(frame: Readonly<Record<string, unknown>>): void {
    const { type, callId } = frame
    if (typeof callId !== 'string') return
    if (type === 'tool.call') void this.#make(callId, frame)
    if (type === 'tool.cancel') this.#running.get(callId)?.abort(stopped('The call was cancelled.'))
  }

  /** The link is gone, and with it whoever waited. */
  end(): void {
    for (const controller of this.#running.values()) controller.abort(stopped('The gateway is gone.'))
    this.#running.clear()
  }

  async #make(callId: string, frame: Readonly<Record<string, unknown>>): Promise<void> {
    const controller = new AbortController()
    const { signal } = controller
    this.#running.set(callId, controller)
    let told: { command: string; payload: object }
    try {
      const tool = this.#tools.get(String(frame['tool']))
      if (!tool) throw new Error(`There is no tool ${JSON.stringify(frame['tool'])} here.`)
      const args = await argumentsFor(tool, frame['args'])
      const result = await tool.execute(args, { callId, signal, ...aboutRun(frame) })
      assertSendable(result)
      told = { command: 'tool.result', payload: { callId, result: result ?? null } }
    } catch (error) {
      told = { command: 'tool.error', payload: { callId, error: messageOf(error) } }
    }
    this.#running.delete(callId)
    if (!signal.aborted) this.#tell(told, signal)
  }

  /** The gateway takes only so many frames a second; an answer is not to be lost for that. */
  #tell(told: { command: string; payload: object }, signal: AbortSignal): void {
    this.#options.ask(told.command, told.payload, (error) => {
      if (error?.code !== 'rate-limited' || signal.aborted) return
      this.#options.clock.after(error.retryAfterMs ?? 1_000, () => this.#tell(told, signal))
    })
  }
}

function aboutRun(frame: Readonly<Record<string, unknown>>): {
  user: string
  runId: string
  threadId: string
  toolCallId: string
} {
  const text = (name: string): string => (typeof frame[name] === 'string' ? frame[name] : '')
  return {
    user: text('user'),
    runId: text('runId'),
    threadId: text('threadId'),
    toolCallId: text('toolCallId'),
  }
}

/** @throws TypeError where it is not JSON, Error where it is more than a frame holds */
function assertSendable(result: unknown): void {
  const text = JSON.stringify(result) ?? ''
  if (text.length * MOST_BYTES_A_CHARACTER <= MAX_RESULT_BYTES) return
  if (new TextEncoder().encode(text).length <= MAX_RESULT_BYTES) return
  throw new Error(`The result takes more than ${MAX_RESULT_BYTES} bytes of JSON.`)
}

function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message === '' ? 'The tool failed.' : message
}

function stopped(message: string): DOMException {
  return new DOMException(message, 'AbortError')
}
