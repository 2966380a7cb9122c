import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4FunctionTool,
} from '@ai-sdk/provider'
import { type AgentEvent, GatewayError } from '@turnpike/protocol'
import type { ApprovalDecision } from './approvals.ts'
import { type ModelStep, modelStep } from './model-step.ts'
import type { OpenCalls } from './open-calls.ts'
import { CallResults, type RunState } from './run-state.ts'
import type { AgentYield, RunOutcome } from './runnable.ts'
import type { StructuredOutput } from './structured-output.ts'
import { type SettledCall, type ToolBatch, asSettled } from './tool-batch.ts'
import type { ToolCall } from './tool-call.ts'
import { addUsage } from './usage.ts'

export interface ToolLoopOptions {
  readonly model: LanguageModelV4
  /** What every call of the model has in common. */
  readonly settings: Omit<LanguageModelV4CallOptions, 'prompt' | 'tools'>
  /** The tools there are at the moment; asked once for each call of the model. */
  readonly tools: () => readonly LanguageModelV4FunctionTool[]
  readonly maxSteps: number
  readonly output?: StructuredOutput
  readonly batch: ToolBatch
  readonly openCalls: OpenCalls
  readonly signal: AbortSignal
}

/** How the loop ended; `output` is the checked answer where one was asked for. */
export interface LoopOutcome extends RunOutcome {
  readonly output?: unknown
}

/** Calls the model, makes the calls it wants, and again, until it has answered. */
export class ToolLoop {
  readonly #options: ToolLoopOptions
  readonly #state: RunState

  constructor(options: ToolLoopOptions, state: RunState) {
    this.#options = options
    this.#state = state
  }

  /** @throws GatewayError where the model fails or its answer does not fit; the signal's reason */
  async *run(): AsyncGenerator<AgentYield, LoopOutcome> {
    for (;;) {
      this.#options.signal.throwIfAborted()
      const step = yield* this.#step()
      const outcome = step.calls.length > 0 ? yield* this.#call(step) : yield* this.#answer(step)
      if (outcome) return outcome
    }
  }

  /** Goes on where a run was parked. A decision counts once, and only for a call that waits for it. */
  async *resume(
    results: CallResults,
    decisions: readonly ApprovalDecision[],
  ): AsyncGenerator<AgentYield, LoopOutcome> {
    const { batch, openCalls } = this.#options
    const settling = decisions.flatMap((decision) => {
      const call = results.waiting.get(decision.approvalId)
      if (!call || !results.waiting.delete(decision.approvalId)) return []
      openCalls.reopen(call.toolCallId, call.tool)
      return [decision.approved ? batch.settleApproved(call) : Promise.resolve(denied(call, decision))]
    })
    yield* this.#settle(results, settling)
    return this.#goOn(results) ?? (yield* this.run())
  }

  async *#step(): AsyncGenerator<AgentYield, ModelStep> {
    const { model, settings, signal, openCalls, output } = this.#options
    const tools = [...this.#options.tools()]
    yield { type: 'step-start', step: this.#state.step }
    const call = { ...settings, ...(tools.length > 0 && { tools }), prompt: [...this.#state.prompt] }
    const step = yield* modelStep({ model, call, signal, openCalls, holdText: output !== undefined })
    this.#state.usage = addUsage(this.#state.usage, step.usage)
    if (step.parts.length > 0) this.#state.prompt.push({ role: 'assistant', content: step.parts })
    return step
  }

  #finishStep({ finishReason, usage: { inputTokens, outputTokens } }: ModelStep): AgentEvent {
    const step = this.#state.step++
    return { type: 'step-finish', step, finishReason, usage: { inputTokens, outputTokens } }
  }

  /** A step that wants calls. An answer that was cut off is one that the model has not decided on. */
  async *#call(step: ModelStep): AsyncGenerator<AgentYield, LoopOutcome | undefined> {
    const { batch } = this.#options
    const isDecided = step.finishReason === 'tool-calls' || step.finishReason === 'stop'
    const results = new CallResults(step.calls)
    yield* this.#settle(
      results,
      step.calls.map((call) => (isDecided ? batch.settle(call) : Promise.resolve(cutOff(call)))),
    )
    yield this.#finishStep(step)
    return isDecided ? this.#goOn(results) : this.#outcome(step.finishReason)
  }

  /** Makes calls side by side and tells of each as soon as it has ended. */
  async *#settle(
    results: CallResults,
    settling: readonly Promise<SettledCall>[],
  ): AsyncGenerator<AgentYield> {
    const { signal, openCalls } = this.#options
    for await (const settled of asSettled(settling)) {
      // Those in flight are told of at the end of the run.
      signal.throwIfAborted()
      results.settle(settled)
      openCalls.end(settled.call.toolCallId)
      const { toolCallId, tool } = settled.call
      if (settled.type === 'done')
        yield { type: 'tool-call-result', toolCallId, tool, result: settled.result }
      if (settled.type === 'failed') {
        const { code, message } = settled.error
        yield { type: 'tool-call-error', toolCallId, tool, error: { code, message } }
      }
    }
    signal.throwIfAborted()
  }

  /** After the calls of a step: nothing where the model is to be called again. */
  #goOn(results: CallResults): LoopOutcome | undefined {
    if (results.waiting.size > 0) return { parked: { state: results.park(this.#state) } }
    this.#state.prompt.push(results.message)
    return this.#state.step >= this.#options.maxSteps ? this.#outcome('tool-calls') : undefined
  }

  /** A step that answers. One whose shape is wrong is asked for once more. */
  async *#answer(step: ModelStep): AsyncGenerator<AgentYield, LoopOutcome | undefined> {
    const { output, maxSteps } = this.#options
    yield this.#finishStep(step)
    if (!output) return this.#outcome(step.finishReason)
    const checked = await output.check(step.text)
    if ('output' in checked) {
      yield step.text
      return { ...this.#outcome(step.finishReason), output: checked.output }
    }
    if (this.#state.hasCorrected || this.#state.step >= maxSteps) {
      throw new GatewayError(
        'invalid-output',
        "The model's answer does not have the shape that was asked for.",
        {
          cause: new Error(checked.problem),
        },
      )
    }
    this.#state.hasCorrected = true
    const text = `Your answer does not fit the schema:\n${checked.problem}\nAnswer again, with JSON that fits and nothing else.`
    this.#state.prompt.push({ role: 'user', content: [{ type: 'text', text }] })
    return undefined
  }

  #outcome(finishReason: NonNullable<LoopOutcome['finishReason']>): LoopOutcome {
    return { finishReason, usage: this.#state.usage }
  }
}

function denied(call: ToolCall, { reason }: ApprovalDecision): SettledCall {
  const message = reason ? `The call was denied: ${reason}` : 'The call was denied.'
  return { call, type: 'failed', error: new GatewayError('denied', message) }
}

function cutOff(call: ToolCall): SettledCall {
  const error = new GatewayError('cancelled', 'The call was not made: the answer that holds it was cut off.')
  return { call, type: 'failed', error }
}
