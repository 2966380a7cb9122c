import type { FinishReason } from '@turnpike/protocol'
import type { AgentYield, RunOutcome } from './runnable.ts'
import { type RunUsage, addUsage } from './usage.ts'

/** A call of a tool in a {@link LocalResult}. */
export interface ToolCallRecord {
  readonly toolCallId: string
  readonly tool: string
  readonly args?: unknown
  readonly result?: unknown
  readonly error?: { readonly code: string; readonly message: string }
}

/** The whole of a run. One that was aborted has the text it had by then and the reason `cancelled`. */
export interface LocalResult {
  readonly text: string
  readonly finishReason: FinishReason
  /** How many times the model was called. */
  readonly steps: number
  readonly usage: RunUsage
  /** What the answer holds, where the agent has an `output`. */
  readonly output?: unknown
  readonly toolCalls: readonly ToolCallRecord[]
}

/** What a run has said so far. */
export class RunRecord {
  #text = ''
  #steps = 0
  #usage: RunUsage = { inputTokens: 0, outputTokens: 0 }
  readonly #calls = new Map<string, ToolCallRecord>()

  take(value: AgentYield): void {
    if (typeof value === 'string') this.#text += value
    else if (value.type === 'text-delta') this.#text += value.channel === 'answer' ? value.delta : ''
    else if (value.type === 'step-start') this.#steps++
    else if (value.type === 'step-finish') this.#usage = addUsage(this.#usage, value.usage)
    else if (value.type === 'tool-call-start') this.#call(value, {})
    else if (value.type === 'tool-call-result') this.#call(value, { result: value.result })
    else if (value.type === 'tool-call-error') this.#call(value, { error: value.error })
    else if (value.type === 'tool-call-args' && 'args' in value) this.#call(value, { args: value.args })
  }

  result(finishReason: FinishReason, { usage, output }: RunOutcome): LocalResult {
    return {
      text: this.#text,
      finishReason,
      steps: this.#steps,
      usage: usage ?? this.#usage,
      ...(output !== undefined && { output }),
      toolCalls: [...this.#calls.values()],
    }
  }

  #call({ toolCallId, tool }: ToolCallRecord, change: Partial<ToolCallRecord>): void {
    this.#calls.set(toolCallId, { ...this.#calls.get(toolCallId), toolCallId, tool, ...change })
  }
}
