import type { LanguageModelV4Message, LanguageModelV4ToolResultPart } from '@ai-sdk/provider'

/** How a call of a tool went. */
export interface DemoResult {
  readonly tool: string
  readonly status: 'done' | 'failed' | 'denied'
  readonly value: unknown
}

/** What the model looks at in a prompt. */
export interface DemoPrompt {
  /** The text of the user's last message. */
  readonly text: string
  /** The user's messages before that. */
  readonly earlier: number
  /** The tools that were called since that message. */
  readonly called: ReadonlySet<string>
  /** The results since that message, by tool. */
  readonly results: ReadonlyMap<string, DemoResult>
  /** About as many as a tokenizer would count. */
  readonly tokens: number
}

/** Reads a prompt for what decides the next turn. */
export function readPrompt(messages: readonly LanguageModelV4Message[]): DemoPrompt {
  const last = messages.findLastIndex(({ role }) => role === 'user')
  const since = messages.slice(last + 1).flatMap(partsOf)
  const results = since.filter((part) => part.type === 'tool-result').map(resultOf)
  const calls = since.filter((part) => part.type === 'tool-call').map(({ toolName }) => toolName)
  const chars = messages.reduce((sum, message) => sum + charsOf(message), 0)
  return {
    text: messages
      .slice(last, last + 1)
      .flatMap(partsOf)
      .map(textOf)
      .join('\n')
      .trim(),
    earlier: messages.slice(0, Math.max(0, last)).filter(({ role }) => role === 'user').length,
    called: new Set([...calls, ...results.map(({ tool }) => tool)]),
    results: new Map(results.map((result) => [result.tool, result])),
    tokens: Math.ceil(chars / 4),
  }
}

type Part = Exclude<LanguageModelV4Message['content'], string>[number]

function partsOf(message: LanguageModelV4Message): readonly Part[] {
  return message.role === 'system' ? [] : message.content
}

function textOf(part: Part): string {
  return part.type === 'text' || part.type === 'reasoning' ? part.text : ''
}

function charsOf(message: LanguageModelV4Message): number {
  if (message.role === 'system') return message.content.length
  return partsOf(message).reduce((sum, part) => {
    if (part.type === 'tool-call') return sum + sizeOf(part.input)
    return sum + (part.type === 'tool-result' ? sizeOf(part.output) : textOf(part).length)
  }, 0)
}

function sizeOf(value: unknown): number {
  return JSON.stringify(value)?.length ?? 0
}

function resultOf({ toolName: tool, output }: LanguageModelV4ToolResultPart): DemoResult {
  switch (output.type) {
    case 'json':
    case 'content':
      return { tool, status: 'done', value: output.value }
    case 'text':
      return { tool, status: 'done', value: parsed(output.value) }
    case 'error-json':
    case 'error-text':
      return { tool, status: 'failed', value: output.value }
    case 'execution-denied':
      return { tool, status: 'denied', value: output.reason }
    default:
      return output satisfies never
  }
}

/** Some hosts give a model every result as text. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
