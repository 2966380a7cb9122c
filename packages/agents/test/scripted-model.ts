import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4FinishReason,
  LanguageModelV4StreamPart,
} from '@ai-sdk/provider'

type Part = LanguageModelV4StreamPart

/** One call of the model: its parts, or what makes a stream, or an error to reject with. */
export type Turn =
  | readonly Part[]
  | Error
  | ((options: LanguageModelV4CallOptions) => ReadableStream<Part> | Promise<ReadableStream<Part>>)

/** A model that answers its calls with one turn after the other, and keeps what it was asked. */
export class ScriptedModel implements LanguageModelV4 {
  readonly specificationVersion = 'v4'
  readonly provider = 'scripted'
  readonly modelId = 'scripted-1'
  readonly supportedUrls = {}
  readonly asked: LanguageModelV4CallOptions[] = []
  readonly #turns: Turn[]

  constructor(...turns: Turn[]) {
    this.#turns = turns
  }

  async doStream(options: LanguageModelV4CallOptions): Promise<{ stream: ReadableStream<Part> }> {
    this.asked.push(options)
    const turn = this.#turns[this.asked.length - 1]
    if (turn === undefined) throw new Error('The script has no more turns.')
    if (turn instanceof Error) throw turn
    return { stream: typeof turn === 'function' ? await turn(options) : streamOf(turn) }
  }

  doGenerate(): never {
    throw new Error('Nobody generates.')
  }

  /** The prompt of a call, as JSON. */
  prompt(call: number): unknown {
    return JSON.parse(JSON.stringify(this.asked[call]?.prompt))
  }
}

/** A stream of parts that a test may leave open, or end with an error. */
export function streamOf(
  parts: readonly Part[],
  end: 'close' | 'hang' | Error = 'close',
): ReadableStream<Part> {
  let next = 0
  return new ReadableStream<Part>({
    pull(controller) {
      const part = parts[next++]
      if (part) return controller.enqueue(part)
      if (end === 'close') return controller.close()
      if (end instanceof Error) return controller.error(end)
      return new Promise<void>(() => {})
    },
  })
}

export function text(...deltas: string[]): Part[] {
  return [
    { type: 'text-start', id: 't' },
    ...deltas.map((delta): Part => ({ type: 'text-delta', id: 't', delta })),
    { type: 'text-end', id: 't' },
  ]
}

export function reasoning(...deltas: string[]): Part[] {
  return [
    { type: 'reasoning-start', id: 'r' },
    ...deltas.map((delta): Part => ({ type: 'reasoning-delta', id: 'r', delta })),
    { type: 'reasoning-end', id: 'r', providerMetadata: { scripted: { signature: 'signed' } } },
  ]
}

/** A call whose arguments come in one piece. */
export function call(toolCallId: string, toolName: string, args: unknown): Part[] {
  const input = typeof args === 'string' ? args : JSON.stringify(args)
  return [{ type: 'tool-call', toolCallId, toolName, input }]
}

/** A call whose arguments come in pieces. */
export function streamedCall(toolCallId: string, toolName: string, pieces: readonly string[]): Part[] {
  return [
    { type: 'tool-input-start', id: toolCallId, toolName },
    ...pieces.map((delta): Part => ({ type: 'tool-input-delta', id: toolCallId, delta })),
    { type: 'tool-input-end', id: toolCallId },
    { type: 'tool-call', toolCallId, toolName, input: pieces.join('') },
  ]
}

export function finish(
  unified: LanguageModelV4FinishReason['unified'] = 'stop',
  usage: { input?: number; output?: number; raw?: Record<string, number> } = {},
): Part[] {
  const { input = 10, output = 5, raw } = usage
  return [
    {
      type: 'finish',
      finishReason: { unified, raw: unified },
      usage: {
        inputTokens: { total: input, noCache: input, cacheRead: 0, cacheWrite: 0 },
        outputTokens: { total: output, text: output, reasoning: 0 },
        ...(raw && { raw }),
      },
    },
  ]
}

export function says(...deltas: string[]): Part[] {
  return [...text(...deltas), ...finish()]
}

export function calls(...parts: Part[][]): Part[] {
  return [...parts.flat(), ...finish('tool-calls')]
}
