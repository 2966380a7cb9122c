import { type Runnable, createAgent } from '@turnpike/agents'
import { MockLanguageModelV4, convertArrayToReadableStream } from 'ai/test'

type Part = Parameters<typeof convertArrayToReadableStream<never>>[0]

/** A call that a model makes, or what it says at last. */
export type Turn = { readonly tool: string; readonly args: unknown } | string

const usage = {
  inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 1, text: 1, reasoning: 0 },
}

/** A model with a script, over and over. `seen` is told what tools it has at each step. */
export function callingModel(turns: readonly Turn[], seen: string[][] = []): MockLanguageModelV4 {
  let step = 0
  return new MockLanguageModelV4({
    doStream: async (options) => {
      seen.push((options.tools ?? []).map(({ name }) => name))
      const turn = turns[step++ % turns.length] ?? ''
      return { stream: convertArrayToReadableStream(partsOf(turn, `call-${step}`) as Part) }
    },
  })
}

/** An agent on such a model. */
export function callingAgent(
  turns: readonly Turn[],
  tools: readonly string[],
  seen: string[][] = [],
): Runnable {
  return createAgent({ name: 'caller', register: false, model: callingModel(turns, seen), tools })
}

function partsOf(turn: Turn, toolCallId: string): readonly object[] {
  if (typeof turn === 'string') {
    return [
      { type: 'text-start', id: 't' },
      { type: 'text-delta', id: 't', delta: turn },
      { type: 'text-end', id: 't' },
      { type: 'finish', finishReason: { unified: 'stop', raw: 'stop' }, usage },
    ]
  }
  const { tool: toolName, args } = turn
  return [
    { type: 'tool-call', toolCallId, toolName, input: JSON.stringify(args) },
    { type: 'finish', finishReason: { unified: 'tool-calls', raw: 'tool-calls' }, usage },
  ]
}
