import type { GatewayError } from '@turnpike/protocol'
import type { Clock } from '../clock.ts'
import { type Tool, argumentsFor } from './tool.ts'

/** What a gateway takes of a frame, unless it was told otherwise, less room for the rest of it. */
const MAX_RESULT_BYTES = 1_048_576 - 4_096
const MOST_BYTES_A_CHARACTER = 3
/** The same for its levels, less two for the frame around it. One that is deeper is answered to nobody. */
const MAX_RESULT_DEPTH = 30
/** What is told of an error; the gateway cuts at this, too. */
const MAX_MESSAGE_CHARS = 4_096

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
      const result = sendable(await tool.execute(args, { callId, signal, ...aboutRun(frame) }))
      told = { command: 'tool.result', payload: { callId, result } }
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

/**
 * The JSON of a result, which cannot say anything else when it is sent.
 *
 * @throws TypeError where it is not JSON, Error where it is more than a frame holds
 */
function sendable(result: unknown): unknown {
  const text = JSON.stringify(result) ?? 'null'
  const isSmall = text.length * MOST_BYTES_A_CHARACTER <= MAX_RESULT_BYTES
  if (!isSmall && new TextEncoder().encode(text).length > MAX_RESULT_BYTES) {
    throw new Error(`The result takes more than ${MAX_RESULT_BYTES} bytes of JSON.`)
  }
  const json: unknown = JSON.parse(text)
  if (isDeeperThan(json, MAX_RESULT_DEPTH)) {
    throw new Error(`The result is nested more than ${MAX_RESULT_DEPTH} levels deep.`)
  }
  return json
}

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((inner) => isDeeperThan(inner, levels - 1))
}

/** Tools may throw anything, also what has no words or too many. */
function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : error
  if (typeof message !== 'string' || message === '') return 'The tool failed.'
  return message.length > MAX_MESSAGE_CHARS ? `${message.slice(0, MAX_MESSAGE_CHARS - 1)}…` : message
}

function stopped(message: string): DOMException {
  return new DOMException(message, 'AbortError')
}
