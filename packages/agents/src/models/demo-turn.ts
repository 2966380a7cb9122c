import type {
  LanguageModelV4FinishReason,
  LanguageModelV4StreamPart,
  LanguageModelV4Usage,
  SharedV4Warning,
} from '@ai-sdk/provider'

/** One call of a tool, with an id that no other call of the thread has. */
export interface TurnCall {
  readonly id: string
  readonly tool: string
  readonly input: unknown
}

/** What the model says in one turn, before it is cut into tokens. */
export interface Turn {
  readonly reasoning?: string
  readonly text?: string
  readonly calls?: readonly TurnCall[]
  /** Ends it as a provider does that breaks in the middle of an answer. */
  readonly failure?: string
}

interface TurnFrame {
  readonly inputTokens: number
  readonly warnings: SharedV4Warning[]
}

const ARGUMENT_CHARS = 8

/** The parts of a turn, as a provider streams them. */
export function* partsOf(
  turn: Turn,
  { inputTokens, warnings }: TurnFrame,
): Iterable<LanguageModelV4StreamPart> {
  const { calls = [] } = turn
  const reasoning = tokensOf(turn.reasoning)
  const text = tokensOf(turn.text)
  const inputs = calls.map(({ input }) => piecesOf(JSON.stringify(input)))
  yield { type: 'stream-start', warnings }
  yield* block('reasoning', reasoning)
  yield* block('text', text)
  for (const [index, call] of calls.entries()) yield* callParts(call, inputs[index] ?? [])
  if (turn.failure !== undefined) yield { type: 'error', error: new Error(turn.failure) }
  const written = text.length + inputs.flat().length
  const usage = usageOf({ inputTokens, written, reasoned: reasoning.length })
  yield { type: 'finish', finishReason: finishReasonOf(turn), usage }
}

function finishReasonOf({ calls = [], failure }: Turn): LanguageModelV4FinishReason {
  if (failure !== undefined) return { unified: 'error', raw: 'error' }
  return calls.length > 0 ? { unified: 'tool-calls', raw: 'tool_calls' } : { unified: 'stop', raw: 'stop' }
}

function* block(kind: 'text' | 'reasoning', tokens: readonly string[]): Iterable<LanguageModelV4StreamPart> {
  if (tokens.length === 0) return
  yield { type: `${kind}-start`, id: kind }
  for (const delta of tokens) yield { type: `${kind}-delta`, id: kind, delta }
  yield { type: `${kind}-end`, id: kind }
}

function* callParts(
  { id, tool, input }: TurnCall,
  pieces: readonly string[],
): Iterable<LanguageModelV4StreamPart> {
  yield { type: 'tool-input-start', id, toolName: tool }
  for (const delta of pieces) yield { type: 'tool-input-delta', id, delta }
  yield { type: 'tool-input-end', id }
  yield { type: 'tool-call', toolCallId: id, toolName: tool, input: JSON.stringify(input) }
}

function usageOf(counts: { inputTokens: number; written: number; reasoned: number }): LanguageModelV4Usage {
  const { inputTokens, written, reasoned } = counts
  return {
    inputTokens: { total: inputTokens, noCache: inputTokens, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: written + reasoned, text: written, reasoning: reasoned },
  }
}

/** A word with the space behind it is a token: no tokenizer says so, but it reads as if one did. */
function tokensOf(text = ''): readonly string[] {
  return text.match(/\S+\s*/g) ?? []
}

/** Cut between characters, so that each piece is text of its own. */
function piecesOf(json: string): readonly string[] {
  return json.match(new RegExp(`.{1,${ARGUMENT_CHARS}}`, 'gsu')) ?? []
}
