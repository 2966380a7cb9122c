import type { AssistantContent, ModelMessage, ToolContent, ToolResultPart, UserContent } from 'ai'
import type { Message, MessagePart, ToolPart } from '@turnpike/protocol'
import { isJsonObject, toJsonValue } from '../tool-result.ts'

type FilePart = Extract<MessagePart, { type: 'file' }>
type Parts<Content> = Exclude<Content, string>
type ToolOutput = ToolResultPart['output']

/**
 * A thread as the AI SDK wants it.
 *
 * Every tool call has a result: one that its run left open gets an error, one whose arguments never became complete
 * is left out. Reasoning is left out, too: providers take it back only with signatures that a thread does not keep.
 */
export function toModelMessages(messages: readonly Message[]): ModelMessage[] {
  return messages.flatMap((message) => (message.role === 'user' ? fromUser(message) : fromAssistant(message)))
}

/** Errors for the calls that nobody answers, but for those in `answered`. */
export function resultsForOpenCalls(
  messages: readonly ModelMessage[],
  answered: ReadonlySet<string>,
): ToolResultPart[] {
  const open = new Map<string, ToolResultPart>()
  for (const message of messages) {
    if (typeof message.content === 'string') continue
    for (const part of message.content) {
      if (part.type === 'tool-result') open.delete(part.toolCallId)
      if (part.type !== 'tool-call' || part.providerExecuted || answered.has(part.toolCallId)) continue
      open.set(part.toolCallId, resultOf(part, { type: 'error-text', value: 'The call got no result.' }))
    }
  }
  return [...open.values()]
}

function fromUser({ parts }: Message): ModelMessage[] {
  const content: Parts<UserContent> = []
  for (const part of parts) {
    if (part.type === 'text' && part.text !== '') content.push({ type: 'text', text: part.text })
    if (part.type === 'file') content.push(fromFile(part))
  }
  return content.length > 0 ? [{ role: 'user', content }] : []
}

/** A file whose URL nobody may fetch becomes a remark: thrown away, it would be missed; an error would end the thread. */
function fromFile({ mediaType, url, data }: FilePart): Parts<UserContent>[number] {
  if (data !== undefined) return { type: 'file', mediaType, data: { type: 'data', data } }
  const address = URL.parse(url ?? '')
  if (!address || !['https:', 'http:', 'data:'].includes(address.protocol)) {
    return { type: 'text', text: `[A file of type ${mediaType} could not be read.]` }
  }
  return { type: 'file', mediaType, data: { type: 'url', url: address } }
}

/** Text that follows tools belongs to the step after them, which begins once their results are there. */
function fromAssistant({ parts }: Message): ModelMessage[] {
  const messages: ModelMessage[] = []
  let content: Parts<AssistantContent> = []
  let results: ToolContent = []
  const flush = (): void => {
    if (content.length > 0) messages.push({ role: 'assistant', content })
    if (results.length > 0) messages.push({ role: 'tool', content: results })
    content = []
    results = []
  }
  for (const part of parts) {
    if (part.type === 'text' && part.text !== '') {
      if (results.length > 0) flush()
      content.push({ type: 'text', text: part.text })
    }
    if (part.type !== 'tool' || part.args === undefined) continue
    const call = { toolCallId: part.toolCallId, toolName: part.tool }
    content.push({ type: 'tool-call', ...call, input: isJsonObject(part.args) ? part.args : {} })
    results.push(resultOf(call, outputOf(part)))
  }
  flush()
  return messages
}

function resultOf(call: { toolCallId: string; toolName: string }, output: ToolOutput): ToolResultPart {
  return { type: 'tool-result', toolCallId: call.toolCallId, toolName: call.toolName, output }
}

function outputOf({ state, result, error, approval }: ToolPart): ToolOutput {
  if (state === 'done') {
    return typeof result === 'string'
      ? { type: 'text', value: result }
      : { type: 'json', value: toJsonValue(result) }
  }
  if (error?.code === 'denied' || approval?.approved === false) {
    const reason = approval?.reason
    return { type: 'execution-denied', ...(reason !== undefined && { reason }) }
  }
  return { type: 'error-text', value: error?.message ?? 'The run ended before this call.' }
}
