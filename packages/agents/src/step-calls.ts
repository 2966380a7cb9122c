import type { JSONValue, LanguageModelV4StreamPart } from '@ai-sdk/provider'
import type { AgentEvent } from '@turnpike/protocol'
import type { OpenCalls } from './open-calls.ts'
import { type StepContent, providerOptions } from './step-content.ts'
import type { ToolCall } from './tool-call.ts'
import { isJsonObject, toJsonValue } from './tool-result.ts'

type PartOf<Type extends LanguageModelV4StreamPart['type']> = Extract<
  LanguageModelV4StreamPart,
  { type: Type }
>

interface Input {
  readonly toolCallId: string
  readonly tool: string
  /** The arguments as far as they have come. */
  text: string
  isComplete: boolean
}

/** The tool calls of one step, from the first piece of their arguments on. */
export class StepCalls {
  /** The complete calls that are ours to make, in the model's order. */
  readonly mine: ToolCall[] = []
  readonly #openCalls: OpenCalls
  readonly #content: StepContent
  /** By the model's id, the latest of that id; and all. */
  readonly #inputs = new Map<string, Input>()
  readonly #all: Input[] = []

  constructor(openCalls: OpenCalls, content: StepContent) {
    this.#openCalls = openCalls
    this.#content = content
  }

  /** What a part of the stream tells of a call. */
  take(part: LanguageModelV4StreamPart): AgentEvent[] {
    if (part.type === 'tool-input-start') return this.#begin(part.id, part.toolName)
    if (part.type === 'tool-input-delta') return this.#grow(part)
    if (part.type === 'tool-call') return this.#complete(part)
    if (part.type === 'tool-result' && !part.preliminary) return this.#takeResult(part)
    return []
  }

  /** Ends what the step cut off. A complete call that is not ours stays open: its provider may answer in a later step. */
  close(): AgentEvent[] {
    const error = { code: 'invalid-arguments', message: 'The arguments were cut off.' }
    const left = this.#all.filter(({ isComplete }) => !isComplete)
    return left.flatMap(({ toolCallId, tool }) =>
      this.#openCalls.end(toolCallId) ? [{ type: 'tool-call-error', toolCallId, tool, error }] : [],
    )
  }

  #begin(id: string, tool: string): AgentEvent[] {
    const toolCallId = this.#openCalls.begin(id, tool)
    const input = { toolCallId, tool, text: '', isComplete: false }
    this.#inputs.set(id, input)
    this.#all.push(input)
    return [{ type: 'tool-call-start', toolCallId, tool }]
  }

  #grow({ id, delta }: PartOf<'tool-input-delta'>): AgentEvent[] {
    const input = this.#inputs.get(id)
    if (!input || input.isComplete || delta === '') return []
    input.text += delta
    return [{ type: 'tool-call-args', toolCallId: input.toolCallId, tool: input.tool, delta }]
  }

  #complete(part: PartOf<'tool-call'>): AgentEvent[] {
    const known = this.#inputs.get(part.toolCallId)
    const started = known && !known.isComplete ? [] : this.#begin(part.toolCallId, part.toolName)
    const input = this.#inputs.get(part.toolCallId)
    if (!input) return started
    const { toolCallId, tool } = input
    const delta = part.input.startsWith(input.text) ? part.input.slice(input.text.length) : ''
    input.isComplete = true
    const parsed = parseArgs(part.input)
    this.#content.add({
      type: 'tool-call',
      toolCallId,
      toolName: tool,
      input: isJsonObject(parsed.args) ? parsed.args : {},
      ...(part.providerExecuted && { providerExecuted: true }),
      ...providerOptions(part),
    })
    if (!part.providerExecuted) this.mine.push({ toolCallId, tool, ...parsed })
    return [...started, { type: 'tool-call-args', toolCallId, tool, delta, ...parsed }]
  }

  /** Of a tool that the provider executes: nothing of it is ours to do. */
  #takeResult(part: PartOf<'tool-result'>): AgentEvent[] {
    const known = this.#inputs.get(part.toolCallId)
    // A provider may answer in a later step than that of the call.
    const isDeferred = !known && this.#openCalls.has(part.toolCallId)
    const started = known || isDeferred ? [] : this.#begin(part.toolCallId, part.toolName)
    const toolCallId = this.#inputs.get(part.toolCallId)?.toolCallId ?? part.toolCallId
    const tool = part.toolName
    const value: JSONValue = part.result
    this.#openCalls.end(toolCallId)
    this.#content.add({
      type: 'tool-result',
      toolCallId,
      toolName: tool,
      output: part.isError ? { type: 'error-json', value } : { type: 'json', value },
      ...providerOptions(part),
    })
    if (!part.isError)
      return [...started, { type: 'tool-call-result', toolCallId, tool, result: part.result }]
    const message = typeof part.result === 'string' ? part.result : 'The tool failed.'
    return [
      ...started,
      { type: 'tool-call-error', toolCallId, tool, error: { code: 'tool-failed', message } },
    ]
  }
}

/** The arguments of a call; none at all stand for no arguments. */
function parseArgs(text: string): { args?: unknown } {
  if (text.trim() === '') return { args: {} }
  try {
    return { args: toJsonValue(JSON.parse(text)) }
  } catch {
    return {}
  }
}
