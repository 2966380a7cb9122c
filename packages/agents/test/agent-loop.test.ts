import { describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { currentRun } from '../src/context.ts'
import { type ToolDef, defineTool } from '../src/tool.ts'
import { Stage, add, play, testAgent, tool } from './run-agent.ts'
import {
  ScriptedModel,
  type Turn,
  call,
  calls,
  finish,
  reasoning,
  says,
  streamedCall,
  text,
} from './scripted-model.ts'

describe('a step', () => {
  test('is told as text, reasoning and its borders', async () => {
    const { stage } = await play([], [...reasoning('h', 'm'), ...text('Hel', '', 'lo'), ...finish()])
    expect(stage.yields).toEqual([
      { type: 'step-start', step: 0 },
      { type: 'text-delta', delta: 'h', channel: 'reasoning' },
      { type: 'text-delta', delta: 'm', channel: 'reasoning' },
      'Hel',
      'lo',
      { type: 'step-finish', step: 0, finishReason: 'stop', usage: { inputTokens: 10, outputTokens: 5 } },
    ])
    expect(stage.outcome).toEqual({ finishReason: 'stop', usage: { inputTokens: 10, outputTokens: 5 } })
  })

  test.each([
    ['length', 'length'],
    ['content-filter', 'content-filter'],
    ['other', 'stop'],
  ] as const)('that the model ends with %s ends the run with %s', async (unified, expected) => {
    const { stage } = await play([], [...text('x'), ...finish(unified)])
    expect(stage.outcome?.finishReason).toBe(expected)
  })

  test('passes the settings of the agent to the model', async () => {
    const model = new ScriptedModel(says('x'))
    const settings = {
      temperature: 0.3,
      maxOutputTokens: 7,
      reasoning: 'low',
      providerOptions: { p: { q: 1 } },
    } as const
    await new Stage().play(testAgent({ model, tools: [add], instructions: 'Be kind.', ...settings }))
    expect(model.asked[0]).toMatchObject({
      ...settings,
      prompt: [
        { role: 'system', content: 'Be kind.' },
        { role: 'user', content: [{ type: 'text', text: 'hi' }] },
      ],
      tools: [
        {
          type: 'function',
          name: 'add',
          description: 'Adds two numbers.',
          inputSchema: { type: 'object', required: ['a', 'b'], additionalProperties: false },
        },
      ],
    })
  })

  test('usage adds up over the steps, the raw one of the provider too', async () => {
    const raw = (n: number): Turn => [
      ...(n === 1 ? call('1', 'add', { a: 1, b: 2 }) : text('3')),
      ...finish(n === 1 ? 'tool-calls' : 'stop', { input: n, output: 10 * n, raw: { prompt_tokens: n } }),
    ]
    const { stage } = await play([add], raw(1), raw(2))
    expect(stage.outcome?.usage).toEqual({
      inputTokens: 3,
      outputTokens: 30,
      providerMetrics: { prompt_tokens: 3 },
    })
  })
})

describe('a call', () => {
  test('is told, made and handed back to the model', async () => {
    const { stage, model } = await play(
      [add],
      calls(reasoning('hm'), text('One moment.'), streamedCall('c1', 'add', ['{"a":1,', '"b":2}'])),
      says('3'),
    )
    const of = { toolCallId: 'c1', tool: 'add' }
    expect(stage.yields.slice(2)).toEqual([
      'One moment.',
      { type: 'tool-call-start', ...of },
      { type: 'tool-call-args', ...of, delta: '{"a":1,' },
      { type: 'tool-call-args', ...of, delta: '"b":2}' },
      { type: 'tool-call-args', ...of, delta: '', args: { a: 1, b: 2 } },
      { type: 'tool-call-result', ...of, result: 3 },
      {
        type: 'step-finish',
        step: 0,
        finishReason: 'tool-calls',
        usage: { inputTokens: 10, outputTokens: 5 },
      },
      { type: 'step-start', step: 1 },
      '3',
      { type: 'step-finish', step: 1, finishReason: 'stop', usage: { inputTokens: 10, outputTokens: 5 } },
    ])
    expect(model.prompt(1)).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'hi' }] },
      {
        role: 'assistant',
        content: [
          { type: 'reasoning', text: 'hm', providerOptions: { scripted: { signature: 'signed' } } },
          { type: 'text', text: 'One moment.' },
          { type: 'tool-call', toolCallId: 'c1', toolName: 'add', input: { a: 1, b: 2 } },
        ],
      },
      {
        role: 'tool',
        content: [
          { type: 'tool-result', toolCallId: 'c1', toolName: 'add', output: { type: 'json', value: 3 } },
        ],
      },
    ])
  })

  test('has the same arguments however they are cut', async () => {
    const json = '{"a":1,"b":-2.5}'
    for (let i = 0; i <= json.length; i++) {
      for (let j = i; j <= json.length; j += 3) {
        const pieces = [json.slice(0, i), json.slice(i, j), json.slice(j)]
        const { stage } = await play([add], calls(streamedCall('c', 'add', pieces)), says('ok'))
        const told = stage.of('tool-call-args')
        expect(told.map(({ delta }) => delta).join('')).toBe(json)
        expect(told.filter((event) => 'args' in event).map(({ args }) => args)).toEqual([{ a: 1, b: -2.5 }])
        expect(stage.of('tool-call-result')[0]?.result).toBe(-1.5)
      }
    }
  })

  test('without pieces of arguments is told in one', async () => {
    const { stage } = await play([add], calls(call('c', 'add', { a: 1, b: 1 })), says('2'))
    expect(stage.types.slice(1, 4)).toEqual(['tool-call-start', 'tool-call-args', 'tool-call-result'])
    expect(stage.of('tool-call-args')).toMatchObject([{ delta: '{"a":1,"b":1}', args: { a: 1, b: 1 } }])
  })

  test('without arguments has none', async () => {
    const { stage } = await play([tool('now', (args) => args)], calls(call('c', 'now', '')), says('x'))
    expect(stage.of('tool-call-result')).toMatchObject([{ result: {} }])
  })

  test('whose id was used before gets one of its own', async () => {
    const again = calls(call('call-1', 'add', { a: 1, b: 1 }))
    const { stage, model } = await play([add], again, again, says('x'))
    expect(stage.of('tool-call-result').map(({ toolCallId }) => toolCallId)).toEqual(['call-1', 'call-1-2'])
    expect(JSON.stringify(model.prompt(2))).toContain('"toolCallId":"call-1-2"')
  })

  test.each([
    ['of an unknown tool', call('c', 'nope', {}), 'unknown-tool', 'no tool "nope"'],
    ['of a name that every object has', call('c', 'constructor', {}), 'unknown-tool', 'no tool'],
    ['with broken JSON', streamedCall('c', 'add', ['{"a":', '1']), 'invalid-arguments', 'not valid JSON'],
    [
      'with arguments that do not fit',
      call('c', 'add', { a: 1, b: 'x' }),
      'invalid-arguments',
      'expected number',
    ],
    ['with arguments that are no object', call('c', 'add', 7), 'invalid-arguments', 'expected object'],
  ])('%s fails, and the model may correct itself', async (_, parts, ...[code, message]) => {
    const { stage, model } = await play([add], calls(parts), says('sorry'))
    expect(stage.of('tool-call-error')).toMatchObject([
      { toolCallId: 'c', error: { code, message: expect.stringContaining(message) } },
    ])
    expect(stage.outcome?.finishReason).toBe('stop')
    const last = model.asked[1]?.prompt.at(-1)
    expect(last).toMatchObject({
      role: 'tool',
      content: [{ toolCallId: 'c', output: { type: 'error-text', value: expect.stringContaining(message) } }],
    })
    const said = model.asked[1]?.prompt.at(-2)
    expect(said).toMatchObject({ content: [{ type: 'tool-call', input: expect.any(Object) }] })
  })

  test.each<[string, ToolDef['execute'], string]>([
    [
      'throws',
      () => {
        throw new Error('The disk is full.')
      },
      'The disk is full.',
    ],
    ['rejects', () => Promise.reject(new Error('No such row.')), 'No such row.'],
    [
      'throws a text',
      () => {
        throw 'plain'
      },
      'plain',
    ],
    [
      'throws nothing that says why',
      () => {
        throw { secret: 1 }
      },
      'The tool failed.',
    ],
    ['gives a BigInt', () => 1n, "The tool's result is not JSON."],
    [
      'gives a circle',
      () => {
        const a: unknown[] = []
        a.push(a)
        return a
      },
      "The tool's result is not JSON.",
    ],
    ['gives too much', () => 'x'.repeat(1_100_000), "The tool's result exceeds"],
  ])('of a tool that %s fails with its message and no stack', async (_, execute, message) => {
    const { stage, model } = await play([tool('t', execute)], calls(call('c', 't', {})), says('x'))
    const [error] = stage.of('tool-call-error')
    expect(error?.error).toEqual({ code: 'tool-failed', message: expect.stringContaining(message) })
    expect(JSON.stringify(stage.yields)).not.toMatch(/at .*\.ts|secret/)
    expect(model.asked[1]?.prompt.at(-1)).toMatchObject({
      content: [{ output: { value: error?.error.message } }],
    })
  })

  test.each<[unknown, unknown]>([
    [undefined, null],
    [{ a: undefined, d: new Date(0) }, { d: '1970-01-01T00:00:00.000Z' }],
    [() => 1, null],
    ['text', 'text'],
  ])('that gives %o has the result %j', async (given, expected) => {
    const { stage } = await play([tool('t', () => given)], calls(call('c', 't', {})), says('x'))
    expect(stage.of('tool-call-result')[0]?.result).toEqual(expected)
  })

  test('that takes too long fails, and its signal aborts', async () => {
    let signal: AbortSignal | undefined
    const slow = tool('slow', (_, context) => ((signal = context.signal), new Promise(() => {})), {
      timeoutMs: 5,
    })
    const { stage } = await play([slow], calls(call('c', 'slow', {})), says('x'))
    expect(stage.of('tool-call-error')[0]?.error).toEqual({
      code: 'tool-timeout',
      message: 'The tool took longer than 5 ms.',
    })
    expect(signal?.aborted).toBe(true)
  })

  test('finds the run it works for', async () => {
    const found = tool('t', async (_, context) => {
      await Promise.resolve()
      currentRun()?.emit({
        type: 'memory-write',
        memory: { id: 'm', text: context.toolCallId, scope: 'user' },
      })
      return currentRun() === context && context.runId
    })
    const { stage } = await play([found], calls(call('c', 't', {})), says('x'))
    expect(stage.of('memory-write')[0]?.memory.text).toBe('c')
    expect(stage.of('tool-call-result')[0]?.result).toBe('run')
  })

  test('that the provider executes passes through', async () => {
    const search = { toolCallId: 's', toolName: 'web_search' }
    const { stage, model } = await play(
      [add],
      [
        { type: 'tool-input-start', id: 's', toolName: 'web_search', providerExecuted: true },
        { type: 'tool-input-delta', id: 's', delta: '{"q":"x"}' },
        { type: 'tool-call', ...search, input: '{"q":"x"}', providerExecuted: true },
        { type: 'tool-result', ...search, result: [1], preliminary: true },
        { type: 'tool-result', ...search, result: [1, 2] },
        ...call('c', 'add', { a: 1, b: 2 }),
        ...finish('tool-calls'),
      ],
      says('x'),
    )
    expect(stage.types.filter((type) => type.startsWith('tool'))).toEqual([
      'tool-call-start',
      'tool-call-args',
      'tool-call-args',
      'tool-call-result',
      'tool-call-start',
      'tool-call-args',
      'tool-call-result',
    ])
    expect(model.asked[1]?.prompt.slice(1)).toMatchObject([
      {
        role: 'assistant',
        content: [
          { type: 'tool-call', providerExecuted: true },
          { type: 'tool-result' },
          { type: 'tool-call' },
        ],
      },
      { role: 'tool', content: [{ toolCallId: 'c' }] },
    ])
  })

  test('that the provider answers in a later step keeps its id', async () => {
    const search = { toolCallId: 's', toolName: 'web_search' }
    const { stage, model } = await play(
      [add],
      [
        { type: 'tool-call', ...search, input: '{}', providerExecuted: true },
        ...call('c', 'add', { a: 1, b: 2 }),
        ...finish('tool-calls'),
      ],
      [
        { type: 'tool-result', ...search, result: [1] },
        ...call('d', 'add', { a: 3, b: 4 }),
        ...finish('tool-calls'),
      ],
      says('x'),
    )
    expect(stage.of('tool-call-error')).toEqual([])
    expect(stage.of('tool-call-start').map(({ toolCallId }) => toolCallId)).toEqual(['s', 'c', 'd'])
    expect(stage.of('tool-call-result').map(({ toolCallId }) => toolCallId)).toEqual(['c', 's', 'd'])
    expect(model.asked[2]?.prompt.slice(1)).toMatchObject([
      { role: 'assistant', content: [{ toolCallId: 's' }, { toolCallId: 'c' }] },
      { role: 'tool', content: [{ toolCallId: 'c' }] },
      { role: 'assistant', content: [{ type: 'tool-result', toolCallId: 's' }, { toolCallId: 'd' }] },
      { role: 'tool', content: [{ toolCallId: 'd' }] },
    ])
  })

  test('whose answer is cut off is not made', async () => {
    const execute = vi.fn()
    const { stage } = await play(
      [tool('t', execute)],
      [
        ...call('c', 't', {}),
        { type: 'tool-input-start', id: 'd', toolName: 't' },
        { type: 'tool-input-delta', id: 'd', delta: '{' },
        ...finish('length'),
      ],
    )
    expect(execute).not.toHaveBeenCalled()
    expect(stage.of('tool-call-error').map(({ toolCallId, error }) => [toolCallId, error.code])).toEqual([
      ['d', 'invalid-arguments'],
      ['c', 'cancelled'],
    ])
    expect(stage.outcome?.finishReason).toBe('length')
  })

  test('is made where the model only says "stop", too', async () => {
    const { stage } = await play([add], [...call('c', 'add', { a: 1, b: 2 }), ...finish('stop')], says('3'))
    expect(stage.text).toBe('3')
  })
})

describe('calls of one step', () => {
  test('run side by side; results come as they are there, and in the order of the calls in the prompt', async () => {
    const gates = [
      Promise.withResolvers<number>(),
      Promise.withResolvers<number>(),
      Promise.withResolvers<number>(),
    ]
    const wait = defineTool({
      name: 'wait',
      description: 'Waits.',
      parameters: z.object({ n: z.int() }),
      execute: ({ n }) => {
        if (n === 2) gates.forEach((gate, index) => setTimeout(() => gate.resolve(index), (3 - index) * 3))
        return gates[n]?.promise
      },
    })
    const three = [0, 1, 2].map((n) => call(`c${n}`, 'wait', { n }))
    const { stage, model } = await play([wait], calls(...three), says('x'))
    expect(stage.of('tool-call-result').map(({ result }) => result)).toEqual([2, 1, 0])
    expect(model.asked[1]?.prompt.at(-1)).toMatchObject({
      content: [{ toolCallId: 'c0' }, { toolCallId: 'c1' }, { toolCallId: 'c2' }],
    })
  })

  test('never run more at once than allowed', async () => {
    let running = 0
    let most = 0
    const busy = tool('busy', async () => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setTimeout(resolve, 2))
      running--
    })
    const model = new ScriptedModel(
      calls(...Array.from({ length: 20 }, (_, n) => call(`c${n}`, 'busy', {}))),
      says('x'),
    )
    const stage = new Stage()
    await stage.play(testAgent({ model, tools: [busy], toolConcurrency: 3 }))
    expect(most).toBe(3)
    expect(stage.of('tool-call-result')).toHaveLength(20)
  })

  test('go on until the last step that is allowed', async () => {
    const one = (n: number): Turn => calls(call(`c${n}`, 'add', { a: 1, b: 1 }))
    const model = new ScriptedModel(one(0), one(1), one(2))
    const stage = new Stage()
    await stage.play(testAgent({ model, tools: [add], maxSteps: 2 }))
    expect(model.asked).toHaveLength(2)
    expect(stage.of('tool-call-result')).toHaveLength(2)
    expect(stage.outcome?.finishReason).toBe('tool-calls')
  })
})
