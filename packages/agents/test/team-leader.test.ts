import { GatewayError, type Message } from '@turnpike/protocol'
import { describe, expect, test } from 'vitest'
import type { RunInput } from '../src/runnable.ts'
import { Stage, inputOf, user } from './run-agent.ts'
import { ScriptedModel, call, calls, says, streamOf, text } from './scripted-model.ts'
import { member, said, sayer, scripted, team } from './team-stage.ts'

describe('a team that routes', () => {
  const choose = (name: string) => says(JSON.stringify({ member: name }))

  test('lets its model pick one member, by its name, who gets the message as it is', async () => {
    const asked: RunInput[] = []
    const model = new ScriptedModel(choose('b c'))
    const stage = new Stage()
    const agents = [sayer('a', 'A'), sayer('b c', 'B answers.', asked)]
    const routed = team(agents, { mode: 'route', model, instructions: 'Prefer b.' })
    const outcome = await stage.play(routed, inputOf(user('hi'), [user('before')]))
    expect(said(stage.yields)).toEqual(['b c: B answers.'])
    expect(asked).toEqual([inputOf(user('hi'), [user('before')])])
    expect(outcome).toEqual({ finishReason: 'stop', usage: { inputTokens: 10, outputTokens: 5 } })
    expect(stage.types.filter((type) => type.startsWith('step'))).toEqual(['step-start', 'step-finish'])
    expect(JSON.stringify(model.prompt(0))).toContain('Prefer b.')
    expect(JSON.stringify(model.asked[0]?.responseFormat)).toContain('"enum":["a","b c"]')
  })

  test('asks once more where the team has no such member, and then fails', async () => {
    const agents = [sayer('a', 'A'), sayer('constructor', 'C')]
    const second = new Stage()
    await second.play(
      team(agents, { mode: 'route', model: new ScriptedModel(choose('x'), choose('constructor')) }),
    )
    expect(said(second.yields)).toEqual(['constructor: C'])
    const never = new Stage().play(
      team(agents, { mode: 'route', model: new ScriptedModel(choose('x'), says('a')) }),
    )
    await expect(never).rejects.toMatchObject({ code: 'invalid-output' })
  })

  test('does not ask for more than its model can be stopped in', async () => {
    const stage = new Stage()
    const model = new ScriptedModel(() => streamOf(text('{'), 'hang'))
    const played = stage.play(team([sayer('a', 'A')], { mode: 'route', model }))
    await stage.until((value) => typeof value !== 'string' && value.type === 'step-start')
    stage.abort.abort()
    expect(await played).toEqual({})
    expect(said(stage.yields)).toEqual([])
  })
})

describe('a team with a leader', () => {
  test('has its members as tools, which it may ask several times, and then answers', async () => {
    const asked: RunInput[] = []
    const model = new ScriptedModel(
      calls(text('I ask.'), call('1', 'ask_writer', { message: 'Write.' })),
      calls(call('2', 'ask_writer', { message: 'Again.' })),
      says('Here it is.'),
    )
    const stage = new Stage()
    const led = team([sayer('writer', 'A poem.', asked)], {
      mode: 'coordinate',
      model,
      instructions: 'Be kind.',
    })
    const outcome = await stage.play(led, inputOf(user('A poem!'), [user('before')]))
    expect(said(stage.yields)).toEqual([': I ask.', 'writer: \n\nA poem.\n\nA poem.', ': \n\nHere it is.'])
    expect(asked.map(({ text: task, history }) => ({ task, history }))).toEqual([
      { task: 'Write.', history: [] },
      { task: 'Again.', history: [] },
    ])
    expect(stage.of('tool-call-result')).toEqual([
      { type: 'tool-call-result', toolCallId: '1', tool: 'ask_writer', result: 'A poem.' },
      { type: 'tool-call-result', toolCallId: '2', tool: 'ask_writer', result: 'A poem.' },
    ])
    expect(stage.of('step-start').map(({ step }) => step)).toEqual([0, 1, 2])
    expect(outcome).toEqual({ finishReason: 'stop', usage: { inputTokens: 30, outputTokens: 15 } })
    expect(JSON.stringify(model.prompt(0))).toContain('Be kind.')
    expect(JSON.stringify(model.prompt(0))).toContain('before')
  })

  test('counts what members do as its own: steps, calls, usage', async () => {
    const model = new ScriptedModel(calls(call('1', 'ask_inner', { message: 'x' })), says('Done.'))
    const innerModel = new ScriptedModel(calls(call('1', 'ask_a', { message: 'y' })), says('Inner.'))
    const inner = team([sayer('a', 'A.')], { name: 'inner', mode: 'coordinate', model: innerModel })
    const stage = new Stage()
    const outcome = await stage.play(team([inner], { mode: 'coordinate', model, answer: 'last' }))
    expect(stage.of('step-start').map(({ step }) => step)).toEqual([0, 1, 2, 3])
    expect(stage.of('tool-call-start').map(({ toolCallId, agent }) => [toolCallId, agent])).toEqual([
      ['1', undefined],
      ['1-m2-m1', 'inner'],
    ])
    expect(said(stage.yields)).toEqual([': Done.'])
    expect(said(stage.yields, 'reasoning')).toEqual(['a: A.', 'inner: \n\nInner.'])
    expect(outcome.usage).toEqual({ inputTokens: 40, outputTokens: 20 })
  })

  test('makes no call that has the id of one of the history, whatever its models count', async () => {
    const history: Message[] = []
    const ids: string[] = []
    for (let run = 0; run < 3; run++) {
      const model = new ScriptedModel(calls(call('1', 'ask_a', { message: 'x' })), says('Done.'))
      const asked = scripted('a', calls(call('1', 'look', {})), says('A.'))
      const stage = new Stage()
      await stage.play(team([asked], { mode: 'coordinate', model }), inputOf(user('hi'), history))
      const begun = stage.of('tool-call-start')
      ids.push(...begun.map(({ toolCallId }) => toolCallId))
      const parts = begun.map((each) => ({
        ...each,
        type: 'tool' as const,
        state: 'done' as const,
        args: {},
      }))
      history.push(user('hi'), { ...user(''), role: 'assistant', parts })
    }
    expect(ids.slice(0, 2)).toEqual(['1', '1-m1'])
    expect(new Set(ids).size).toBe(6)
  })

  test('lets members speak one at a time that it asks at once', async () => {
    const model = new ScriptedModel(
      calls(call('1', 'ask_a', { message: 'x' }), call('2', 'ask_b', { message: 'y' })),
      says('Done.'),
    )
    const stage = new Stage()
    const agents = [sayer('a', 'one two three'), sayer('b', 'un deux trois')]
    await stage.play(team(agents, { mode: 'coordinate', model }))
    expect(said(stage.yields)).toEqual(['a: one two three', 'b: \n\nun deux trois', ': \n\nDone.'])
  })

  test('learns that a member has failed, but not why', async () => {
    const model = new ScriptedModel(calls(call('1', 'ask_broken', { message: 'x' })), says('Sorry.'))
    const broken = member('broken', () => {
      throw new Error('password: secret')
    })
    const stage = new Stage()
    await stage.play(team([broken], { mode: 'coordinate', model }))
    expect(stage.of('tool-call-error').map(({ error }) => error)).toEqual([
      { code: 'tool-failed', message: 'The agent "broken" failed.' },
    ])
    expect(said(stage.yields)).toEqual([': Sorry.'])
  })

  test('stops its members with itself', async () => {
    const model = new ScriptedModel(calls(call('1', 'ask_slow', { message: 'x' })))
    const stopped = Promise.withResolvers<void>()
    const slow = member('slow', async function* (_input, { signal }) {
      yield 'hm'
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
      stopped.resolve()
      throw new GatewayError('cancelled', 'stopped')
    })
    const stage = new Stage()
    const played = stage.play(team([slow], { mode: 'coordinate', model }))
    await stage.until((value) => typeof value !== 'string' && value.type === 'text-delta')
    stage.abort.abort()
    expect(await played).toEqual({})
    await stopped.promise
    expect(stage.of('tool-call-error')).toMatchObject([{ toolCallId: '1', error: { code: 'cancelled' } }])
  })

  test('has tools with names that every provider takes, and no two alike', () => {
    const agents = [
      sayer('a.b', ''),
      sayer('a b', ''),
      sayer('x'.repeat(80), ''),
      sayer(`${'x'.repeat(80)}y`, ''),
    ]
    const { tools } = team(agents, { mode: 'coordinate', model: new ScriptedModel() }).info
    expect(tools.slice(0, 2)).toEqual(['ask_a_b', 'ask_a_b_2'])
    expect(new Set(tools).size).toBe(4)
    for (const tool of tools) expect(tool).toMatch(/^[\w-]{1,64}$/)
  })
})
