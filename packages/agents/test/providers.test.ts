import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { z } from 'zod'
import type { LocalRunOptions } from '../src/local-run.ts'
import type { Model } from '../src/model.ts'
import { anthropic } from '../src/models/anthropic.ts'
import { google } from '../src/models/google.ts'
import { openaiCompatible } from '../src/models/openai-compatible.ts'
import { openai } from '../src/models/openai.ts'
import { defineTool } from '../src/tool.ts'
import { type Answer, anthropicMessage, chatCompletion, startProvider } from './provider-server.ts'
import { testAgent } from './run-agent.ts'

const weather = defineTool({
  name: 'weather',
  description: 'The weather of a city.',
  parameters: z.object({ city: z.string() }),
  execute: ({ city }) => `${city}: -3 °C`,
})

async function told(model: Model, options: LocalRunOptions = {}) {
  const stream = testAgent({ model, tools: [weather], instructions: 'Be brief.' }).stream(
    'How cold?',
    options,
  )
  let reasoning = ''
  let args = ''
  for await (const value of stream) {
    if (typeof value === 'string') continue
    if (value.type === 'text-delta' && value.channel === 'reasoning') reasoning += value.delta
    if (value.type === 'tool-call-args') args += value.delta
  }
  return { ...(await stream.result), reasoning, args }
}

const toolCall = (index: number, more: object): object => ({ tool_calls: [{ index, ...more }] })
const chat: Answer[] = [
  chatCompletion(
    [
      { role: 'assistant', content: '' },
      { content: 'Let me ' },
      { content: 'see 🌦. ' },
      toolCall(0, { id: 'c1', type: 'function', function: { name: 'weather', arguments: '' } }),
      toolCall(0, { function: { arguments: '{"city":"Os' } }),
      toolCall(0, { function: { arguments: 'lo"}' } }),
      toolCall(1, {
        id: 'c2',
        type: 'function',
        function: { name: 'weather', arguments: '{"city":"Röst"}' },
      }),
    ],
    'tool_calls',
  ),
  chatCompletion([{ role: 'assistant', content: 'It is ' }, { content: '-3 °C.' }], 'stop'),
]
const twoCalls = [
  { toolCallId: 'c1', tool: 'weather', args: { city: 'Oslo' }, result: 'Oslo: -3 °C' },
  { toolCallId: 'c2', tool: 'weather', args: { city: 'Röst' }, result: 'Röst: -3 °C' },
]

const message: Answer[] = [
  anthropicMessage(
    [
      {
        start: { type: 'thinking', thinking: '', signature: '' },
        deltas: [
          { type: 'thinking_delta', thinking: 'They ask ' },
          { type: 'thinking_delta', thinking: 'for °C.' },
          { type: 'signature_delta', signature: 'c2lnbmVk' },
        ],
      },
      { start: { type: 'text', text: '' }, deltas: [{ type: 'text_delta', text: 'Let me see. ' }] },
      {
        start: { type: 'tool_use', id: 'c1', name: 'weather', input: {} },
        deltas: ['', '{"city": "Os', 'lo"}'].map((json) => ({
          type: 'input_json_delta',
          partial_json: json,
        })),
      },
      {
        start: { type: 'tool_use', id: 'c2', name: 'weather', input: {} },
        deltas: [{ type: 'input_json_delta', partial_json: '{"city":"Röst"}' }],
      },
    ],
    'tool_use',
  ),
  anthropicMessage(
    [{ start: { type: 'text', text: '' }, deltas: [{ type: 'text_delta', text: 'It is -3 °C.' }] }],
    'end_turn',
  ),
]

describe.each([1, 7, 64, 1_000_000])('in pieces of %d bytes', (pieceBytes) => {
  test.each<[string, (url: string) => Model]>([
    ['openai()', (url) => openai('m', { baseURL: url, apiKey: 'sk' })],
    ['openaiCompatible()', (url) => openaiCompatible({ baseURL: url, apiKey: 'sk' })('m')],
  ])('what chat completions stream is what %s tells', async (_, modelAt) => {
    await using provider = await startProvider(chat, pieceBytes)
    const result = await told(modelAt(provider.url))
    expect(result).toMatchObject({
      text: 'Let me see 🌦. It is -3 °C.',
      finishReason: 'stop',
      steps: 2,
      toolCalls: twoCalls,
    })
    expect(result.args).toBe('{"city":"Oslo"}{"city":"Röst"}')
    expect(result.usage).toMatchObject({
      inputTokens: 14,
      outputTokens: 6,
      providerMetrics: { prompt_tokens: 14 },
    })
    expect(provider.asked[1]?.path).toBe('/chat/completions')
    expect(provider.asked[1]?.body).toMatchObject({
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user' },
        { role: 'assistant', content: 'Let me see 🌦. ', tool_calls: [{ id: 'c1' }, { id: 'c2' }] },
        { role: 'tool', tool_call_id: 'c1', content: 'Oslo: -3 °C' },
        { role: 'tool', tool_call_id: 'c2', content: 'Röst: -3 °C' },
      ],
      tools: [{ type: 'function', function: { name: 'weather' } }],
    })
  })

  test('what messages stream is what anthropic() tells, and their signatures go back', async () => {
    await using provider = await startProvider(message, pieceBytes)
    const result = await told(anthropic('claude-sonnet-4-5', { baseURL: provider.url, apiKey: 'sk' }))
    expect(result).toMatchObject({
      text: 'Let me see. It is -3 °C.',
      finishReason: 'stop',
      steps: 2,
      toolCalls: twoCalls,
    })
    expect(result.reasoning).toBe('They ask for °C.')
    expect(result.args).toBe('{"city": "Oslo"}{"city":"Röst"}')
    expect(provider.asked[1]?.path).toBe('/messages')
    expect(provider.asked[1]?.body).toMatchObject({
      messages: [
        { role: 'user' },
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'They ask for °C.', signature: 'c2lnbmVk' },
            { type: 'text' },
            { type: 'tool_use', id: 'c1', input: { city: 'Oslo' } },
            { type: 'tool_use', id: 'c2' },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'c1' },
            { type: 'tool_result', tool_use_id: 'c2' },
          ],
        },
      ],
    })
  })
})

test.each<[string, readonly Answer[], (url: string) => Model]>([
  ['openai()', chat, (url) => openai('m', { baseURL: url, apiKey: 'sk' })],
  ['anthropic()', message, (url) => anthropic('claude-sonnet-4-5', { baseURL: url, apiKey: 'sk' })],
])('the steps of a run of %s share one connection', async (_, answers, modelAt) => {
  await using provider = await startProvider(answers)
  const tools = [{ ...weather, execute: () => new Promise((resolve) => setTimeout(resolve, 20)) }]
  await testAgent({ model: modelAt(provider.url), tools }).generate('How cold?')
  expect(provider.asked).toHaveLength(2)
  expect(provider.connections).toBe(1)
})

test('reasoning of compatible servers is told', async () => {
  const deltas = [
    { role: 'assistant', reasoning_content: 'So ' },
    { reasoning_content: 'cold.' },
    { content: 'Yes.' },
  ]
  await using provider = await startProvider([chatCompletion(deltas, 'stop')], 3)
  const result = await told(openaiCompatible({ baseURL: provider.url, name: 'here' })('m'))
  expect(result).toMatchObject({ reasoning: 'So cold.', text: 'Yes.' })
})

describe('the key of the caller', () => {
  test.each<[string, (url: string) => Model, string, string]>([
    ['openai()', (url) => openai('m', { baseURL: url, apiKey: 'own' }), 'authorization', 'Bearer caller'],
    ['anthropic()', (url) => anthropic('m', { baseURL: url, apiKey: 'own' }), 'x-api-key', 'caller'],
    [
      'anthropic() with a token',
      (url) => anthropic('m', { baseURL: url, authToken: 'own' }),
      'x-api-key',
      'caller',
    ],
    ['google()', (url) => google('m', { baseURL: url, apiKey: 'own' }), 'x-goog-api-key', 'caller'],
    [
      'openaiCompatible()',
      (url) => openaiCompatible({ baseURL: url, apiKey: 'own' })('m'),
      'authorization',
      'Bearer caller',
    ],
  ])('wins over that of %s, and a refused one is told as such', async (_, modelAt, ...[header, value]) => {
    await using provider = await startProvider([
      { status: 401, body: { error: { message: 'bad key: caller' } } },
    ])
    const refused = told(modelAt(provider.url), { apiKey: 'caller' })
    await expect(refused).rejects.toMatchObject({
      code: 'model-unauthorized',
      message: expect.not.stringContaining('caller'),
    })
    expect(provider.asked[0]?.headers[header]).toBe(value)
    expect(JSON.stringify(provider.asked[0]?.headers)).not.toContain('own')
  })
})

test('a provider that is busy is asked again after the time it names', async () => {
  const busy: Answer = {
    status: 429,
    headers: { 'retry-after-ms': '2' },
    body: { error: { message: 'slow down' } },
  }
  await using provider = await startProvider([busy, busy, chatCompletion([{ content: 'Now.' }], 'stop')])
  expect((await told(openai('m', { baseURL: provider.url, apiKey: 'sk' }))).text).toBe('Now.')
})

test('a provider that breaks off fails the run', async () => {
  await using provider = await startProvider([
    { events: [{ choices: [{ index: 0, delta: { content: 'Hel' } }] }] },
  ])
  const broken = told(openaiCompatible({ baseURL: provider.url })('m'))
  await expect(broken).rejects.toMatchObject({ code: 'model-failed' })
})

test('OPENAI_BASE_URL makes openai() speak chat completions', async () => {
  await using provider = await startProvider([chatCompletion([{ content: 'Hi.' }], 'stop')])
  onTestFinished(() => void vi.unstubAllEnvs())
  vi.stubEnv('OPENAI_BASE_URL', provider.url)
  vi.stubEnv('OPENAI_API_KEY', 'from-env')
  const model = openai('gpt-4o')
  expect([model.modelId, model.provider]).toEqual(['gpt-4o', 'openai'])
  expect((await told(model)).text).toBe('Hi.')
  expect(provider.asked[0]).toMatchObject({
    path: '/chat/completions',
    headers: { authorization: 'Bearer from-env' },
  })
  vi.stubEnv('OPENAI_BASE_URL', '')
  expect((await model({ principal: { id: 'a' } })).provider).toBe('openai.responses')
})

test('a model without a key fails the run as such', async () => {
  onTestFinished(() => void vi.unstubAllEnvs())
  vi.stubEnv('ANTHROPIC_API_KEY', undefined)
  await expect(told(anthropic('claude'))).rejects.toMatchObject({ code: 'model-unauthorized' })
  const broken = Object.assign(() => Promise.reject(new Error('no model today')), { modelId: 'm' })
  await expect(told(broken)).rejects.toMatchObject({ code: 'model-failed' })
})

test('the names of models are told without a key', () => {
  expect(testAgent({ model: anthropic('claude') }).info).toMatchObject({
    model: 'claude',
    provider: 'anthropic',
  })
  expect(testAgent({ model: google('gemini') }).info).toMatchObject({ model: 'gemini', provider: 'google' })
  const here = openaiCompatible({ baseURL: 'http://localhost', name: 'here' })
  expect(testAgent({ model: here('m') }).info).toMatchObject({ model: 'm', provider: 'here' })
})
