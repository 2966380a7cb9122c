import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import type { ApprovalDecision } from '../src/approvals.ts'
import type { RunOutcome } from '../src/runnable.ts'
import { type ToolDef, defineTool } from '../src/tool.ts'
import { Stage, inputOf, testAgent } from './run-agent.ts'
import { ScriptedModel, type Turn, call, calls, finish, says, text } from './scripted-model.ts'

function payTool(execute: (args: { amount: number }) => unknown, more: Partial<ToolDef> = {}): ToolDef {
  const parameters = z.object({ amount: z.number() })
  return {
    ...defineTool({ name: 'pay', description: 'Pays.', parameters, needsApproval: true, execute }),
    ...more,
  }
}

const look = defineTool({
  name: 'look',
  description: 'Looks.',
  parameters: z.object({}),
  execute: () => 'seen',
})

function decide(toolCallId: string, approved: boolean, reason?: string): ApprovalDecision {
  return { approvalId: `approve-${toolCallId}`, toolCallId, approved, ...(reason && { reason }) }
}

/** The state as a store gives it back. */
function stored(outcome: RunOutcome): unknown {
  expect(outcome.parked).toBeDefined()
  return JSON.parse(JSON.stringify(outcome.parked?.state))
}

function setUp(tools: ToolDef[], ...turns: Turn[]) {
  const model = new ScriptedModel(...turns)
  const agent = testAgent({ model, tools, instructions: 'Be careful.' })
  return {
    model,
    start: async () => {
      const stage = new Stage()
      return { stage, outcome: await stage.play(agent) }
    },
    resume: async (state: unknown, ...decisions: ApprovalDecision[]) => {
      const stage = new Stage()
      return { stage, outcome: await stage.play(agent, { ...inputOf(), resume: { state, decisions } }) }
    },
  }
}

const mixed = calls(
  text('Let me.'),
  call('p', 'pay', { amount: 5 }),
  call('l', 'look', {}),
  call('q', 'pay', { amount: 6 }),
)

describe('a call that needs approval', () => {
  test('parks the run once all that can run is done', async () => {
    const execute = vi.fn()
    const { start } = setUp([payTool(execute), look], mixed)
    const { stage } = await start()
    expect(stage.requests).toEqual([
      { toolCallId: 'p', tool: 'pay', args: { amount: 5 } },
      { toolCallId: 'q', tool: 'pay', args: { amount: 6 } },
    ])
    expect(stage.types.slice(-2)).toEqual(['tool-call-result', 'step-finish'])
    expect(stage.of('tool-call-result')).toMatchObject([{ toolCallId: 'l', result: 'seen' }])
    expect(stage.of('tool-call-error')).toEqual([])
    expect(execute).not.toHaveBeenCalled()
  })

  test('goes on from the state as JSON: approved is made, denied is told to the model', async () => {
    const execute = vi.fn(({ amount }: { amount: number }) => `paid ${amount}`)
    const { start, resume, model } = setUp([payTool(execute), look], mixed, says('Done.'))
    const state = stored((await start()).outcome)
    const { stage, outcome } = await resume(state, decide('q', false, 'too much'), decide('p', true))
    expect(stage.events.slice(0, 2)).toEqual([
      {
        type: 'tool-call-error',
        toolCallId: 'q',
        tool: 'pay',
        error: { code: 'denied', message: 'The call was denied: too much' },
      },
      { type: 'tool-call-result', toolCallId: 'p', tool: 'pay', result: 'paid 5' },
    ])
    expect(stage.types.slice(2)).toEqual(['step-start', 'text', 'step-finish'])
    expect(stage.of('step-start')[0]?.step).toBe(1)
    expect(outcome).toEqual({ finishReason: 'stop', usage: { inputTokens: 20, outputTokens: 10 } })
    expect(execute).toHaveBeenCalledTimes(1)
    expect(model.prompt(1)).toEqual([
      { role: 'system', content: 'Be careful.' },
      { role: 'user', content: [{ type: 'text', text: 'hi' }] },
      {
        role: 'assistant',
        content: [
          { type: 'text', text: 'Let me.' },
          { type: 'tool-call', toolCallId: 'p', toolName: 'pay', input: { amount: 5 } },
          { type: 'tool-call', toolCallId: 'l', toolName: 'look', input: {} },
          { type: 'tool-call', toolCallId: 'q', toolName: 'pay', input: { amount: 6 } },
        ],
      },
      {
        role: 'tool',
        content: [
          {
            type: 'tool-result',
            toolCallId: 'p',
            toolName: 'pay',
            output: { type: 'text', value: 'paid 5' },
          },
          { type: 'tool-result', toolCallId: 'l', toolName: 'look', output: { type: 'text', value: 'seen' } },
          {
            type: 'tool-result',
            toolCallId: 'q',
            toolName: 'pay',
            output: { type: 'execution-denied', reason: 'The call was denied: too much' },
          },
        ],
      },
    ])
  })

  test('is made once, however often and in whatever order it is decided', async () => {
    const decisions = fc.array(
      fc.record({ id: fc.constantFrom('p', 'q', 'l', 'x'), approved: fc.boolean() }),
      { maxLength: 8 },
    )
    await fc.assert(
      fc.asyncProperty(decisions, async (made) => {
        const paid: number[] = []
        const { start, resume } = setUp(
          [payTool(({ amount }) => void paid.push(amount)), look],
          mixed,
          says('Done.'),
        )
        const { outcome } = await resume(
          stored((await start()).outcome),
          ...made.map(({ id, approved }) => decide(id, approved)),
        )
        const first = (id: string): boolean | undefined =>
          made.find((decision) => decision.id === id)?.approved
        expect(paid.toSorted((left, right) => left - right)).toEqual([
          ...(first('p') ? [5] : []),
          ...(first('q') ? [6] : []),
        ])
        expect(outcome.parked === undefined).toBe(first('p') !== undefined && first('q') !== undefined)
      }),
      { numRuns: 60 },
    )
  })

  test('that nobody decided on keeps the run parked', async () => {
    const execute = vi.fn(() => 'paid')
    const { start, resume } = setUp([payTool(execute), look], mixed, says('Done.'))
    const half = await resume(stored((await start()).outcome), decide('p', true))
    expect(half.stage.requests).toEqual([])
    expect(half.stage.types).toEqual(['tool-call-result'])
    const whole = await resume(stored(half.outcome), decide('p', true), decide('q', true))
    expect(whole.stage.of('tool-call-result')).toHaveLength(1)
    expect(whole.outcome.finishReason).toBe('stop')
    expect(execute).toHaveBeenCalledTimes(2)
  })

  test('may park a run more than once', async () => {
    const again = calls(call('r', 'pay', { amount: 7 }))
    const { start, resume } = setUp(
      [payTool(() => 'paid')],
      calls(call('p', 'pay', { amount: 5 })),
      again,
      says('Done.'),
    )
    const second = await resume(stored((await start()).outcome), decide('p', true))
    expect(second.stage.requests).toMatchObject([{ toolCallId: 'r' }])
    const third = await resume(stored(second.outcome), decide('r', true))
    expect(third.stage.text).toBe('Done.')
    expect(third.outcome.usage).toMatchObject({ inputTokens: 30 })
  })

  test('may depend on its arguments', async () => {
    const needsApproval: ToolDef['needsApproval'] = async (args) =>
      z.object({ amount: z.number() }).parse(args).amount > 5
    const { start } = setUp([payTool(() => 'paid', { needsApproval }), look], mixed)
    const { stage } = await start()
    expect(stage.requests.map(({ toolCallId }) => toolCallId)).toEqual(['q'])
    expect(
      stage
        .of('tool-call-result')
        .map(({ toolCallId }) => toolCallId)
        .toSorted(),
    ).toEqual(['l', 'p'])
  })

  test('is not asked for with arguments that do not fit', async () => {
    const { start } = setUp(
      [payTool(() => 'paid')],
      calls(call('p', 'pay', { amount: 'all' })),
      says('Sorry.'),
    )
    const { stage, outcome } = await start()
    expect(stage.requests).toEqual([])
    expect(outcome.finishReason).toBe('stop')
  })

  test('whose rule throws fails', async () => {
    const needsApproval = (): never => {
      throw new Error('no rules today')
    }
    const { start } = setUp(
      [payTool(() => 'paid', { needsApproval })],
      calls(call('p', 'pay', { amount: 1 })),
      says('x'),
    )
    expect((await start()).stage.of('tool-call-error')[0]?.error.message).toBe('no rules today')
  })
})

test('files survive the parking, as bytes and as addresses', async () => {
  const { start, resume, model } = setUp(
    [payTool(() => 'paid')],
    [
      { type: 'file', mediaType: 'image/png', data: { type: 'data', data: Uint8Array.of(1, 2, 3) } },
      {
        type: 'file',
        mediaType: 'image/png',
        data: { type: 'url', url: new URL('https://example.com/a.png') },
      },
      ...call('p', 'pay', { amount: 5 }),
      ...finish('tool-calls'),
    ],
    says('Done.'),
  )
  await resume(stored((await start()).outcome), decide('p', true))
  expect(model.asked[1]?.prompt[2]?.content.slice(0, 2)).toEqual([
    { type: 'file', mediaType: 'image/png', data: { type: 'data', data: 'AQID' } },
    {
      type: 'file',
      mediaType: 'image/png',
      data: { type: 'url', url: new URL('https://example.com/a.png') },
    },
  ])
})

test.each([undefined, null, {}, { version: 2 }, 'text'])('the state %o is refused', async (state) => {
  const { resume } = setUp([])
  await expect(resume(state)).rejects.toMatchObject({ code: 'internal' })
})

test('a run that is stopped while an approved call works leaves no call open', async () => {
  const { start } = setUp([payTool(() => new Promise(() => {}))], mixed)
  const state = stored((await start()).outcome)
  const stage = new Stage()
  const agent = testAgent({ model: new ScriptedModel(), tools: [payTool(() => new Promise(() => {}))] })
  const playing = stage.play(agent, { ...inputOf(), resume: { state, decisions: [decide('p', true)] } })
  await new Promise(setImmediate)
  stage.abort.abort()
  await playing
  expect(stage.events).toMatchObject([
    { type: 'tool-call-error', toolCallId: 'p', error: { code: 'cancelled' } },
  ])
})
