import type { LanguageModelV4Prompt } from '@ai-sdk/provider'

/** The calls of a run that were told of and have not ended; and ids that no two calls of a thread share. */
export class OpenCalls {
  readonly #open = new Map<string, string>()
  readonly #used: Set<string>

  constructor(prompt: LanguageModelV4Prompt) {
    this.#used = new Set(prompt.flatMap(callIds))
  }

  /** Some models count their calls anew in each step; the id that stands for this one in events and prompt. */
  begin(id: string, tool: string): string {
    let unique = id
    for (let count = 2; this.#used.has(unique); count++) unique = `${id}-${count}`
    this.#used.add(unique)
    this.#open.set(unique, tool)
    return unique
  }

  /** A call that was told of in an earlier part of the run. */
  reopen(toolCallId: string, tool: string): void {
    this.#open.set(toolCallId, tool)
  }

  has(toolCallId: string): boolean {
    return this.#open.has(toolCallId)
  }

  /** Tells whether it was open. */
  end(toolCallId: string): boolean {
    return this.#open.delete(toolCallId)
  }

  list(): { toolCallId: string; tool: string }[] {
    return [...this.#open].map(([toolCallId, tool]) => ({ toolCallId, tool }))
  }
}

function callIds(message: LanguageModelV4Prompt[number]): string[] {
  if (message.role !== 'assistant') return []
  return message.content.flatMap((part) => (part.type === 'tool-call' ? [part.toolCallId] : []))
}
