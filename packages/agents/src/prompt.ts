import type {
  LanguageModelV4FilePart,
  LanguageModelV4Message,
  LanguageModelV4Prompt,
  LanguageModelV4TextPart,
  LanguageModelV4ToolCallPart,
  LanguageModelV4ToolResultPart,
} from '@ai-sdk/provider'
import type { Message, ToolPart } from '@turnpike/protocol'
import type { ErrorBody } from '@turnpike/protocol'
import { isJsonObject, toJsonValue } from './tool-result.ts'

type FileMessagePart = Extract<Message['parts'][number], { type: 'file' }>

/** What a model is asked: the instructions, what was said before, and the message. */
export interface PromptInput {
  readonly instructions?: string
  readonly history: readonly Message[]
  readonly message: Message
}

/**
 * The prompt of a run.
 *
 * What providers refuse is repaired: a call without a result gets an error for one, messages that hold nothing are left
 * out. What was cut off or failed stays with the text it had; reasoning stays out.
 */
export function promptOf({ instructions, history, message }: PromptInput): LanguageModelV4Prompt {
  const system: LanguageModelV4Prompt = instructions ? [{ role: 'system', content: instructions }] : []
  return [...system, ...[...history, message].flatMap(messagesOf)]
}

function messagesOf(message: Message): LanguageModelV4Message[] {
  return message.role === 'user' ? userMessages(message) : assistantMessages(message)
}

function userMessages({ parts }: Message): LanguageModelV4Message[] {
  const content = parts.flatMap((part): (LanguageModelV4TextPart | LanguageModelV4FilePart)[] => {
    if (part.type === 'file') return [filePart(part)]
    return part.type === 'text' && part.text.trim() !== '' ? [{ type: 'text', text: part.text }] : []
  })
  return content.length === 0 ? [] : [{ role: 'user', content }]
}

/** One message of a thread may hold several steps of a run: each is what was said, then calls, then their results. */
function assistantMessages({ parts }: Message): LanguageModelV4Message[] {
  const steps: Step[] = []
  for (const part of parts) {
    if (part.type === 'tool') {
      lastStep(steps).calls.push(part)
      continue
    }
    const said = saidBy(part)
    if (!said) continue
    if (lastStep(steps).calls.length > 0) steps.push({ said: [], calls: [] })
    lastStep(steps).said.push(said)
  }
  return steps.flatMap(stepMessages)
}

interface Step {
  readonly said: (LanguageModelV4TextPart | LanguageModelV4FilePart)[]
  readonly calls: ToolPart[]
}

function lastStep(steps: Step[]): Step {
  const last = steps.at(-1)
  if (last) return last
  const step: Step = { said: [], calls: [] }
  steps.push(step)
  return step
}

function saidBy(part: Message['parts'][number]): Step['said'][number] | undefined {
  if (part.type === 'file') return filePart(part)
  return part.type === 'text' && part.text.trim() !== '' ? { type: 'text', text: part.text } : undefined
}

function stepMessages({ said, calls }: Step): LanguageModelV4Message[] {
  if (said.length === 0 && calls.length === 0) return []
  const assistant: LanguageModelV4Message = { role: 'assistant', content: [...said, ...calls.map(callPart)] }
  return calls.length === 0 ? [assistant] : [assistant, { role: 'tool', content: calls.map(resultPart) }]
}

function callPart({ toolCallId, tool, args }: ToolPart): LanguageModelV4ToolCallPart {
  return { type: 'tool-call', toolCallId, toolName: tool, input: isJsonObject(args) ? args : {} }
}

function resultPart(part: ToolPart): LanguageModelV4ToolResultPart {
  const { toolCallId, tool, error, result } = part
  if (error) return failedPart(part, error)
  if (part.state === 'done' || result !== undefined) return succeededPart({ toolCallId, tool }, result)
  return failedPart(part, { code: 'cancelled', message: 'The call was cut off before it had a result.' })
}

/** The result of a call, for the model. */
export function succeededPart(
  { toolCallId, tool }: { toolCallId: string; tool: string },
  result: unknown,
): LanguageModelV4ToolResultPart {
  const output =
    typeof result === 'string'
      ? { type: 'text' as const, value: result }
      : { type: 'json' as const, value: toJsonValue(result) }
  return { type: 'tool-result', toolCallId, toolName: tool, output }
}

/** The failure of a call, for the model. */
export function failedPart(
  { toolCallId, tool }: { toolCallId: string; tool: string },
  { code, message }: ErrorBody,
): LanguageModelV4ToolResultPart {
  const output =
    code === 'denied'
      ? { type: 'execution-denied' as const, reason: message }
      : { type: 'error-text' as const, value: message }
  return { type: 'tool-result', toolCallId, toolName: tool, output }
}

/** Nothing is fetched here: a URL goes to the provider, and only one that it can fetch. */
function filePart({
  mediaType,
  url,
  data,
}: FileMessagePart): LanguageModelV4FilePart | LanguageModelV4TextPart {
  if (data !== undefined) return { type: 'file', mediaType, data: { type: 'data', data } }
  const inline = /^data:[^,]*;base64,(.*)$/s.exec(url ?? '')
  if (inline) return { type: 'file', mediaType, data: { type: 'data', data: inline[1] ?? '' } }
  const parsed = URL.parse(url ?? '')
  if (parsed && /^https?:$/.test(parsed.protocol)) {
    return { type: 'file', mediaType, data: { type: 'url', url: parsed } }
  }
  return { type: 'text', text: `[a file of type ${mediaType} that cannot be read]` }
}
