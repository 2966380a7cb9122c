import type { ModelMessage, ToolApprovalResponse } from 'ai'
import { GatewayError } from '@turnpike/protocol'
import type { ApprovalDecision } from '../approvals.ts'
import { type RunContext, inRun } from '../context.ts'
import type { AgentYield, RunInput, RunOutcome } from '../runnable.ts'
import type { AISDKAgent, AISDKPart, AISDKStream } from './ai-sdk-agent.ts'
import { resultsForOpenCalls, toModelMessages } from './ai-sdk-messages.ts'
import { AISDKEvents, toFinishReason, toUsage } from './ai-sdk-parts.ts'

type PartOf<Type extends AISDKPart['type']> = Extract<AISDKPart, { type: Type }>

interface PendingApproval {
  readonly request: PartOf<'tool-approval-request'>
  readonly decision: Promise<ApprovalDecision>
}

/**
 * One run of an agent of the AI SDK: one stream, and another one each time approvals have been decided.
 *
 * The model is stopped by an abort signal of its own, also where the run is left early: ending the iteration of a
 * stream does not stop what feeds it.
 */
export class AISDKRun {
  readonly #agent: AISDKAgent
  readonly #context: RunContext
  readonly #messages: ModelMessage[]
  readonly #events = new AISDKEvents()
  readonly #abort = new AbortController()
  readonly #metrics: object[] = []
  #pending: PendingApproval[] = []
  #usage = { inputTokens: 0, outputTokens: 0 }
  #ended = false

  constructor(agent: AISDKAgent, input: RunInput, context: RunContext) {
    this.#agent = agent
    this.#context = context
    this.#messages = toModelMessages([...input.history, input.message])
  }

  /** What the agent reports, and how it ended; nothing where the run was stopped. */
  async *run(): AsyncGenerator<AgentYield, RunOutcome | void> {
    const { signal } = this.#context
    try {
      for (;;) {
        if (signal.aborted) return
        const stream = await this.#open()
        const finish = yield* this.#read(stream)
        if (!finish || signal.aborted) return
        if (this.#pending.length > 0) {
          await this.#continueAfterApproval(stream)
          continue
        }
        this.#ended = true
        return this.#outcome(finish)
      }
    } catch (error) {
      if (!signal.aborted) throw asGatewayError(error)
    } finally {
      if (!this.#ended) this.#abort.abort(new DOMException('The run has ended.', 'AbortError'))
      for (const event of this.#events.close(signal.aborted ? 'cancelled' : 'failed'))
        this.#context.emit(event)
    }
  }

  async #open(): Promise<AISDKStream> {
    const abortSignal = AbortSignal.any([this.#context.signal, this.#abort.signal])
    return inRun(this.#context, () => this.#agent.stream({ messages: [...this.#messages], abortSignal }))
  }

  async *#read(result: AISDKStream): AsyncGenerator<AgentYield, PartOf<'finish'> | void> {
    const parts = result.stream ?? result.fullStream
    if (!parts) throw new GatewayError('agent-failed', 'The agent does not stream.')
    let finish: PartOf<'finish'> | undefined
    for await (const part of parts) {
      if (this.#context.signal.aborted) return
      if (part.type === 'text-delta') {
        if (part.text !== '') yield part.text
        continue
      }
      if (part.type === 'finish') finish = part
      this.#note(part)
      yield* this.#events.of(part)
    }
    if (finish) return this.#finished(finish)
    if (this.#context.signal.aborted) return
    throw new GatewayError('agent-failed', 'The agent ended before its answer was complete.')
  }

  /** What a part means for the run beside the events it becomes. */
  #note(part: AISDKPart): void {
    if (part.type === 'error') throw part.error
    if (part.type === 'abort') {
      throw new GatewayError('agent-failed', 'The agent gave up.', { cause: part.reason })
    }
    if (part.type === 'finish-step') this.#metrics.push(metricsOf(part))
    if (part.type === 'tool-approval-request' && !part.isAutomatic) this.#ask(part)
  }

  #ask(request: PartOf<'tool-approval-request'>): void {
    const { toolCallId, toolName: tool, input: args } = request.toolCall
    const decision = this.#context.approvals.request({ toolCallId, tool, args })
    // Awaited once the stream has ended; until then a refusal is nobody's unhandled rejection.
    decision.catch(() => {})
    this.#pending.push({ request, decision })
  }

  #finished(finish: PartOf<'finish'>): PartOf<'finish'> {
    if (finish.finishReason === 'error') throw new GatewayError('agent-failed', 'The model failed.')
    const { inputTokens, outputTokens } = toUsage(finish.totalUsage)
    this.#usage.inputTokens += inputTokens
    this.#usage.outputTokens += outputTokens
    return finish
  }

  /** Waits for all decisions of the stream and hands each to the agent exactly once. */
  async #continueAfterApproval(result: AISDKStream): Promise<void> {
    const pending = this.#pending
    this.#pending = []
    const decisions = await this.#unlessAborted(Promise.all(pending.map(({ decision }) => decision)))
    const responses = pending.map(({ request }, index) => this.#respond(request, decisions[index]))
    const added = await responseMessages(result)
    const answered = new Set(pending.map(({ request }) => request.toolCall.toolCallId))
    const content = [...resultsForOpenCalls(added, answered), ...responses]
    this.#messages.push(...added, { role: 'tool', content })
  }

  #respond(
    { approvalId, toolCall }: PartOf<'tool-approval-request'>,
    decision: ApprovalDecision | undefined,
  ): ToolApprovalResponse {
    const approved = decision?.approved === true
    const reason = decision?.reason
    if (!approved) this.#events.deny(toolCall.toolCallId, reason)
    return {
      type: 'tool-approval-response',
      approvalId,
      approved,
      ...(reason !== undefined && { reason }),
      ...(toolCall.providerExecuted === true && { providerExecuted: true }),
    }
  }

  async #unlessAborted<Value>(work: Promise<Value>): Promise<Value> {
    const { signal } = this.#context
    const { promise, reject } = Promise.withResolvers<never>()
    const stop = (): void => reject(new DOMException('The run was stopped.', 'AbortError'))
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    try {
      return await Promise.race([work, promise])
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  #outcome(finish: PartOf<'finish'>): RunOutcome {
    return {
      finishReason: toFinishReason(finish.finishReason),
      usage: { ...this.#usage, providerMetrics: { steps: this.#metrics } },
    }
  }
}

async function responseMessages(result: AISDKStream): Promise<ModelMessage[]> {
  const messages = (await result.responseMessages) ?? (await result.response)?.messages
  if (messages) return messages
  throw new GatewayError('agent-failed', 'The agent cannot go on after an approval.')
}

function metricsOf(step: PartOf<'finish-step'>): object {
  const { response, usage, rawFinishReason, providerMetadata } = step
  const { inputTokenDetails, outputTokenDetails } = usage
  return {
    modelId: response.modelId,
    rawFinishReason,
    inputTokenDetails,
    outputTokenDetails,
    providerMetadata,
  }
}

function asGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error
  return new GatewayError('agent-failed', 'The agent failed.', { cause: error })
}
