import { describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import * as mini from 'zod/mini'
import { Agent } from '../src/agent.ts'
import { createAgent } from '../src/create-agent.ts'
import type { ModelRequest } from '../src/model.ts'
import { modelFactory } from '../src/model.ts'
import { defaultRegistry } from '../src/registry.ts'
import { defineTool } from '../src/tool.ts'
import { testAgent, user } from './run-agent.ts'
import {
  ScriptedModel,
  type Turn,
  call,
  calls,
  finish,
  reasoning,
  says,
  streamOf,
  text,
} from './scripted-model.ts'

const add = defineTool({
  name: 'add',
  description: 'Adds.',
  parameters: mini.object({ a: mini.number(), b: mini._default(mini.number(), 10) }),
  execute: ({ a, b }) => a + b,
})
const pay = defineTool({
  name: 'pay',
  description: 'Pays.',
  parameters: z.object({ amount: z.number() }),
  needsApproval: ({ amount }) => amount > 5,
  execute: ({ amount }) => `paid ${amount}`,
})

describe('an agent', () => {
  test('tells what it is, and joins the registry unless told not to', () => {
    const model = new ScriptedModel()
    const agent = new Agent({
      name: 'registered',
      description: 'd',
      llm: model,
      tools: [add],
      output: z.object({}),
    })
    expect(agent.info).toEqual({
      name: 'registered',
      kind: 'agent',
      description: 'd',
      model: 'scripted-1',
      provider: 'scripted',
      tools: ['add'],
      hasStructuredOutput: true,
    })
    expect(defaultRegistry.get('registered')).toBe(agent)
    defaultRegistry.remove('registered')
    createAgent({ name: 'hidden', model, register: false })
    expect(defaultRegistry.get('hidden')).toBeUndefined()
  })

  test('needs a name, a model of this version and tools with names that providers take', () => {
    const model = new ScriptedModel()
    const make =
      (options: object): (() => Agent) =>
      () =>
        new Agent({ name: 'a', model, register: false, ...options })
    for (const wrong of [
      { name: '' },
      { name: 'x'.repeat(257) },
      { model: undefined },
      { model: { specificationVersion: 'v1' } },
      { tools: [{ ...add, name: 'no spaces' }] },
    ]) {
      expect(make(wrong)).toThrow(expect.objectContaining({ code: 'invalid-payload' }))
    }
  })

  test('gives the caller and its key to what makes the model, each run anew', async () => {
    const asked: ModelRequest[] = []
    const names = { modelId: 'm-1', provider: 'p' }
    const model = modelFactory(names, (request) => (asked.push(request), new ScriptedModel(says('x'))))
    const agent = testAgent({ model })
    expect(agent.info).toMatchObject({ model: 'm-1', provider: 'p' })
    await agent.generate('hi', { apiKey: 'sk-caller', principal: { id: 'ann' } })
    await agent.generate('hi')
    expect(asked).toEqual([
      { principal: { id: 'ann' }, apiKey: 'sk-caller' },
      { principal: { id: 'anonymous' } },
    ])
  })
})

describe('generate', () => {
  test('gives the whole run', async () => {
    const model = new ScriptedModel(
      calls(reasoning('hm'), text('So: '), call('c', 'add', { a: 1 })),
      says('1', '1'),
    )
    const result = await testAgent({ model, tools: [add] }).generate('hi', { temperature: 0, maxTokens: 9 })
    expect(result).toEqual({
      text: 'So: 11',
      finishReason: 'stop',
      steps: 2,
      usage: { inputTokens: 20, outputTokens: 10 },
      toolCalls: [{ toolCallId: 'c', tool: 'add', args: { a: 1 }, result: 11 }],
    })
    expect(model.asked[0]).toMatchObject({ temperature: 0, maxOutputTokens: 9 })
  })

  test('takes a message with files, and a history', async () => {
    const model = new ScriptedModel(says('x'))
    const parts = [
      { type: 'text' as const, text: 'see' },
      { type: 'file' as const, mediaType: 'image/png', data: 'AQID' },
    ]
    await testAgent({ model }).generate({ message: { parts } }, { history: [user('before')] })
    expect(model.asked[0]?.prompt).toMatchObject([
      { content: [{ text: 'before' }] },
      { content: [{ text: 'see' }, { type: 'file' }] },
    ])
  })

  test('rejects as the run fails', async () => {
    const model = new ScriptedModel(new Error('x'))
    await expect(testAgent({ model }).generate('hi')).rejects.toMatchObject({ code: 'model-failed' })
  })

  test('that is aborted has what was said', async () => {
    const abort = new AbortController()
    const model = new ScriptedModel(() => streamOf(text('Hel', 'lo'), 'hang'))
    const stream = testAgent({ model }).stream('hi', { signal: abort.signal })
    const seen: unknown[] = []
    for await (const value of stream) {
      seen.push(value)
      if (value === 'lo') abort.abort()
    }
    expect(seen.slice(1)).toEqual(['Hel', 'lo'])
    expect(await stream.result).toMatchObject({ text: 'Hello', finishReason: 'cancelled', steps: 1 })
  })

  test('denies what needs approval, unless somebody decides', async () => {
    const script = (): ScriptedModel =>
      new ScriptedModel(calls(call('p', 'pay', { amount: 6 }), call('q', 'pay', { amount: 7 })), says('x'))
    const denied = await testAgent({ model: script(), tools: [pay] }).generate('hi')
    expect(denied.toolCalls.map(({ error }) => error?.code)).toEqual(['denied', 'denied'])
    const onApproval = vi.fn(({ toolCallId }) => toolCallId === 'p' || { approved: false, reason: 'enough' })
    const decided = await testAgent({ model: script(), tools: [pay] }).generate('hi', { onApproval })
    expect(onApproval).toHaveBeenCalledTimes(2)
    expect(decided.toolCalls).toMatchObject([
      { result: 'paid 6' },
      { error: { code: 'denied', message: 'The call was denied: enough' } },
    ])
    expect(decided).toMatchObject({ steps: 2, usage: { inputTokens: 20 } })
  })
})

describe('stream', () => {
  test('tells text and events in order, those of tools as they happen', async () => {
    const gate = Promise.withResolvers<void>()
    const tool = defineTool({
      name: 'work',
      description: 'Works.',
      parameters: z.object({}),
      async *execute(_, context) {
        yield 0.5
        await gate.promise
        await context.artifacts.create({ kind: 'code', title: 'T', content: 'c' })
        await context.memories.write('remember')
        return (await context.memories.recall('remember')).length
      },
    })
    const model = new ScriptedModel(calls(call('c', 'work', {})), says('x'))
    const types: string[] = []
    for await (const value of testAgent({ model, tools: [tool] }).stream('hi')) {
      types.push(typeof value === 'string' ? 'text' : value.type)
      if (types.at(-1) === 'run-update') gate.resolve()
    }
    expect(types).toEqual([
      'step-start',
      'tool-call-start',
      'tool-call-args',
      'run-update',
      'artifact-created',
      'memory-write',
      'memory-recall-result',
      'run-update',
      'tool-call-result',
      'step-finish',
      'step-start',
      'text',
      'step-finish',
    ])
  })

  test('throws to its reader as the run fails', async () => {
    const stream = testAgent({ model: new ScriptedModel(text('Hel')) }).stream('hi')
    const seen: unknown[] = []
    const read = async (): Promise<void> => {
      for await (const value of stream) seen.push(value)
    }
    await expect(read()).rejects.toMatchObject({ code: 'model-failed' })
    expect(seen).toContain('Hel')
  })

  test('is stopped by a reader who leaves, and not by one who never came', async () => {
    const model = new ScriptedModel(() => streamOf(text('Hel'), 'hang'), says('all of it'))
    const agent = testAgent({ model })
    const stream = agent.stream('hi')
    for await (const value of stream) if (value === 'Hel') break
    expect(await stream.result).toMatchObject({ finishReason: 'cancelled', text: 'Hel' })
    expect(await agent.stream('hi').result).toMatchObject({ finishReason: 'stop', text: 'all of it' })
  })
})

describe('executeTool', () => {
  const agent = testAgent({ model: new ScriptedModel(), tools: [add, pay] })

  test('gives the result; arguments are checked, and filled in', async () => {
    expect(await agent.executeTool('add', { a: 1 })).toBe(11)
    expect(await agent.executeTool('pay', { amount: 5 })).toBe('paid 5')
  })

  test('refuses unknown tools, arguments that do not fit, and what needs approval unless it is approved', async () => {
    await expect(agent.executeTool('toString', {})).rejects.toMatchObject({ code: 'unknown-tool' })
    await expect(agent.executeTool('add', { a: '1' })).rejects.toMatchObject({ code: 'invalid-arguments' })
    await expect(agent.executeTool('pay', { amount: 6 })).rejects.toMatchObject({ code: 'approval-required' })
    expect(await agent.executeTool('pay', { amount: 6 }, { approved: true })).toBe('paid 6')
  })

  test('ends with its signal', async () => {
    const stuck = defineTool({
      name: 'stuck',
      description: '',
      parameters: z.object({}),
      execute: () => new Promise(() => {}),
    })
    const executing = testAgent({ model: new ScriptedModel(), tools: [stuck] }).executeTool(
      'stuck',
      {},
      { signal: AbortSignal.timeout(5) },
    )
    await expect(executing).rejects.toMatchObject({ code: 'cancelled' })
  })
})

describe('structured output', () => {
  const output = z.object({ city: z.string(), degrees: z.number().default(0) })

  test('is asked for as JSON Schema, checked, and told in one piece', async () => {
    const model = new ScriptedModel(
      calls(text('Looking.'), call('c', 'add', { a: 1 })),
      says('{"city":', '"Oslo"}'),
    )
    const stream = testAgent({ model, tools: [add], output }).stream('hi')
    const said: unknown[] = []
    for await (const value of stream) if (typeof value === 'string') said.push(value)
    expect(said).toEqual(['{"city":"Oslo"}'])
    expect(await stream.result).toMatchObject({
      output: { city: 'Oslo', degrees: 0 },
      text: '{"city":"Oslo"}',
    })
    expect(model.asked[0]?.responseFormat).toEqual({
      type: 'json',
      schema: {
        type: 'object',
        properties: { city: { type: 'string' }, degrees: { type: 'number', default: 0 } },
        required: ['city'],
        additionalProperties: false,
      },
    })
  })

  test('that does not fit is asked for once more, with what is wrong', async () => {
    const model = new ScriptedModel(says('{"city":1}'), says('{"city":"Oslo"}'))
    const result = await testAgent({ model, output }).generate('hi')
    expect(result).toMatchObject({ output: { city: 'Oslo' }, text: '{"city":"Oslo"}', steps: 2 })
    expect(model.asked[1]?.prompt.slice(1)).toMatchObject([
      { role: 'assistant', content: [{ text: '{"city":1}' }] },
      { role: 'user', content: [{ text: expect.stringMatching(/expected string[^]*city/) }] },
    ])
  })

  test.each<[string, Turn[], number, number]>([
    ['is wrong twice', [says('no'), says('{}')], 20, 2],
    ['is wrong in the last step', [says('no')], 1, 1],
    [
      'is cut off twice',
      [
        [...text('{'), ...finish('length')],
        [...text('{'), ...finish('length')],
      ],
      20,
      2,
    ],
  ])('that %s fails the run', async (_, turns, ...[maxSteps, asked]) => {
    const model = new ScriptedModel(...turns)
    await expect(testAgent({ model, output, maxSteps }).generate('hi')).rejects.toMatchObject({
      code: 'invalid-output',
    })
    expect(model.asked).toHaveLength(asked)
  })
})
