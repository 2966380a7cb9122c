import { ToolLoopAgent, jsonSchema, tool } from 'ai'
import { MockLanguageModelV4 } from 'ai/test'
import { describe, expect, test } from 'vitest'
import { type RunInput, defaultRegistry } from '@turnpike/agents'
import { type AISDKAgent, type AISDKPart, fromAISDKAgent, isAISDKAgent } from '@turnpike/agents/ai-sdk'
import { type MessagePart, GatewayError } from '@turnpike/protocol'
import {
  type Part,
  type FinishUnified,
  cityInput,
  finish,
  say,
  call,
  calls,
  mockModel,
  turns,
  serve,
  message,
  text,
  contextOf,
  record,
  short,
  ofType,
  expectFailed,
  aborted,
  weather,
} from './ai-sdk-stage.ts'

describe('the conversation', () => {
  test('text, reasoning, steps and a tool in order, with the usage of all steps', async () => {
    const model = turns(
      [
        { type: 'reasoning-start', id: 'r' },
        { type: 'reasoning-delta', id: 'r', delta: 'hm' },
        { type: 'reasoning-end', id: 'r' },
        ...call('weather', '{"city":"Oslo"}'),
        finish('tool-calls', 10, 5),
      ],
      say('It is ', '21.'),
    )
    const run = await record(serve({ model, tools: { weather } }))
    expect(run.yields.map(short)).toEqual([
      'step-start',
      'reasoning:hm',
      'tool-call-start:c1',
      'tool-call-args:c1',
      'tool-call-args:c1',
      'tool-call-args:c1',
      'tool-call-result:c1',
      'step-finish',
      'step-start',
      'It is ',
      '21.',
      'step-finish',
    ])
    expect(ofType(run, 'tool-call-args').map(({ delta, args }) => [delta, args])).toEqual([
      ['{"c', undefined],
      ['ity":"Oslo"}', undefined],
      ['', { city: 'Oslo' }],
    ])
    expect(ofType(run, 'tool-call-result')[0]?.result).toEqual({ city: 'Oslo', degrees: 21 })
    expect(ofType(run, 'step-start').map(({ step }) => step)).toEqual([0, 1])
    expect(ofType(run, 'step-finish')).toMatchObject([
      { step: 0, finishReason: 'tool-calls', usage: { inputTokens: 10, outputTokens: 5 } },
      { step: 1, finishReason: 'stop' },
    ])
    expect(run.outcome).toMatchObject({
      finishReason: 'stop',
      usage: {
        inputTokens: 20,
        outputTokens: 10,
        providerMetrics: { steps: [{ modelId: 'mock-1' }, { modelId: 'mock-1' }] },
      },
    })
  })

  test.each<[FinishUnified, string]>([
    ['length', 'length'],
    ['content-filter', 'content-filter'],
    ['other', 'stop'],
    ['interrupted', 'stop'],
  ])('a model that ends with %s finishes as %s', async (unified, ours) => {
    const run = await record(serve({ model: turns([...say('a').slice(0, -1), finish(unified)]) }))
    expect(run.outcome?.finishReason).toBe(ours)
  })

  test('a client-side tool ends the run as tool-calls', async () => {
    const ask = tool({ inputSchema: cityInput, outputSchema: jsonSchema<string>({ type: 'string' }) })
    const run = await record(serve({ model: turns(calls(call('ask', '{"city":"x"}'))), tools: { ask } }))
    expect(run.outcome?.finishReason).toBe('tool-calls')
  })

  test('history and files become messages in which every call has its result', async () => {
    const model = turns(say('ok'))
    const tool1: MessagePart = {
      type: 'tool',
      toolCallId: 'a',
      tool: 'weather',
      args: { city: 'Oslo' },
      state: 'done',
    }
    await record(serve({ model, tools: { weather } }), {
      history: [
        message('user', text('first')),
        message(
          'assistant',
          { type: 'reasoning', text: 'hm' },
          text('Let me see. '),
          { ...tool1, result: { degrees: 21 } },
          { ...tool1, toolCallId: 'b', state: 'failed', error: { code: 'denied', message: 'no' } },
          { ...tool1, toolCallId: 'c', state: 'running', args: 'not an object' },
          { type: 'tool', toolCallId: 'd', tool: 'weather', state: 'arguments' },
          text('21.'),
        ),
        message('assistant'),
      ],
      parts: [
        text('look'),
        { type: 'file', mediaType: 'image/png', data: 'aGk=' },
        { type: 'file', mediaType: 'image/png', url: 'file:///etc/passwd' },
      ],
    })
    const prompt = model.doStreamCalls[0]?.prompt ?? []
    expect(prompt.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant', 'user'])
    expect(prompt[1]?.content).toMatchObject([
      { type: 'text', text: 'Let me see. ' },
      { type: 'tool-call', toolCallId: 'a', input: { city: 'Oslo' } },
      { type: 'tool-call', toolCallId: 'b' },
      { type: 'tool-call', toolCallId: 'c', input: {} },
    ])
    expect(prompt[2]?.content).toMatchObject([
      { toolCallId: 'a', output: { type: 'json', value: { degrees: 21 } } },
      { toolCallId: 'b', output: { type: 'execution-denied' } },
      { toolCallId: 'c', output: { type: 'error-text' } },
    ])
    expect(prompt[4]?.content).toMatchObject([
      { type: 'text', text: 'look' },
      { type: 'file', mediaType: 'image/png', data: { type: 'data', data: 'aGk=' } },
      { type: 'text', text: '[A file of type image/png could not be read.]' },
    ])
  })
})

describe('stopping', () => {
  test.each([['a string'], [new DOMException('stop', 'AbortError')], [undefined]])(
    'an abort in the middle of text, with %s as its reason, reaches the model and ends the run quietly',
    async (reason) => {
      const stop = new AbortController()
      const reached = Promise.withResolvers<void>()
      const model = mockModel(({ abortSignal }) => {
        void aborted(abortSignal).then(reached.resolve)
        return new ReadableStream<Part>({
          start(controller) {
            for (const part of say('one ', 'two ').slice(0, 4)) controller.enqueue(part)
          },
        })
      })
      const run = await record(serve({ model }), {
        signal: stop.signal,
        onYield: (value) => {
          if (value === 'one ') stop.abort(reason)
        },
      })
      await reached.promise
      expect([run.error, run.outcome]).toEqual([undefined, undefined])
      expect(run.yields).not.toContain('two ')
    },
  )

  test('an abort in the middle of a tool reaches it, and closes its progress', async () => {
    const stop = new AbortController()
    const reached = Promise.withResolvers<void>()
    const slow = tool({
      inputSchema: cityInput,
      async *execute(_input, { abortSignal }) {
        yield { progress: 0.3 }
        await aborted(abortSignal)
        reached.resolve()
      },
    })
    const run = await record(serve({ model: turns(calls(call('slow', '{"city":"x"}'))), tools: { slow } }), {
      signal: stop.signal,
      onYield: (value) => {
        if (typeof value !== 'string' && value.type === 'run-update') stop.abort()
      },
    })
    await reached.promise
    expect([run.error, run.outcome]).toEqual([undefined, undefined])
    expect(run.emitted).toEqual([
      { type: 'run-update', background: { id: 'c1', name: 'slow', status: 'cancelled', progress: 0.3 } },
    ])
  })

  test('a tool that ignores the abort does not hold the run', async () => {
    const stop = new AbortController()
    const deaf = tool({
      inputSchema: cityInput,
      execute: () => {
        setImmediate(() => stop.abort())
        return new Promise<string>(() => {})
      },
    })
    const model = turns(calls(call('deaf', '{"city":"x"}')))
    const run = await record(serve({ model, tools: { deaf } }), { signal: stop.signal })
    expect([run.error, run.outcome]).toEqual([undefined, undefined])
  })

  test('a run that is aborted before it begins calls no model', async () => {
    const model = turns(say('a'))
    const run = await record(serve({ model }), { signal: AbortSignal.abort() })
    expect([run.yields, run.error, model.doStreamCalls.length]).toEqual([[], undefined, 0])
  })

  test('leaving the run early stops the model', async () => {
    const reached = Promise.withResolvers<void>()
    const model = mockModel(({ abortSignal }) => {
      void aborted(abortSignal).then(reached.resolve)
      return new ReadableStream<Part>({
        start(controller) {
          for (const part of say('one ').slice(0, 3)) controller.enqueue(part)
        },
      })
    })
    const context = contextOf({}, [], [])
    const input: RunInput = { text: 'hi', message: message('user', text('hi')), history: [] }
    for await (const value of serve({ model }).run(input, context)) if (value === 'one ') break
    await reached.promise
  })

  test('a run that has finished aborts nothing', async () => {
    let signal: AbortSignal | undefined
    const model = mockModel((options) => {
      signal = options.abortSignal
      return say('ok')
    })
    await record(serve({ model }))
    expect(signal?.aborted).toBe(false)
  })

  test('an agent that gives up by itself has failed', async () => {
    const model = mockModel(() => new ReadableStream<Part>())
    expectFailed(await record(serve({ model, timeout: 10 })))
  })
})

describe('failures', () => {
  const boom = new Error('boom: key=secret')

  test('an error part of the model', async () => {
    const parts: Part[] = [...say('half').slice(0, 3), { type: 'error', error: boom }, finish('error')]
    const run = await record(serve({ model: turns(parts) }))
    expectFailed(run, boom)
    expect(run.yields).toContain('half')
    expect(String(run.error)).not.toContain('secret')
  })

  test('a model that finishes with an error and says no more', async () => {
    expectFailed(await record(serve({ model: turns([...say('half').slice(0, -1), finish('error')]) })))
  })

  test('a model that refuses the call, where the stream just ends', async () => {
    const model = new MockLanguageModelV4({ doStream: () => Promise.reject(boom) })
    expectFailed(await record(serve({ model })), boom)
  })

  test('a model whose stream breaks in the middle', async () => {
    const model = mockModel(() => {
      const parts = say('half').slice(0, 3)
      return new ReadableStream<Part>({
        pull(controller) {
          const part = parts.shift()
          if (part) controller.enqueue(part)
          else controller.error(boom)
        },
      })
    })
    const run = await record(serve({ model }))
    expectFailed(run, boom)
    expect(run.yields).toContain('half')
  })

  test('a model that fails in its second step', async () => {
    const model = mockModel((_, count) => {
      if (count > 0) throw boom
      return calls(call('weather', '{"city":"Oslo"}'))
    })
    const run = await record(serve({ model, tools: { weather } }))
    expectFailed(run, boom)
    expect(ofType(run, 'tool-call-result')).toHaveLength(1)
  })

  test('an agent that cannot prepare its call', async () => {
    const prepareCall = (): never => {
      throw boom
    }
    expectFailed(await record(serve({ model: turns(say('a')), prepareCall })), boom)
  })
})

describe('other agents', () => {
  const by = (streams: object, id?: string): AISDKAgent => ({
    version: 'agent-v1',
    id,
    stream: async () => streams,
  })
  async function* parts(...list: AISDKPart[]): AsyncGenerator<AISDKPart> {
    yield* list
  }
  const hello: AISDKPart = { type: 'text-delta', id: 't', text: 'hello' }

  test('the old name of the stream works', async () => {
    const usage = new ToolLoopAgent({ model: turns(say('x')) }).stream({ prompt: 'x' })
    const totalUsage = await (await usage).totalUsage
    const done: AISDKPart = { type: 'finish', finishReason: 'stop', rawFinishReason: undefined, totalUsage }
    const run = await record(
      fromAISDKAgent(by({ fullStream: parts(hello, done) }, 'old'), { register: false }),
    )
    expect([run.yields, run.outcome?.finishReason]).toEqual([['hello'], 'stop'])
  })

  test('a stream without finish, and none at all, have failed', async () => {
    expectFailed(await record(fromAISDKAgent(by({ stream: parts(hello) }, 'a'), { register: false })))
    expectFailed(await record(fromAISDKAgent(by({}, 'a'), { register: false })))
  })

  test('what it tells about itself, and where it is registered', () => {
    const agent = new ToolLoopAgent({ id: 'forecast', model: turns(), tools: { weather } })
    const served = fromAISDKAgent(agent, { description: 'Knows the weather.' })
    expect(defaultRegistry.get('forecast')).toBe(served)
    defaultRegistry.remove('forecast')
    expect(served.info).toEqual({
      name: 'forecast',
      kind: 'agent',
      description: 'Knows the weather.',
      model: 'mock-1',
      provider: 'mock',
      tools: ['weather'],
      hasStructuredOutput: false,
    })
  })

  test('what is no agent, or has no name, is refused', () => {
    expect(isAISDKAgent({ version: 'agent-v1' })).toBe(false)
    expect(() => fromAISDKAgent(JSON.parse('{"version":"agent-v2"}'))).toThrow(GatewayError)
    expect(() => fromAISDKAgent(by({}))).toThrow(GatewayError)
  })
})
