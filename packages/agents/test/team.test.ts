import { GatewayError } from '@turnpike/protocol'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { createAgent } from '../src/create-agent.ts'
import { defaultRegistry } from '../src/registry.ts'
import type { RunInput, Runnable } from '../src/runnable.ts'
import { Team } from '../src/team.ts'
import { Stage, add, inputOf, user } from './run-agent.ts'
import { ScriptedModel, call, calls, finish, says, text } from './scripted-model.ts'
import { askedOf, member, said, sayer, scripted, team } from './team-stage.ts'

const model = new ScriptedModel()

describe('a team', () => {
  test('tells what it is, and joins the registry unless told not to', () => {
    const agents = [sayer('a', ''), sayer('b c', '')]
    const made = new Team({ name: 'desk', description: 'd', agents, model, mode: 'coordinate' })
    expect(made.info).toEqual({
      name: 'desk',
      kind: 'team',
      description: 'd',
      model: 'scripted-1',
      provider: 'scripted',
      tools: ['ask_a', 'ask_b_c'],
      mode: 'coordinate',
      members: ['a', 'b c'],
    })
    expect(defaultRegistry.get('desk', 'team')).toBe(made)
    expect(defaultRegistry.get('desk', 'agent')).toBeUndefined()
    defaultRegistry.remove('desk', 'team')
    team(agents)
    expect(defaultRegistry.get('team')).toBeUndefined()
  })

  test('needs a name, members with names of their own, and a model where something is to be decided', () => {
    const agents = [sayer('a', '')]
    for (const wrong of [
      { name: '' },
      { name: 'a\nb' },
      { agents: [] },
      { agents: [sayer('a', ''), sayer('a', '')] },
      { mode: 'route' },
      { mode: 'coordinate' },
      { mode: 'chaos' },
      { mode: 'route', model: { specificationVersion: 'v1' } },
    ]) {
      const options = { name: 'team', agents, register: false, ...wrong } as ConstructorParameters<
        typeof Team
      >[0]
      expect(() => new Team(options)).toThrow(expect.objectContaining({ code: 'invalid-payload' }))
    }
  })

  test('is run directly as an agent is', async () => {
    const {
      text: answer,
      finishReason,
      steps,
    } = await team([scripted('a', says('One.')), sayer('b', 'Two.')]).generate('?')
    expect({ answer, finishReason, steps }).toEqual({
      answer: 'One.\n\nTwo.',
      finishReason: 'stop',
      steps: 1,
    })
  })
})

describe('members one after the other', () => {
  test('are told the message, the history and what those before them have answered', async () => {
    const asked: RunInput[] = []
    const stage = new Stage()
    const history = [user('before')]
    const agents = [sayer('a', 'First. ', asked), sayer('b', 'Second.', asked), sayer('c', 'Third.', asked)]
    await stage.play(team(agents), inputOf(user('hi'), history))
    expect(said(stage.yields)).toEqual(['a: First. ', 'b: \n\nSecond.', 'c: \n\nThird.'])
    expect(asked.map((input) => input.history)).toEqual([history, history, history])
    expect(asked.slice(0, 1)).toEqual([{ text: 'hi', message: user('hi'), history }])
    expect(askedOf(asked[2])).toBe(
      'hi\n\nWhat others have answered so far:\n\n## a\n\nFirst. \n\n## b\n\nSecond.',
    )
    expect(asked[2]?.earlier).toEqual([
      { agent: 'a', text: 'First. ' },
      { agent: 'b', text: 'Second.' },
    ])
  })

  test('hand on what they have answered in a shape of their own, typed', async () => {
    const asked: RunInput[] = []
    const output = z.object({ city: z.string() })
    const finder = createAgent({
      name: 'finder',
      register: false,
      model: new ScriptedModel(says('{"city":"Oslo"}')),
      output,
    })
    await new Stage().play(team([finder, sayer('b', 'x', asked)]))
    expect(asked[0]?.earlier).toEqual([
      { agent: 'finder', text: '{"city":"Oslo"}', output: { city: 'Oslo' } },
    ])
  })

  test('speak for themselves where only the last one answers, and think aloud before', async () => {
    const stage = new Stage()
    await stage.play(team([sayer('a', 'First.'), sayer('b', 'Second.')], { answer: 'last' }))
    expect(said(stage.yields)).toEqual(['b: Second.'])
    expect(said(stage.yields, 'reasoning')).toEqual(['a: First.'])
  })

  test('count their steps in one row, and their usage together', async () => {
    const stage = new Stage()
    const tools = [add]
    const adder = createAgent({
      name: 'adder',
      register: false,
      tools,
      model: new ScriptedModel(calls(call('c', 'add', { a: 1, b: 2 })), [
        ...text('3'),
        ...finish('length', { input: 1, output: 2, raw: { x: 1 } }),
      ]),
    })
    const twin = createAgent({
      name: 'twin',
      register: false,
      tools,
      model: new ScriptedModel(calls(call('c', 'add', { a: 3, b: 4 })), [
        ...text('7'),
        ...finish('stop', { raw: { x: 2 } }),
      ]),
    })
    const outcome = await stage.play(team([adder, twin]))
    expect(stage.of('step-start').map(({ step }) => step)).toEqual([0, 1, 2, 3])
    expect(stage.of('step-finish').map(({ step }) => step)).toEqual([0, 1, 2, 3])
    expect(outcome).toEqual({
      finishReason: 'length',
      usage: { inputTokens: 31, outputTokens: 17, providerMetrics: { x: 3 } },
    })
    expect(stage.of('tool-call-result')).toEqual([
      { type: 'tool-call-result', toolCallId: 'c', tool: 'add', result: 3, agent: 'adder' },
      { type: 'tool-call-result', toolCallId: 'c-m1', tool: 'add', result: 7, agent: 'twin' },
    ])
  })

  test('end the run where one fails, which is named', async () => {
    const asked: RunInput[] = []
    const broken = member('broken', async function* () {
      yield 'I '
      throw new GatewayError('model-failed', 'The model failed.')
    })
    const stage = new Stage()
    const played = stage.play(team([sayer('a', 'One.'), broken, sayer('c', '', asked)]))
    await expect(played).rejects.toMatchObject({
      code: 'model-failed',
      message: 'The agent "broken" failed: The model failed.',
    })
    expect(said(stage.yields)).toEqual(['a: One.', 'broken: \n\nI '])
    expect(asked).toEqual([])
  })

  test('do not say what went wrong inside of one', async () => {
    const broken = member('broken', () => {
      throw new Error('password: secret')
    })
    await expect(new Stage().play(team([broken]))).rejects.toMatchObject({
      code: 'agent-failed',
      message: 'The agent "broken" failed.',
    })
  })

  test('stop where the run is stopped: who speaks learns of it, who comes next is not asked', async () => {
    const asked: RunInput[] = []
    const stage = new Stage()
    const endless = member('endless', async function* (_input, { signal }) {
      for (let count = 0; !signal.aborted; count++) {
        yield `${count} `
        await new Promise(setImmediate)
      }
    })
    const played = stage.play(team([endless, sayer('next', '', asked)]))
    await stage.until((value) => typeof value !== 'string' && 'delta' in value && value.delta === '2 ')
    stage.abort.abort()
    expect(await played).toEqual({})
    expect(asked).toEqual([])
  })

  test('name who really speaks where a team is a member', async () => {
    const stage = new Stage()
    const inner = team([sayer('a', 'A.'), sayer('b', 'B.')], { name: 'inner' })
    await stage.play(team([inner, sayer('c', 'C.')]))
    expect(said(stage.yields)).toEqual(['a: A.', 'b: \n\nB.', 'c: \n\nC.'])
  })

  test('have calls that no other has, in whatever team they are', async () => {
    const stage = new Stage()
    const caller = (name: string): Runnable =>
      scripted(name, calls(call('c', 'look', {})), calls(call('c', 'look', {})), says(name))
    const inner = team([caller('a'), caller('b')], { name: 'inner' })
    const deep = team([team([caller('d')], { name: 'deepest' }), caller('e')], { name: 'deep' })
    await stage.play(team([inner, caller('c'), deep]))
    const ids = stage.of('tool-call-start').map(({ toolCallId }) => toolCallId)
    expect(ids).toHaveLength(10)
    expect(new Set(ids).size).toBe(10)
  })

  test('find their own run where they emit, at any depth', async () => {
    const stage = new Stage()
    const teller = member('teller', async function* (_input, context) {
      context.emit({ type: 'tool-call-start', toolCallId: 'x', tool: 't' })
      context.emit({ type: 'run-update', background: { id: 'x', name: 't', status: 'running', progress: 0 } })
      context.emit({ type: 'text-delta', delta: 'aside', channel: 'reasoning' })
      yield 'done'
    })
    await stage.play(team([sayer('a', 'A'), teller]))
    expect(stage.of('tool-call-start')).toEqual([
      { type: 'tool-call-start', toolCallId: 'x-m1', tool: 't', agent: 'teller' },
    ])
    expect(stage.of('run-update')[0]?.background.id).toBe('x-m1')
    expect(said(stage.yields, 'reasoning')).toEqual(['teller: aside'])
  })

  test('leave what is no event to the gateway, wherever it comes from', async () => {
    const wrong = [
      null,
      7,
      { type: 'no-event' },
      { type: 'tool-call-start', tool: 't' },
      { type: 'run-update' },
    ]
    const odd = member('odd', async function* (_input, context) {
      for (const value of wrong) context.emit(value as never)
      yield { type: 'tool-call-result' } as never
    })
    const stage = new Stage()
    await stage.play(team([sayer('a', 'A'), odd]))
    expect(stage.yields.slice(1)).toEqual(
      [...wrong, { type: 'tool-call-result' }].map((value) =>
        value && typeof value === 'object' && value.type.startsWith('tool-')
          ? { ...value, agent: 'odd' }
          : value,
      ),
    )
  })

  test('take over what the run asks of its model', async () => {
    const a = scripted('a', says('A'))
    const b = scripted('b', says('B'))
    await team([a, b]).generate('?', { temperature: 0.25, maxTokens: 7 })
    for (const { asked } of [a, b]) expect(asked).toMatchObject([{ temperature: 0.25, maxOutputTokens: 7 }])
  })
})
