import type { ModelMessage, TextStreamPart, ToolSet } from 'ai'

/** One part of what an agent of the AI SDK streams. */
export type AISDKPart = TextStreamPart<ToolSet>

/** What this adapter reads of a call's result. */
export interface AISDKStream {
  readonly stream?: AsyncIterable<AISDKPart>
  /** What `stream` was called before AI SDK 7. */
  readonly fullStream?: AsyncIterable<AISDKPart>
  /** All that the call added to the conversation; needed to go on after an approval. */
  readonly responseMessages?: PromiseLike<ModelMessage[]>
  /** Where `responseMessages` were before AI SDK 7. */
  readonly response?: PromiseLike<{ readonly messages: ModelMessage[] }>
}

/** An agent of the AI SDK that streams: a `ToolLoopAgent`, or any other `Agent` without required call options. */
export interface AISDKAgent {
  readonly version: 'agent-v1'
  readonly id?: string | undefined
  readonly tools?: object
  stream(options: { messages: ModelMessage[]; abortSignal?: AbortSignal }): PromiseLike<AISDKStream>
}

/** Tells whether a value is an agent of the AI SDK. */
export function isAISDKAgent(value: unknown): value is AISDKAgent {
  return (
    isObject(value) &&
    'version' in value &&
    value.version === 'agent-v1' &&
    'stream' in value &&
    typeof value.stream === 'function'
  )
}

/** What an agent tells about itself; `settings` is where `ToolLoopAgent` keeps it, and optional. */
export function describeAISDKAgent(agent: AISDKAgent): {
  readonly model: string | null
  readonly provider: string | null
  readonly tools: readonly string[]
  readonly hasStructuredOutput: boolean
} {
  const settings = fieldOf(agent, 'settings')
  const model = fieldOf(settings, 'model')
  const output = fieldOf(settings, 'output')
  return {
    model: textOrNull(typeof model === 'string' ? model : fieldOf(model, 'modelId')),
    provider: textOrNull(fieldOf(model, 'provider')),
    tools: Object.keys(agent.tools ?? {}),
    hasStructuredOutput: isObject(output) && fieldOf(output, 'name') !== 'text',
  }
}

/** A field of something whose shape is not known. */
export function fieldOf(value: unknown, name: string): unknown {
  return isObject(value) ? Reflect.get(value, name) : undefined
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}
