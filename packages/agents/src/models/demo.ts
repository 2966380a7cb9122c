import { setTimeout as sleep } from 'node:timers/promises'
import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4Content,
  LanguageModelV4GenerateResult,
  LanguageModelV4StreamPart,
} from '@ai-sdk/provider'
import { readPrompt } from './demo-prompt.ts'
import { nextTurn } from './demo-showcase.ts'
import { brokenTurn, plainTurn } from './demo-talk.ts'
import { partsOf } from './demo-turn.ts'

export interface DemoModelOptions {
  /** How fast it talks; 0 is as fast as possible. @default 40 */
  readonly tokensPerSecond?: number
  /** Of the small irregularities of its pace. @default 1 */
  readonly seed?: number
}

type Finish = Extract<LanguageModelV4StreamPart, { type: 'finish' }>

/**
 * A language model that needs no network and no key, and answers the same to the same prompt.
 *
 * Without tools it talks plainly; told to fail, it fails. With those of the showcase it calls them one after the other, as the prompt shows what
 * has been called since the user's last message; tools that it does not know it leaves alone.
 */
export function demoModel(options: DemoModelOptions = {}): LanguageModelV4 {
  const { tokensPerSecond = 40, seed = 1 } = options

  async function* talk(call: LanguageModelV4CallOptions): AsyncGenerator<LanguageModelV4StreamPart> {
    const random = randomFrom(seed)
    for (const part of answer(call)) {
      call.abortSignal?.throwIfAborted()
      if (tokensPerSecond > 0 && part.type.endsWith('-delta')) {
        const delayMs = (1000 / tokensPerSecond) * (0.6 + 0.8 * random())
        await sleep(delayMs, undefined, call.abortSignal && { signal: call.abortSignal })
      }
      yield part
    }
  }

  return {
    specificationVersion: 'v4',
    provider: 'turnpike',
    modelId: 'demo',
    supportedUrls: {},
    doStream: (call) => Promise.resolve({ stream: ReadableStream.from(talk(call)) }),
    doGenerate: (call) => collect(talk(call)),
  }
}

function answer(call: LanguageModelV4CallOptions): Iterable<LanguageModelV4StreamPart> {
  const prompt = readPrompt(call.prompt)
  const tools = call.toolChoice?.type === 'none' ? [] : (call.tools ?? [])
  const offered = new Set(tools.map(({ name }) => name))
  const turn = brokenTurn(prompt) ?? nextTurn(prompt, offered) ?? plainTurn(prompt)
  const isJson = call.responseFormat?.type === 'json'
  return partsOf(turn, {
    inputTokens: prompt.tokens,
    warnings: isJson ? [{ type: 'unsupported', feature: 'responseFormat' }] : [],
  })
}

async function collect(
  parts: AsyncIterable<LanguageModelV4StreamPart>,
): Promise<LanguageModelV4GenerateResult> {
  const content: LanguageModelV4Content[] = []
  const warnings: LanguageModelV4GenerateResult['warnings'] = []
  let finish: Finish | undefined
  for await (const part of parts) {
    if (part.type === 'stream-start') warnings.push(...part.warnings)
    else if (part.type === 'text-start') content.push({ type: 'text', text: '' })
    else if (part.type === 'reasoning-start') content.push({ type: 'reasoning', text: '' })
    else if (part.type === 'text-delta' || part.type === 'reasoning-delta') append(content, part.delta)
    else if (part.type === 'tool-call') content.push(part)
    else if (part.type === 'error') throw part.error
    else if (part.type === 'finish') finish = part
  }
  if (!finish) throw new Error('The answer has no end.')
  const { finishReason, usage } = finish
  return { content, finishReason, usage, warnings }
}

function append(content: LanguageModelV4Content[], delta: string): void {
  const last = content.at(-1)
  if (last?.type === 'text' || last?.type === 'reasoning') last.text += delta
}

/** Numbers from 0 to below 1, the same for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
