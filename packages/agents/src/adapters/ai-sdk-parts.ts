import type { FinishReason as AISDKFinishReason, LanguageModelUsage } from 'ai'
import { type AgentEvent, type FinishReason, type Usage, GatewayError } from '@turnpike/protocol'
import { toJsonValue } from '../tool-result.ts'
import { type AISDKPart, fieldOf } from './ai-sdk-agent.ts'

type PartOf<Type extends AISDKPart['type']> = Extract<AISDKPart, { type: Type }>
type OutcomeReason = Exclude<FinishReason, 'cancelled' | 'interrupted'>
type Progress = Extract<AgentEvent, { type: 'run-update' }>['background']

/** A tool that yields its growing output would otherwise log all of it each time. */
const MAX_MESSAGE_CHARS = 256

/** Translates the parts of one run, which may take several streams, into events. */
export class AISDKEvents {
  #steps = 0
  /** Calls without a result so far; `hasText` where their arguments came in pieces. */
  readonly #calls = new Map<string, { tool: string; hasText: boolean }>()
  readonly #invalid = new Set<string>()
  readonly #progress = new Map<string, Progress>()
  readonly #denials = new Map<string, string>()

  /** Keeps why a call was denied, for the event that comes later. */
  deny(toolCallId: string, reason: string | undefined): void {
    if (reason !== undefined) this.#denials.set(toolCallId, reason)
  }

  /** The events for a part; none for what is not told, or is told elsewhere. */
  of(part: AISDKPart): readonly AgentEvent[] {
    switch (part.type) {
      case 'text-delta':
        return [{ type: 'text-delta', delta: part.text, channel: 'answer' }]
      case 'reasoning-delta':
        return [{ type: 'text-delta', delta: part.text, channel: 'reasoning' }]
      case 'start-step':
        return [{ type: 'step-start', step: this.#steps++ }]
      case 'finish-step':
        return [this.#stepFinish(part)]
      case 'tool-input-start':
        return this.#begin(part.id, part.toolName)
      case 'tool-input-delta':
        return this.#args(part)
      case 'tool-call':
        return this.#call(part)
      case 'tool-result':
        return part.preliminary ? [this.#preliminary(part)] : this.#result(part)
      case 'tool-error':
        return this.#error(part)
      case 'tool-output-denied':
        return this.#denied(part)
      case 'tool-approval-response':
        if (!part.approved) this.deny(part.toolCall.toolCallId, part.reason)
        return []
      case 'start':
      case 'finish':
      case 'error':
      case 'abort':
      case 'tool-approval-request':
      case 'tool-input-end':
      case 'text-start':
      case 'text-end':
      case 'reasoning-start':
      case 'reasoning-end':
      case 'steering-message':
      case 'source':
      case 'file':
      case 'reasoning-file':
      case 'custom':
      case 'ping':
      case 'raw':
        return []
      default:
        // A later version may have more.
        part satisfies never
        return []
    }
  }

  /** Ends the progress of what the run leaves behind: a bar does not end with its run. */
  close(status: 'cancelled' | 'failed'): readonly AgentEvent[] {
    return [...this.#progress.keys()].flatMap((toolCallId) => this.#endProgress(toolCallId, status))
  }

  #stepFinish({ finishReason, usage }: PartOf<'finish-step'>): AgentEvent {
    return {
      type: 'step-finish',
      step: Math.max(0, this.#steps - 1),
      finishReason: finishReason === 'error' ? 'interrupted' : toFinishReason(finishReason),
      usage: toUsage(usage),
    }
  }

  #begin(toolCallId: string, tool: string): AgentEvent[] {
    if (this.#calls.has(toolCallId)) return []
    this.#calls.set(toolCallId, { tool, hasText: false })
    return [{ type: 'tool-call-start', toolCallId, tool }]
  }

  #args({ id, delta }: PartOf<'tool-input-delta'>): AgentEvent[] {
    const call = this.#calls.get(id)
    if (!call || delta === '') return []
    call.hasText = true
    return [{ type: 'tool-call-args', toolCallId: id, tool: call.tool, delta }]
  }

  #call(part: PartOf<'tool-call'>): AgentEvent[] {
    const { toolCallId, toolName: tool } = part
    const events = this.#begin(toolCallId, tool)
    const args: unknown = part.input ?? null
    const delta = this.#calls.get(toolCallId)?.hasText ? '' : JSON.stringify(args)
    events.push({ type: 'tool-call-args', toolCallId, tool, delta, args })
    if (!part.invalid) return events
    this.#invalid.add(toolCallId)
    return [...events, ...this.#fail(part, invalidCall(part))]
  }

  #preliminary({ toolCallId, toolName, output }: PartOf<'tool-result'>): AgentEvent {
    const message = typeof output === 'string' ? output : fieldOf(output, 'message')
    const background: Progress = {
      id: toolCallId,
      name: toolName,
      status: 'running',
      progress: progressOf(output) ?? this.#progress.get(toolCallId)?.progress ?? 0,
      ...(typeof message === 'string' && { message: message.slice(0, MAX_MESSAGE_CHARS) }),
    }
    this.#progress.set(toolCallId, background)
    return { type: 'run-update', background }
  }

  /** A result that no event can hold is an error here, whatever the model makes of it. */
  #result(part: PartOf<'tool-result'>): AgentEvent[] {
    const { toolCallId, toolName: tool, output } = part
    try {
      const result = toJsonValue(output)
      this.#calls.delete(toolCallId)
      return [
        ...this.#endProgress(toolCallId, 'done'),
        { type: 'tool-call-result', toolCallId, tool, result },
      ]
    } catch (error) {
      return this.#fail(part, failureOf(error))
    }
  }

  /** The SDK follows an invalid call with an error of its own, which has been told already. */
  #error(part: PartOf<'tool-error'>): AgentEvent[] {
    return this.#invalid.delete(part.toolCallId) ? [] : this.#fail(part, failureOf(part.error))
  }

  #denied(part: PartOf<'tool-output-denied'>): AgentEvent[] {
    const message = this.#denials.get(part.toolCallId) ?? 'The call was denied.'
    return this.#fail(part, { code: 'denied', message })
  }

  #fail(
    { toolCallId, toolName: tool }: { toolCallId: string; toolName: string },
    error: { code: string; message: string },
  ): AgentEvent[] {
    this.#calls.delete(toolCallId)
    return [...this.#endProgress(toolCallId, 'failed'), { type: 'tool-call-error', toolCallId, tool, error }]
  }

  #endProgress(toolCallId: string, status: Progress['status']): AgentEvent[] {
    const last = this.#progress.get(toolCallId)
    if (!last) return []
    this.#progress.delete(toolCallId)
    const { id, name } = last
    const progress = status === 'done' ? 1 : last.progress
    return [{ type: 'run-update', background: { id, name, status, progress } }]
  }
}

/** Our word for why a model stopped; what has none is a stop. */
export function toFinishReason(reason: AISDKFinishReason): OutcomeReason {
  return reason === 'length' || reason === 'tool-calls' || reason === 'content-filter' ? reason : 'stop'
}

/** What a model has used, as far as it says. */
export function toUsage({ inputTokens = 0, outputTokens = 0 }: LanguageModelUsage): Usage {
  return {
    inputTokens: Number.isFinite(inputTokens) ? inputTokens : 0,
    outputTokens: Number.isFinite(outputTokens) ? outputTokens : 0,
  }
}

/** What went wrong inside a tool is its server's business, unless the tool says it with a {@link GatewayError}. */
function failureOf(error: unknown): { code: string; message: string } {
  if (error instanceof GatewayError) return { code: error.code, message: error.message }
  return { code: 'tool-failed', message: 'The tool failed.' }
}

function invalidCall({ toolName, ...part }: PartOf<'tool-call'>): { code: string; message: string } {
  const error = 'error' in part ? part.error : undefined
  if (fieldOf(error, 'name') === 'AI_NoSuchToolError') {
    return { code: 'unknown-tool', message: `There is no tool "${toolName}".` }
  }
  return { code: 'invalid-arguments', message: `The arguments of "${toolName}" are not what it takes.` }
}

/** How far a tool is, where it yields a number from 0 to 1 or has one as `progress`. */
function progressOf(output: unknown): number | undefined {
  const progress = typeof output === 'number' ? output : fieldOf(output, 'progress')
  if (typeof progress !== 'number' || !Number.isFinite(progress)) return undefined
  return Math.min(1, Math.max(0, progress))
}
