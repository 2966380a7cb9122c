import { GatewayError } from '@turnpike/protocol'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { createAgent } from '../src/create-agent.ts'
import { emit } from '../src/context.ts'
import { defineAgent } from '../src/define-agent.ts'
import { type StepContext, flow } from '../src/flow.ts'
import { StepError } from '../src/flow-run.ts'
import { defaultRegistry } from '../src/registry.ts'
import type { RunInput, Runnable } from '../src/runnable.ts'
import { Workflow, type WorkflowOptions } from '../src/workflow.ts'
import { Stage, inputOf, user } from './run-agent.ts'
import { ScriptedModel, says } from './scripted-model.ts'
import { askedOf, member, said, sayer, scripted, team } from './team-stage.ts'

function workflow<Output>(
  steps: WorkflowOptions<Output>['steps'],
  options: Partial<WorkflowOptions<Output>> = {},
): Workflow<Output> {
  return new Workflow({ name: 'flow', steps, register: false, ...options })
}

/** What was told of steps: `name status`, and a message where there is one. */
function updates(stage: Stage): string[] {
  return stage
    .of('run-update')
    .map(({ background: { name, status, message } }) => [name, status, message].filter(Boolean).join(' '))
}

const city = createAgent({
  name: 'city',
  register: false,
  model: new ScriptedModel(says('{"city":"Oslo"}'), says('{"city":"Oslo"}')),
  output: z.object({ city: z.string() }),
})

/** Says nothing, and comes to something. */
const counted = defineAgent({
  name: 'counted',
  register: false,
  // oxlint-disable-next-line require-yield
  async *run() {
    return { output: 7 }
  },
})

describe('a workflow', () => {
  test('tells what it is, and joins the registry unless told not to', () => {
    const steps = flow()
      .step('a', () => 1)
      .when('b', () => true, sayer('x', ''))
      .branch('c', () => 'y', { y: (value) => value, z: flow<string | number>().step('inner', () => 2) })
      .parallel('d', { one: () => 1, two: flow<string | number>().step('deep', () => 2) })
    const made = new Workflow({ name: 'publish', description: 'd', steps })
    expect(made.info).toEqual({
      name: 'publish',
      kind: 'workflow',
      description: 'd',
      model: null,
      provider: null,
      tools: [],
      steps: ['a', 'b', 'c/y', 'c/z/inner', 'd/one', 'd/two/deep'],
    })
    expect(defaultRegistry.get('publish', 'workflow')).toBe(made)
    defaultRegistry.remove('publish', 'workflow')
    workflow(steps)
    expect(defaultRegistry.get('flow')).toBeUndefined()
  })

  test('needs a name, steps, and a name of its own for each', () => {
    const steps = flow().step('a', () => 1)
    for (const make of [
      () => workflow(steps, { name: '' }),
      () => workflow(flow()),
      () => steps.step('a', () => 2),
      () => flow().step('', () => 2),
    ]) {
      expect(make).toThrow(expect.objectContaining({ code: 'invalid-payload' }))
    }
  })

  test('hands each step the typed result of the one before, and the results of all by name', async () => {
    const named = defineAgent({ name: 'named', register: false, async *run() {} })
    const steps = flow()
      .step('where', city)
      .step('length', async ({ city: name }, context) => {
        expectTypeOf(name).toEqualTypeOf<string>()
        expectTypeOf(context.results.where).toEqualTypeOf<{ city: string }>()
        return name.length
      })
      .parallel('both', { twice: (length) => length * 2, text: (length) => `${length}` })
      .step('end', ({ twice, text }, { results }) => {
        expectTypeOf(twice).toEqualTypeOf<number>()
        expectTypeOf(text).toEqualTypeOf<string>()
        expectTypeOf(results.length).toEqualTypeOf<number>()
        return { twice, text, where: results.where.city }
      })
    const made = workflow(steps)
    expectTypeOf(made).toEqualTypeOf<Workflow<{ twice: number; text: string; where: string }>>()
    const { output, text } = await made.generate('?')
    expect(output).toEqual({ twice: 8, text: '4', where: 'Oslo' })
    expect(text).toBe('{"city":"Oslo"}\n\n{"twice":8,"text":"4","where":"Oslo"}')

    // Types alone: an agent without an output comes to its text, what nothing is known of to the unknown.
    const plain = createAgent({ name: 'plain', model: new ScriptedModel(), register: false })
    flow()
      .step('plain', plain)
      .step('named', (value) => expectTypeOf(value).toEqualTypeOf<string>())
    flow()
      .step('named', named)
      .step('counted', (value) => expectTypeOf(value).toEqualTypeOf<string>())
    flow()
      .step('counted', counted)
      .step('inner', made)
      .step('any', (value, { results }) => {
        expectTypeOf(results.counted).toEqualTypeOf<number>()
        expectTypeOf(value).toEqualTypeOf<{ twice: number; text: string; where: string }>()
        return plain as Runnable
      })
    flow()
      .step('team', team([plain]))
      .when(
        'maybe',
        () => false,
        () => 1,
      )
      .step('end', (value, { results }) => {
        expectTypeOf(value).toEqualTypeOf<unknown>()
        expectTypeOf(results.maybe).toEqualTypeOf<number | undefined>()
      })
    flow()
      .branch('which', () => 'a', { a: () => 1, b: () => 'x' })
      .step('end', (value) => expectTypeOf(value).toEqualTypeOf<string | number>())
    // @ts-expect-error A case that there is not.
    flow().branch('which', () => 'c', { a: () => 1 })
    // @ts-expect-error A step that wants something else.
    flow().step('number', (value: number) => value)
    const ofNumber = flow<number>().step('a', (value) => value)
    // @ts-expect-error Steps that want something else.
    flow().step('inner', ofNumber)
    // @ts-expect-error A workflow begins with text.
    workflow(ofNumber)
  })

  test('asks agents with what the step before came to: text as it is, anything else as JSON', async () => {
    const asked: RunInput[] = []
    const message = {
      ...user('hi'),
      parts: [
        { type: 'text' as const, text: 'hi' },
        { type: 'file' as const, mediaType: 'text/plain', data: 'aGk=' },
      ],
    }
    const history = [user('before')]
    const steps = flow()
      .step('first', sayer('first', 'One.', asked))
      .step('second', sayer('second', 'Two.', asked))
      .step('object', (text) => ({ text }))
      .step('third', sayer('third', 'Three.', asked))
    const stage = new Stage()
    await stage.play(workflow(steps), inputOf(message, history))
    expect(asked[0]).toEqual({ text: 'hi', message, history })
    expect(asked.slice(1).map(askedOf)).toEqual(['One.', '{"text":"Two."}'])
    expect(asked.map((input) => input.history)).toEqual([history, history, history])
    expect(said(stage.yields)).toEqual(['first: One.', 'second: \n\nTwo.', 'third: \n\nThree.'])
  })

  test('takes the steps that fit', async () => {
    const made = workflow(
      flow()
        .step('number', (text) => Number(text))
        .when(
          'negative',
          (value) => value < 0,
          (value) => -value,
        )
        .branch('size', async (value) => (value > 10 ? 'large' : 'small'), {
          large: flow<number>()
            .step('half', (value) => value / 2)
            .step('text', (value) => `large: ${value}`),
          small: (value) => `small: ${value}`,
        }),
    )
    const stage = new Stage()
    await stage.play(made, { ...inputOf(), text: '-40' })
    expect(updates(stage)).toEqual(
      ['number', 'negative', 'size/large/half', 'size/large/text'].flatMap((name) => [
        `${name} running`,
        `${name} done`,
      ]),
    )
    expect(stage.outcome?.output).toBe('large: 20')
    expect((await made.generate('3')).output).toBe('small: 3')
  })

  test('says at its end what it came to, where nobody has said so', async () => {
    const answer = async (steps: WorkflowOptions<unknown>['steps'], more: object = {}): Promise<string> =>
      (await workflow(steps, more).generate('hi')).text
    const writer = sayer('writer', 'Said.')
    expect(await answer(flow().step('a', writer))).toBe('Said.')
    expect(await answer(flow().step('a', () => 'Made.'))).toBe('Made.')
    expect(await answer(flow().step('a', () => ({ made: [1] })))).toBe('{"made":[1]}')
    expect(await answer(flow().step('a', () => {}))).toBe('')
    expect(
      await answer(
        flow()
          .step('a', writer)
          .step('b', (text) => text),
      ),
    ).toBe('Said.')
    expect(
      await answer(
        flow()
          .step('a', writer)
          .when(
            'b',
            () => false,
            () => 'x',
          ),
      ),
    ).toBe('Said.')
    expect(
      await answer(
        flow()
          .step('a', writer)
          .step('b', (text) => text.length),
      ),
    ).toBe('Said.\n\n5')
    expect(await answer(flow().parallel('p', { a: writer }))).toBe('Said.')
    expect(await answer(flow().step('a', counted))).toBe('7')
    expect(await answer(flow().parallel('p', { a: writer, b: sayer('silent', '') }))).toBe('Said.')
    expect(
      await answer(
        flow()
          .step('a', writer)
          .step('b', () => 'Last.'),
        { answer: 'last' },
      ),
    ).toBe('Last.')
    expect(await answer(flow().step('a', flow().step('b', writer)), { answer: 'last' })).toBe('Said.')
    expect(
      await answer(
        flow()
          .step('a', writer)
          .step('b', (text) => text),
        { answer: 'last' },
      ),
    ).toBe('Said.')
  })
})

describe('a step', () => {
  test('knows its run, and tells how far it is and whatever else', async () => {
    const seen: StepContext[] = []
    const stage = new Stage()
    const steps = flow().step('work', (_text, context) => {
      seen.push(context)
      context.progress(0.5, 'half')
      context.progress(Number.NaN)
      context.progress(7)
      emit({ type: 'text-delta', delta: 'By the way. ', channel: 'answer' })
      return 'Done.'
    })
    await stage.play(workflow(steps))
    expect(seen).toMatchObject([{ runId: 'run', threadId: 'thread', step: 'work', input: { text: 'hi' } }])
    expect(stage.of('run-update').map(({ background: { status, progress } }) => [status, progress])).toEqual([
      ['running', 0],
      ['running', 0.5],
      ['running', 0.5],
      ['running', 1],
      ['done', 1],
    ])
    expect(said(stage.yields)).toEqual([': By the way. \n\nDone.'])
  })

  test('that fails, fails the run and is named; what it knows is not told', async () => {
    const secret = new Error('password: secret')
    const stage = new Stage()
    const steps = flow().step(
      'outer',
      flow().step('inner', () => Promise.reject(secret)),
    )
    const error: unknown = await stage.play(workflow(steps)).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(StepError)
    expect(error).toMatchObject({
      code: 'agent-failed',
      step: 'outer/inner',
      message: 'The step "outer/inner" failed.',
      cause: secret,
    })
    expect(updates(stage)).toEqual([
      'outer/inner running',
      'outer/inner failed The step "outer/inner" failed.',
    ])
  })

  test('fails with what its agent, its condition or its value has failed with', async () => {
    const failed = async (steps: WorkflowOptions<unknown>['steps']): Promise<unknown> =>
      workflow(steps)
        .generate('hi')
        .catch((error: unknown) => error)
    const refuse = (): never => {
      throw new GatewayError('model-rate-limited', 'Later.', { retryAfterMs: 5 })
    }
    expect(await failed(flow().step('a', scripted('x', new Error('secret'))))).toMatchObject({
      code: 'model-failed',
      message: 'The step "a" failed: The agent "x" failed: The model failed.',
    })
    expect(await failed(flow().when('b', refuse, () => 1))).toMatchObject({
      code: 'model-rate-limited',
      step: 'b',
      retryAfterMs: 5,
    })
    const wrong: () => 'y' = () => JSON.parse('"constructor"')
    expect(await failed(flow().branch('c', wrong, { y: () => 1 }))).toMatchObject({
      step: 'c',
      message: 'The step "c" failed: There is no case "constructor".',
    })
    expect(
      await failed(
        flow()
          .step('d', () => 1n)
          .step('e', sayer('x', '')),
      ),
    ).toMatchObject({ step: 'e' })
  })

  test('is tried again where it fails, as often as it may', async () => {
    let tries = 0
    const flaky = (): number => {
      tries++
      if (tries < 3) throw new GatewayError('tool-failed', 'Not yet.')
      return tries
    }
    const stage = new Stage()
    await stage.play(workflow(flow().step('flaky', flaky, { retries: 2 })))
    expect(stage.outcome?.output).toBe(3)
    expect(updates(stage)).toEqual([
      'flaky running',
      'flaky running The step "flaky" failed: Not yet.',
      'flaky running The step "flaky" failed: Not yet.',
      'flaky done',
    ])
    tries = 0
    const played = new Stage().play(workflow(flow().parallel('p', { flaky }, { retries: 1 })))
    await expect(played).rejects.toMatchObject({ step: 'p/flaky' })
  })

  test('beside others stops them where it fails', async () => {
    const stopped = Promise.withResolvers<unknown>()
    const begun = Promise.withResolvers<void>()
    const stage = new Stage()
    const steps = flow().parallel('p', {
      slow: (_text, { signal }) => {
        signal.addEventListener('abort', () => stopped.resolve(signal.reason))
        begun.resolve()
        return new Promise<never>(() => {})
      },
      fails: async () => {
        await begun.promise
        throw new GatewayError('tool-failed', 'No.')
      },
    })
    await expect(stage.play(workflow(steps))).rejects.toMatchObject({ step: 'p/fails' })
    await stopped.promise
    expect(updates(stage)).toEqual([
      'p/slow running',
      'p/fails running',
      'p/fails failed The step "p/fails" failed: No.',
      'p/slow cancelled',
    ])
  })

  test('ends with its run, whether it listens or not', async () => {
    const stage = new Stage()
    const asked: RunInput[] = []
    const steps = flow()
      .step('deaf', () => new Promise<string>(() => {}))
      .step('next', sayer('next', '', asked))
    const played = stage.play(workflow(steps))
    await stage.until((value) => typeof value !== 'string' && value.type === 'run-update')
    stage.abort.abort()
    expect(await played).toEqual({})
    expect(asked).toEqual([])
    expect(updates(stage)).toEqual(['deaf running', 'deaf cancelled'])
  })

  test('may be a team or a workflow, whose usage counts, and whose approvals are waited for', async () => {
    const asks = member('asks', async function* ({ resume }, { approvals }) {
      if (!resume)
        return { parked: { state: await approvals.open({ toolCallId: 'x', tool: 't', args: {} }) } }
      yield resume.decisions.map(({ approved }) => String(approved)).join()
      return {}
    })
    const inner = workflow(
      flow().step('team', team([scripted('a', says('A.')), scripted('b', says('B.'))])),
      { name: 'inner' },
    )
    const made = workflow(flow().step('inner', inner).step('asks', asks))
    const stream = made.stream('hi', { onApproval: () => true })
    const stage = new Stage()
    for await (const value of stream) stage.yields.push(value)
    expect(said(stage.yields)).toEqual(['a: A.', 'b: \n\nB.', 'asks: \n\ntrue'])
    expect((await stream.result).usage).toEqual({ inputTokens: 20, outputTokens: 10 })
    expect(updates(stage).slice(0, 4)).toEqual(['inner running', 'team running', 'team done', 'inner done'])
  })
})
