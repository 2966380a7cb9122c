import { ToolLoopAgent, jsonSchema, tool } from 'ai'
import { MockLanguageModelV4, convertArrayToReadableStream } from 'ai/test'
import { expect, test } from 'vitest'
import type { Runnable } from '@turnpike/agents'
import { fromAISDKAgent } from '@turnpike/agents/ai-sdk'
import { openEventStream } from '@turnpike/testkit'
import { serve } from './server.ts'

const usage = {
  inputTokens: { total: 3, noCache: 3, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 5, text: 5, reasoning: 0 },
}

function adder(): Runnable {
  const add = tool({
    inputSchema: jsonSchema<{ a: number; b: number }>({ type: 'object' }),
    execute: async ({ a, b }) => a + b,
  })
  const model = new MockLanguageModelV4({
    doStream: [
      {
        stream: convertArrayToReadableStream([
          { type: 'text-start', id: 't' },
          { type: 'text-delta', id: 't', delta: 'Hi ' },
          { type: 'text-end', id: 't' },
          { type: 'tool-call', toolCallId: 'c1', toolName: 'add', input: '{"a":1,"b":2}' },
          { type: 'finish', finishReason: { unified: 'tool-calls', raw: undefined }, usage },
        ]),
      },
      {
        stream: convertArrayToReadableStream([
          { type: 'text-start', id: 't' },
          { type: 'text-delta', id: 't', delta: '3' },
          { type: 'text-end', id: 't' },
          { type: 'finish', finishReason: { unified: 'stop', raw: undefined }, usage },
        ]),
      },
    ],
  })
  return fromAISDKAgent(new ToolLoopAgent({ id: 'adder', model, tools: { add } }), { register: false })
}

test('an agent of the AI SDK is served over the wire', async () => {
  await using server = await serve([adder()])
  await using stream = await openEventStream({
    url: `${server.baseUrl}/agents/adder/chat/stream`,
    body: { message: '1 + 2?' },
  })
  const events: { event: string; data: unknown }[] = []
  for await (const event of stream.events) events.push(event)
  expect(events.map(({ event }) => event)).toEqual([
    'start',
    'step-start',
    'text-delta',
    'tool-call-start',
    'tool-call-args',
    'tool-call-result',
    'step-finish',
    'step-start',
    'text-delta',
    'step-finish',
    'finish',
  ])
  expect(events.at(-1)?.data).toMatchObject({
    finishReason: 'stop',
    text: 'Hi 3',
    steps: 2,
    usage: { inputTokens: 6, outputTokens: 10 },
  })
})
