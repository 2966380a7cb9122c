import type {
  LanguageModelV4CallOptions,
  LanguageModelV4Message,
  LanguageModelV4StreamPart,
  LanguageModelV4ToolResultOutput,
} from '@ai-sdk/provider'
import { expect, test } from 'vitest'
import { type DemoModelOptions, demoModel } from '../src/models/demo.ts'

const SHOWCASE = [
  'recall_memory',
  'get_weather',
  'check_traffic',
  'write_document',
  'revise_document',
  'remember',
  'index_documents',
  'send_postcard',
]

type Call = Extract<LanguageModelV4StreamPart, { type: 'tool-call' }>

function user(text: string): LanguageModelV4Message {
  return { role: 'user', content: [{ type: 'text', text }] }
}

function assistant(text: string): LanguageModelV4Message {
  return { role: 'assistant', content: [{ type: 'text', text }] }
}

function toolsNamed(names: readonly string[]): NonNullable<LanguageModelV4CallOptions['tools']> {
  return names.map((name) => ({ type: 'function', name, inputSchema: {} }))
}

async function stream(call: LanguageModelV4CallOptions, options: DemoModelOptions = { tokensPerSecond: 0 }) {
  const parts: LanguageModelV4StreamPart[] = []
  const { stream: readable } = await demoModel(options).doStream(call)
  for await (const part of readable) parts.push(part)
  return parts
}

function textOf(parts: readonly LanguageModelV4StreamPart[]): string {
  return parts.map((part) => (part.type === 'text-delta' ? part.delta : '')).join('')
}

function callsOf(parts: readonly LanguageModelV4StreamPart[]): Call[] {
  return parts.filter((part) => part.type === 'tool-call')
}

const RESULTS: Record<string, LanguageModelV4ToolResultOutput> = {
  recall_memory: { type: 'json', value: { memories: [{ text: 'Likes soup.', score: 1 }] } },
  get_weather: { type: 'json', value: { city: 'Kyoto', sky: 'light rain', celsius: 17 } },
  check_traffic: { type: 'error-text', value: 'The traffic office is closed.' },
  write_document: { type: 'json', value: { documentId: 'doc-1', version: 1, title: 'A day in Kyoto' } },
  revise_document: { type: 'json', value: { documentId: 'doc-1', version: 2 } },
}

/** Plays turn after turn, with the results given, until a turn calls nothing. */
async function play(names: readonly string[], results: Record<string, LanguageModelV4ToolResultOutput> = {}) {
  const prompt = [user('Plan a day in Kyoto.')]
  const turns: LanguageModelV4StreamPart[][] = []
  for (let count = 0; count < 20; count++) {
    const parts = await stream({ prompt, tools: toolsNamed(names) })
    turns.push(parts)
    const calls = callsOf(parts)
    if (calls.length === 0) return { turns, prompt }
    prompt.push(
      {
        role: 'assistant',
        content: calls.map(({ toolCallId, toolName, input }) => {
          return { type: 'tool-call', toolCallId, toolName, input: JSON.parse(input) }
        }),
      },
      {
        role: 'tool',
        content: calls.map(({ toolCallId, toolName }) => {
          const output = { ...RESULTS, ...results }[toolName] ?? { type: 'json', value: {} }
          return { type: 'tool-result', toolCallId, toolName, output }
        }),
      },
    )
  }
  throw new Error('It never comes to an end.')
}

test('without tools it talks: what was said, how many messages came before, in many deltas', async () => {
  const parts = await stream({
    prompt: [user('one'), assistant('…'), user('two'), assistant('…'), user('hello')],
  })
  expect(parts[0]).toEqual({ type: 'stream-start', warnings: [] })
  expect(parts[1]).toMatchObject({ type: 'text-start' })
  expect(parts.at(-2)).toMatchObject({ type: 'text-end' })
  expect(parts.filter(({ type }) => type === 'text-delta').length).toBeGreaterThan(10)
  expect(textOf(parts)).toContain('You said: “hello”. I see 2 earlier messages')
  expect(parts.at(-1)).toMatchObject({
    type: 'finish',
    finishReason: { unified: 'stop' },
    usage: { inputTokens: { total: 4 }, outputTokens: { total: parts.length - 4, reasoning: 0 } },
  })
})

test('it tells a long story where one is asked for', async () => {
  const text = textOf(await stream({ prompt: [user('Tell me a long story')] }))
  expect(text.split(/\s+/).length).toBeGreaterThan(300)
  expect(text).toContain('tollhouse')
})

test.each([[[]], [[{ role: 'system', content: 'Be kind.' }]], [[user('')]], [[assistant('I began.')]]])(
  'it answers the prompt %j, too',
  async (prompt) => {
    const text = textOf(await stream({ prompt: prompt as LanguageModelV4Message[] }))
    expect(text).toContain('nothing that I can read')
  },
)

test('a long message is quoted in part, never through a character', async () => {
  const text = textOf(await stream({ prompt: [user(`.${'🚪'.repeat(2_000)}`)] }))
  expect(text).toContain(`“.${'🚪'.repeat(149)} …”`)
})

test('the showcase calls its tools in order, two of them at once', async () => {
  const { turns, prompt } = await play(SHOWCASE)
  expect(turns.map((parts) => callsOf(parts).map(({ toolName }) => toolName))).toEqual([
    ['recall_memory'],
    ['get_weather', 'check_traffic'],
    ['write_document'],
    ['revise_document'],
    ['remember'],
    ['index_documents'],
    ['send_postcard'],
    [],
  ])
  expect(turns[0]?.some(({ type }) => type === 'reasoning-delta')).toBe(true)
  const ids = turns.flatMap(callsOf).map(({ toolCallId }) => toolCallId)
  expect(new Set(ids).size).toBe(8)
  const text = textOf(turns.at(-1) ?? [])
  for (const part of [
    'Likes soup.',
    'light rain, 17 °C',
    'office is closed',
    '“A day in Kyoto”',
    'version 2',
  ]) {
    expect(text).toContain(part)
  }
  expect(text).toContain('Thank you for the approval')
  // A further message begins anew, with ids of its own.
  const again = await stream({ prompt: [...prompt, user('Again')], tools: toolsNamed(SHOWCASE) })
  expect(callsOf(again)).toMatchObject([{ toolName: 'recall_memory' }])
  expect(ids).not.toContain(callsOf(again)[0]?.toolCallId)
})

test('arguments come in several deltas that make up the call, inside of their turn', async () => {
  const { turns } = await play(SHOWCASE)
  for (const parts of turns.slice(0, -1)) {
    expect(parts.at(-1)).toMatchObject({ type: 'finish', finishReason: { unified: 'tool-calls' } })
    for (const call of callsOf(parts)) {
      const own = parts.filter((part) => 'id' in part && part.id === call.toolCallId)
      expect(own[0]).toMatchObject({ type: 'tool-input-start', toolName: call.toolName })
      expect(own.at(-1)).toMatchObject({ type: 'tool-input-end' })
      const deltas = own.filter((part) => part.type === 'tool-input-delta').map(({ delta }) => delta)
      expect(deltas.length).toBeGreaterThan(1)
      expect(deltas.join('')).toBe(call.input)
    }
  }
})

test.each<[string, LanguageModelV4ToolResultOutput, string]>([
  ['denied', { type: 'execution-denied', reason: 'not today' }, 'did not approve the postcard (not today)'],
  ['denied without a reason', { type: 'execution-denied' }, 'did not approve the postcard, so'],
  ['failed', { type: 'error-text', value: 'no stamps' }, 'The postcard was not sent: no stamps'],
])('it says that the postcard was %s', async (_name, output, said) => {
  const { turns } = await play(SHOWCASE, { send_postcard: output })
  expect(textOf(turns.at(-1) ?? [])).toContain(said)
  expect(textOf(turns.at(-1) ?? [])).not.toContain('Thank you')
})

test('steps without their tool are skipped, and a document that was not written is not revised', async () => {
  const called = (turns: LanguageModelV4StreamPart[][]) =>
    turns.map((parts) => callsOf(parts).map(({ toolName }) => toolName))
  expect(called((await play(['check_traffic', 'remember', 'other'])).turns)).toEqual([
    ['check_traffic'],
    ['remember'],
    [],
  ])
  const failed = await play(['write_document', 'revise_document'], {
    write_document: { type: 'error-text', value: 'no paper' },
  })
  expect(called(failed.turns)).toEqual([['write_document'], []])
  expect(textOf(failed.turns[1] ?? [])).toContain('write_document failed: no paper')
})

test('with tools it does not know, or may not call, it talks plainly', async () => {
  const prompt = [user('hello')]
  expect(textOf(await stream({ prompt, tools: toolsNamed(['launch']) }))).toContain('You said: “hello”')
  const tools = toolsNamed(SHOWCASE)
  expect(textOf(await stream({ prompt, tools, toolChoice: { type: 'none' } }))).toContain('You said')
})

test('told to fail, it breaks off in the middle', async () => {
  const call = { prompt: [user('Fail, please')] }
  const parts = await stream(call)
  expect(textOf(parts)).toContain('I begin')
  expect(parts.at(-2)).toMatchObject({ type: 'error', error: expect.any(Error) })
  expect(parts.at(-1)).toMatchObject({ type: 'finish', finishReason: { unified: 'error' } })
  await expect(demoModel({ tokensPerSecond: 0 }).doGenerate(call)).rejects.toThrow('where it is asked to')
})

test('the same prompt gets the same answer', async () => {
  const call = { prompt: [user('Plan a day')], tools: toolsNamed(SHOWCASE) }
  expect(await stream(call)).toEqual(await stream(call))
})

test('it takes about its time', async () => {
  const startedAt = performance.now()
  const parts = await stream({ prompt: [user('hello')] }, { tokensPerSecond: 400 })
  const deltas = parts.filter(({ type }) => type === 'text-delta').length
  expect(performance.now() - startedAt).toBeGreaterThan((deltas / 400) * 1000 * 0.6)
})

test('an abort ends the stream at once, in the middle of a pause', async () => {
  const abort = new AbortController()
  const call = { prompt: [user('hello')], abortSignal: abort.signal }
  const { stream: readable } = await demoModel({ tokensPerSecond: 0.01 }).doStream(call)
  const reader = readable.getReader()
  await reader.read()
  await reader.read()
  const pending = reader.read()
  abort.abort()
  await expect(pending).rejects.toMatchObject({ name: 'AbortError' })
  const again = await demoModel({ tokensPerSecond: 0 }).doStream(call)
  await expect(again.stream.getReader().read()).rejects.toMatchObject({ name: 'AbortError' })
})

test('doGenerate gives what doStream streams', async () => {
  const call = { prompt: [user('Plan a day')], tools: toolsNamed(SHOWCASE) }
  const parts = await stream(call)
  const result = await demoModel({ tokensPerSecond: 0 }).doGenerate({
    ...call,
    responseFormat: { type: 'json' },
  })
  expect(result).toMatchObject({
    content: [{ type: 'reasoning', text: expect.stringContaining('I remember') }, callsOf(parts)[0]],
    finishReason: { unified: 'tool-calls' },
    warnings: [{ type: 'unsupported', feature: 'responseFormat' }],
  })
  expect(parts.at(-1)).toMatchObject({ usage: result.usage })
})
