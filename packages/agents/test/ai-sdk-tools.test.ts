import type { LanguageModelV4ToolResultOutput } from '@ai-sdk/provider'
import { type ToolSet, dynamicTool, jsonSchema, tool } from 'ai'
import type { MockLanguageModelV4 } from 'ai/test'
import { describe, expect, test } from 'vitest'
import { currentRun, emit } from '@turnpike/agents'
import { type AgentEvent, GatewayError } from '@turnpike/protocol'
import {
  type Part,
  cityInput,
  say,
  call,
  calls,
  turns,
  serve,
  record,
  short,
  ofType,
  weather,
} from './ai-sdk-stage.ts'

describe('tools', () => {
  test('what a tool yields is progress, and only its last value the result', async () => {
    const build = tool({
      inputSchema: cityInput,
      async *execute() {
        yield { progress: 0.5, message: 'half' }
        yield { progress: 7 }
      },
    })
    const run = await record(serve({ model: turns(calls(call('build', '{"city":"x"}'))), tools: { build } }))
    const base = { id: 'c1', name: 'build' }
    expect(ofType(run, 'run-update').map(({ background }) => background)).toEqual([
      { ...base, status: 'running', progress: 0.5, message: 'half' },
      { ...base, status: 'running', progress: 1 },
      { ...base, status: 'done', progress: 1 },
    ])
    expect(ofType(run, 'tool-call-result')).toHaveLength(1)
  })

  test('the result of a tool without a value is null', async () => {
    const quiet = tool({ inputSchema: cityInput, execute: async () => undefined })
    const run = await record(serve({ model: turns(calls(call('quiet', '{"city":"x"}'))), tools: { quiet } }))
    expect(ofType(run, 'tool-call-result')[0]?.result).toBeNull()
  })

  test('a result that is too long for an event is an error, and the run goes on', async () => {
    const long = tool({ inputSchema: cityInput, execute: async () => 'x'.repeat(2_000_000) })
    const model = turns(calls(call('long', '{"city":"x"}')), say('ok'))
    const run = await record(serve({ model, tools: { long } }))
    expect(ofType(run, 'tool-call-error').map(({ error }) => error.code)).toEqual(['tool-failed'])
    expect(run.yields).toContain('ok')
  })

  test('the run goes on after a tool that fails, and does not tell why', async () => {
    const bad = tool({
      inputSchema: cityInput,
      execute: async (): Promise<string> => {
        throw new Error('password=secret')
      },
    })
    const run = await record(
      serve({ model: turns(calls(call('bad', '{"city":"x"}')), say('sorry')), tools: { bad } }),
    )
    expect(ofType(run, 'tool-call-error')).toMatchObject([
      { toolCallId: 'c1', tool: 'bad', error: { code: 'tool-failed', message: 'The tool failed.' } },
    ])
    expect(run.yields).toContain('sorry')
    expect(run.outcome?.finishReason).toBe('stop')
  })

  test.each([
    ['weather', '{"city":', 'invalid-arguments'],
    ['nothing', '{"city":"x"}', 'unknown-tool'],
  ])('a call of %s with %s is told once, as %s', async (name, input, code) => {
    const run = await record(
      serve({ model: turns(calls(call(name, input)), say('sorry')), tools: { weather } }),
    )
    expect(ofType(run, 'tool-call-error').map(({ error }) => error.code)).toEqual([code])
    expect(ofType(run, 'tool-call-result')).toEqual([])
    expect(run.outcome?.finishReason).toBe('stop')
  })

  test('a call whose arguments were not streamed still has a start and its arguments as text', async () => {
    const whole: Part = { type: 'tool-call', toolCallId: 'c1', toolName: 'weather', input: '{"city":"Oslo"}' }
    const run = await record(serve({ model: turns(calls([whole])), tools: { weather } }))
    expect(ofType(run, 'tool-call-start')).toHaveLength(1)
    expect(ofType(run, 'tool-call-args')).toMatchObject([
      { delta: '{"city":"Oslo"}', args: { city: 'Oslo' } },
    ])
  })

  test('dynamic tools and tools that the provider runs', async () => {
    const anything = dynamicTool({ inputSchema: cityInput, execute: async () => 'dyn' })
    const search: Part[] = [
      {
        type: 'tool-call',
        toolCallId: 'p1',
        toolName: 'search',
        input: '{}',
        providerExecuted: true,
        dynamic: true,
      },
      { type: 'tool-result', toolCallId: 'p1', toolName: 'search', result: { hits: 2 }, dynamic: true },
      { type: 'source', sourceType: 'url', id: 's', url: 'https://example.com' },
      { type: 'file', mediaType: 'image/png', data: { type: 'data', data: 'aGk=' } },
    ]
    const model = turns(calls(search, call('anything', '{"city":"x"}')), say('done'))
    const run = await record(serve({ model, tools: { anything } }))
    expect(ofType(run, 'tool-call-result').map(({ toolCallId, result }) => [toolCallId, result])).toEqual([
      ['p1', { hits: 2 }],
      ['c1', 'dyn'],
    ])
    expect(run.outcome?.finishReason).toBe('stop')
  })

  test('emit and the run are there inside a tool, also one that yields', async () => {
    const update: AgentEvent = { type: 'memory-write', memory: { id: '1', text: 'x', scope: 'user' } }
    const plain = tool({
      inputSchema: cityInput,
      execute: async () => {
        await new Promise(setImmediate)
        emit(update)
        return currentRun()?.principal.id
      },
    })
    const stepwise = tool({
      inputSchema: cityInput,
      async *execute() {
        yield 'a'
        emit(update)
        yield 'b'
      },
    })
    const model = turns(
      calls(call('plain', '{"city":"x"}')),
      calls(call('stepwise', '{"city":"x"}', 'c2')),
      say('ok'),
    )
    const run = await record(serve({ model, tools: { plain, stepwise } }))
    expect(run.emitted).toEqual([update, update])
    expect(ofType(run, 'tool-call-result')[0]?.result).toBe('me')
  })
})

describe('approvals', () => {
  const pay = (paid: string[]): ToolSet => ({
    pay: tool({
      inputSchema: cityInput,
      execute: async ({ city }) => {
        paid.push(city)
        return `paid ${city}`
      },
    }),
  })
  const approval = { pay: 'user-approval' } as const
  const outputs = (model: MockLanguageModelV4, count: number): LanguageModelV4ToolResultOutput[] =>
    (model.doStreamCalls[count]?.prompt ?? []).flatMap(({ role, content }) =>
      role === 'tool' ? content.flatMap((part) => (part.type === 'tool-result' ? [part.output] : [])) : [],
    )

  test('an approved call runs once, and the same run goes on', async () => {
    const paid: string[] = []
    const model = turns(calls(call('pay', '{"city":"Oslo"}')), say('Paid.'))
    const run = await record(serve({ model, tools: pay(paid), toolApproval: approval }), {
      decide: async () => ({ approved: true }),
    })
    expect(run.requests).toEqual([{ toolCallId: 'c1', tool: 'pay', args: { city: 'Oslo' } }])
    expect(paid).toEqual(['Oslo'])
    expect(run.yields.map(short).slice(-5)).toEqual([
      'step-finish',
      'tool-call-result:c1',
      'step-start',
      'Paid.',
      'step-finish',
    ])
    expect(ofType(run, 'step-start').map(({ step }) => step)).toEqual([0, 1])
    expect(ofType(run, 'tool-call-start')).toHaveLength(1)
    expect(run.outcome).toMatchObject({ finishReason: 'stop', usage: { inputTokens: 20, outputTokens: 10 } })
    expect(outputs(model, 1)).toMatchObject([{ type: 'text', value: 'paid Oslo' }])
  })

  test('a denied call does not run; the model learns why', async () => {
    const paid: string[] = []
    const model = turns(calls(call('pay', '{"city":"Oslo"}')), say('Then not.'))
    const run = await record(serve({ model, tools: pay(paid), toolApproval: approval }), {
      decide: async () => ({ approved: false, reason: 'expired' }),
    })
    expect(paid).toEqual([])
    expect(ofType(run, 'tool-call-error')).toMatchObject([{ error: { code: 'denied', message: 'expired' } }])
    expect(outputs(model, 1)).toMatchObject([{ type: 'execution-denied', reason: 'expired' }])
    expect(run.yields).toContain('Then not.')
  })

  test('several decisions of one step, in any order, and another round after them', async () => {
    const paid: string[] = []
    const model = turns(
      calls(
        call('weather', '{"city":"Rome"}', 'w'),
        call('pay', '{"city":"Oslo"}', 'a'),
        call('pay', '{"city":"Bern"}', 'b'),
      ),
      calls(call('pay', '{"city":"Kyiv"}', 'c')),
      say('Done.'),
    )
    const first = Promise.withResolvers<void>()
    const run = await record(serve({ model, tools: { ...pay(paid), weather }, toolApproval: approval }), {
      decide: async ({ toolCallId }) => {
        if (toolCallId === 'a') await first.promise
        first.resolve()
        return { approved: toolCallId !== 'b' }
      },
    })
    expect(paid).toEqual(['Oslo', 'Kyiv'])
    expect(run.requests.map(({ toolCallId }) => toolCallId)).toEqual(['a', 'b', 'c'])
    expect(ofType(run, 'tool-call-result').map(({ toolCallId }) => toolCallId)).toEqual(['w', 'a', 'c'])
    expect(ofType(run, 'tool-call-error').map(({ toolCallId }) => toolCallId)).toEqual(['b'])
    expect(run.outcome).toMatchObject({ finishReason: 'stop', usage: { inputTokens: 30 } })
  })

  test('a client-side call beside an approval does not keep the run from going on', async () => {
    const paid: string[] = []
    const ask = tool({ inputSchema: cityInput, outputSchema: jsonSchema<string>({ type: 'string' }) })
    const model = turns(
      calls(call('ask', '{"city":"x"}', 'q'), call('pay', '{"city":"Oslo"}', 'a')),
      say('Done.'),
    )
    const run = await record(serve({ model, tools: { ...pay(paid), ask }, toolApproval: approval }), {
      decide: async () => ({ approved: true }),
    })
    expect(run.error).toBeUndefined()
    expect(paid).toEqual(['Oslo'])
    expect(run.yields).toContain('Done.')
  })

  test('the provider learns what was decided about a call that it runs itself', async () => {
    const model = turns(
      calls([
        {
          type: 'tool-call',
          toolCallId: 'p1',
          toolName: 'mcp',
          input: '{}',
          providerExecuted: true,
          dynamic: true,
        },
        { type: 'tool-approval-request', approvalId: 'theirs', toolCallId: 'p1' },
      ]),
      say('Done.'),
    )
    const run = await record(serve({ model }), { decide: async () => ({ approved: true }) })
    expect(run.requests).toMatchObject([{ toolCallId: 'p1', tool: 'mcp' }])
    expect(model.doStreamCalls[1]?.prompt.at(-1)).toMatchObject({
      role: 'tool',
      content: [{ type: 'tool-approval-response', approvalId: 'theirs', approved: true }],
    })
    expect(run.yields).toContain('Done.')
  })

  test('what the agent decides by itself asks nobody', async () => {
    const paid: string[] = []
    const model = turns(
      calls(call('pay', '{"city":"Oslo"}', 'a'), call('weather', '{"city":"x"}', 'w')),
      say('Done.'),
    )
    const run = await record(
      serve({
        model,
        tools: { ...pay(paid), weather },
        toolApproval: { pay: { type: 'denied', reason: 'too dear' }, weather: 'approved' },
      }),
    )
    expect(run.requests).toEqual([])
    expect(ofType(run, 'tool-call-error')).toMatchObject([
      { toolCallId: 'a', error: { code: 'denied', message: 'too dear' } },
    ])
    expect(ofType(run, 'tool-call-result').map(({ toolCallId }) => toolCallId)).toEqual(['w'])
  })

  test('a signed approval is accepted', async () => {
    const paid: string[] = []
    const model = turns(calls(call('pay', '{"city":"Oslo"}')), say('Paid.'))
    const run = await record(
      serve({
        model,
        tools: pay(paid),
        toolApproval: approval,
        experimental_toolApprovalSecret: 'x'.repeat(32),
      }),
      { decide: async () => ({ approved: true }) },
    )
    expect([run.error, paid]).toEqual([undefined, ['Oslo']])
  })

  test('a run that is stopped while it waits ends, and the tool does not run', async () => {
    const paid: string[] = []
    const stop = new AbortController()
    const model = turns(calls(call('pay', '{"city":"Oslo"}')))
    const run = await record(serve({ model, tools: pay(paid), toolApproval: approval }), {
      signal: stop.signal,
      decide: () => {
        setImmediate(() => stop.abort('user'))
        return new Promise(() => {})
      },
    })
    expect([run.error, run.outcome, paid]).toEqual([undefined, undefined, []])
  })

  test('a gateway that cannot ask ends the run with its own error', async () => {
    const refusal = new GatewayError('draining', 'Later.')
    const model = turns(calls(call('pay', '{"city":"Oslo"}')))
    const run = await record(serve({ model, tools: pay([]), toolApproval: approval }), {
      decide: () => Promise.reject(refusal),
    })
    expect(run.error).toBe(refusal)
  })
})
