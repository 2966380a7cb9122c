import type { RunnableInfo } from '@turnpike/agents'
import type { EventDraft } from '../logs/thread-window.ts'

type Attributes = Readonly<Record<string, string | number | string[]>>

/** What is needed of a span of OpenTelemetry. */
export interface Span {
  setAttributes(attributes: Attributes): unknown
  setStatus(status: { readonly code: number }): unknown
  isRecording(): boolean
  end(endTime?: Date): void
}

interface Tracer {
  startSpan(
    name: string,
    options: { readonly kind: number; readonly attributes: Attributes; readonly startTime: Date },
    context: unknown,
  ): Span
}

/**
 * What is needed of `@opentelemetry/api`; that module itself fits. Where nobody has registered a tracer provider, it
 * costs a run one span that records nothing.
 */
export interface OpenTelemetry {
  readonly trace: {
    getTracer(name: string): Tracer
    setSpan(context: unknown, span: Span): unknown
  }
  readonly context: { active(): unknown }
}

/** Numbers of the API: `SpanKind.INTERNAL`, `SpanKind.CLIENT`, `SpanStatusCode.ERROR`. */
const INTERNAL = 0
const CLIENT = 2
const FAILED = 2

interface OpenChat {
  readonly span: Span | undefined
  /** When the model had said all of the calls of its step. */
  saidUntil: Date | undefined
}

interface OpenCall {
  readonly tool: string
  readonly since: Date
}

export interface RunSpansOptions {
  readonly telemetry: OpenTelemetry
  readonly agent: Pick<RunnableInfo, 'name' | 'model' | 'provider'>
  /** Called where the tracer throws; nothing more is traced of the run then. */
  readonly onFailure: (error: unknown) => void
}

/**
 * A run as spans, made of the events that it logs: `invoke_agent`, and in it `chat` for each step and `execute_tool` for
 * each call, with the attributes of the GenAI semantic conventions. No text of prompts, answers, arguments or results is
 * in them, and nobody's id.
 *
 * A run that goes on after a restart has a span from there on.
 */
export class RunSpans {
  readonly #options: RunSpansOptions
  readonly #calls = new Map<string, OpenCall>()
  /** Calls whose approval is asked for, by approval. */
  readonly #asked = new Map<string, string>()
  #root: Span | undefined
  #context: unknown
  #tracer: Tracer | undefined
  /** Calls of models, by their step: members of a team may work side by side. */
  readonly #chats = new Map<number, OpenChat>()
  #isOver = false

  constructor(options: RunSpansOptions) {
    this.#options = options
  }

  /** Takes what the run has logged. Never throws. */
  take(event: EventDraft): void {
    if (this.#isOver) return
    try {
      this.#open()
      this.#take(event)
      // Nobody records it: the rest of the run costs nothing.
      if (this.#root?.isRecording() === false) this.#isOver = true
    } catch (error) {
      this.#isOver = true
      this.#options.onFailure(error)
    }
  }

  #take(event: EventDraft): void {
    switch (event.type) {
      case 'step-start':
        return this.#startChat(event.step)
      case 'step-finish':
        this.#chats
          .get(event.step)
          ?.span?.setAttributes({ ...tokens(event.usage), ...reasons(event.finishReason) })
        return this.#endChat(event.step)
      case 'tool-call-start':
        this.#startCall(event.toolCallId, event.tool)
        return
      case 'tool-call-args':
        // The call is made from here on, and the model has said it.
        if (event.args !== undefined) this.#saidUntil(this.#startCall(event.toolCallId, event.tool))
        return
      case 'approval-pending':
        this.#asked.set(event.approvalId, event.toolCallId)
        return
      case 'approval-resolved':
        return this.#restartCall(event.approvalId)
      case 'tool-call-result':
        return this.#endCall(event.toolCallId, event.tool)
      case 'tool-call-error':
        return this.#endCall(event.toolCallId, event.tool, event.error.code)
      case 'finish':
        this.#root?.setAttributes({ ...tokens(event.usage), ...reasons(event.finishReason) })
        return this.#end()
      case 'error':
        return this.#end(event.error.code)
      // What happens inside a step or a tool, or beside the run.
      case 'start':
      case 'text-delta':
      case 'artifact-created':
      case 'artifact-updated':
      case 'memory-write':
      case 'memory-recall-result':
      case 'run-update':
        return
      default:
        event satisfies never
    }
  }

  #open(): void {
    if (this.#root) return
    const { telemetry, agent } = this.#options
    const { trace, context } = telemetry
    this.#tracer = trace.getTracer('turnpike')
    this.#root = this.#tracer.startSpan(
      `invoke_agent ${agent.name}`,
      { kind: INTERNAL, attributes: this.#attributes('invoke_agent'), startTime: new Date() },
      context.active(),
    )
    this.#context = trace.setSpan(context.active(), this.#root)
  }

  #startChat(step: number): void {
    const { model } = this.#options.agent
    const span = this.#start(model === null ? 'chat' : `chat ${model}`, {
      kind: CLIENT,
      attributes: this.#attributes('chat'),
      // Of the same clock as the end, which may be told later.
      startTime: new Date(),
    })
    this.#chats.set(step, { span, saidUntil: undefined })
  }

  /** The model had said a call by then; whose call it is, is known where one works at a time. */
  #saidUntil(at: Date): void {
    const latest = [...this.#chats.values()].at(-1)
    if (latest) latest.saidUntil = at
  }

  /** Ends the call of the model: a step ends only once the calls it wants are made. */
  #endChat(step: number): void {
    const { span, saidUntil } = this.#chats.get(step) ?? {}
    span?.end(saidUntil)
    this.#chats.delete(step)
  }

  #startCall(toolCallId: string, tool: string): Date {
    const since = new Date()
    this.#calls.set(toolCallId, { tool, since })
    return since
  }

  /** Somebody has decided: the time until then was not the tool's. */
  #restartCall(approvalId: string): void {
    const toolCallId = this.#asked.get(approvalId) ?? ''
    this.#asked.delete(approvalId)
    const call = this.#calls.get(toolCallId)
    if (call) this.#startCall(toolCallId, call.tool)
  }

  /** Only now does it have a span, since only now it is known when it began. */
  #endCall(toolCallId: string, tool: string, error?: string): void {
    const startTime = this.#calls.get(toolCallId)?.since ?? new Date()
    this.#calls.delete(toolCallId)
    const span = this.#start(`execute_tool ${tool}`, {
      kind: INTERNAL,
      attributes: {
        'gen_ai.operation.name': 'execute_tool',
        'gen_ai.tool.name': tool,
        'gen_ai.tool.call.id': toolCallId,
      },
      startTime,
    })
    if (error !== undefined) fail(span, error)
    span?.end()
  }

  #end(error?: string): void {
    // An agent that was left behind did not say how its calls ended.
    for (const [toolCallId, { tool }] of [...this.#calls])
      this.#endCall(toolCallId, tool, error ?? 'cancelled')
    for (const [step, { span }] of [...this.#chats]) {
      if (error !== undefined) fail(span, error)
      this.#endChat(step)
    }
    if (error !== undefined) fail(this.#root, error)
    this.#root?.end()
    this.#isOver = true
  }

  #start(name: string, options: Parameters<Tracer['startSpan']>[1]): Span | undefined {
    return this.#tracer?.startSpan(name, options, this.#context)
  }

  #attributes(operation: 'invoke_agent' | 'chat'): Attributes {
    const { name, model, provider } = this.#options.agent
    return {
      'gen_ai.operation.name': operation,
      'gen_ai.agent.name': name,
      ...(model !== null && { 'gen_ai.request.model': model }),
      ...(provider !== null && { 'gen_ai.provider.name': provider }),
    }
  }
}

function fail(span: Span | undefined, error: string): void {
  span?.setAttributes({ 'error.type': error })
  span?.setStatus({ code: FAILED })
}

function tokens(usage: { readonly inputTokens: number; readonly outputTokens: number }): Attributes {
  return { 'gen_ai.usage.input_tokens': usage.inputTokens, 'gen_ai.usage.output_tokens': usage.outputTokens }
}

function reasons(finishReason: string): Attributes {
  return { 'gen_ai.response.finish_reasons': [finishReason] }
}
