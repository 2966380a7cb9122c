import type { LanguageModelV4Message, LanguageModelV4Prompt } from '@ai-sdk/provider'
import { GatewayError } from '@turnpike/protocol'
import * as z from 'zod/mini'
import { promptFromJson, promptToJson } from './prompt-json.ts'
import { failedPart, succeededPart } from './prompt.ts'
import type { SettledCall } from './tool-batch.ts'
import type { ToolCall } from './tool-call.ts'
import { RunUsage } from './usage.ts'

const CallResult = z.union([
  z.object({ toolCallId: z.string(), error: z.object({ code: z.string(), message: z.string() }) }),
  z.object({ toolCallId: z.string(), result: z.unknown() }),
])
/** {@link RunInput.settings} as they are kept. */
export const RunSettings = z.object({
  temperature: z.optional(z.number()),
  maxTokens: z.optional(z.number()),
})
const Progress = {
  /** The step that comes next. */
  step: z.int(),
  usage: RunUsage,
  /** Whether the model was told already that its answer does not fit. */
  hasCorrected: z.boolean(),
  /** What the run asks of its model. */
  settings: z.optional(RunSettings),
  /** By `entity.tool`, what the model calls it: a name means one tool for the whole run, also after a wait. */
  toolNames: z._default(z.record(z.string(), z.string()), () => ({})),
}
const ParkedRun = z.object({
  version: z.literal(1),
  ...Progress,
  prompt: z.array(z.looseObject({ role: z.enum(['system', 'user', 'assistant', 'tool']) })),
  calls: z.array(z.object({ toolCallId: z.string(), tool: z.string(), args: z.optional(z.unknown()) })),
  results: z.array(CallResult),
  approvals: z.array(z.object({ toolCallId: z.string(), approvalId: z.string() })),
})

/** Where a run of an agent is, between two things that it does. */
export interface RunState extends z.infer<z.ZodMiniObject<typeof Progress>> {
  readonly prompt: LanguageModelV4Prompt
}

/** The calls of one step and what became of them; some may wait for approval. */
export class CallResults {
  readonly calls: readonly ToolCall[]
  readonly #results = new Map<string, z.infer<typeof CallResult>>()
  /** The calls that wait, by their approval. */
  readonly waiting = new Map<string, ToolCall>()

  constructor(calls: readonly ToolCall[]) {
    this.calls = calls
  }

  settle(settled: SettledCall): void {
    const { toolCallId } = settled.call
    if (settled.type === 'waiting') this.waiting.set(settled.approvalId, settled.call)
    else if (settled.type === 'done') this.#results.set(toolCallId, { toolCallId, result: settled.result })
    else this.#results.set(toolCallId, { toolCallId, error: settled.error.toJSON() })
  }

  /** The results for the model, in the order of its calls. */
  get message(): LanguageModelV4Message {
    const content = this.calls.flatMap((call) => {
      const found = this.#results.get(call.toolCallId)
      if (!found) return []
      return 'error' in found ? failedPart(call, found.error) : succeededPart(call, found.result)
    })
    return { role: 'tool', content }
  }

  /** The run as JSON, for as long as calls wait. */
  park({ prompt, ...progress }: RunState): unknown {
    const approvals = [...this.waiting].map(([approvalId, { toolCallId }]) => ({ approvalId, toolCallId }))
    const parked = {
      version: 1,
      ...progress,
      calls: this.calls,
      results: [...this.#results.values()],
      approvals,
    }
    return { ...parked, prompt: promptToJson(prompt) }
  }

  /**
   * Reads what {@link CallResults.park} wrote.
   *
   * @throws GatewayError `internal` where it is something else
   */
  static unpark(json: unknown): { state: RunState; results: CallResults } {
    const parsed = ParkedRun.safeParse(json)
    if (!parsed.success) {
      throw new GatewayError('internal', 'The run cannot go on: its state is not readable.', {
        cause: parsed.error,
      })
    }
    const { prompt, calls, approvals, version: _version, results: settled, ...progress } = parsed.data
    const results = new CallResults(calls)
    for (const result of settled) results.#results.set(result.toolCallId, result)
    for (const { approvalId, toolCallId } of approvals) {
      const call = calls.find((each) => each.toolCallId === toolCallId)
      if (call) results.waiting.set(approvalId, call)
    }
    return { state: { ...progress, prompt: promptFromJson(prompt) }, results }
  }
}
