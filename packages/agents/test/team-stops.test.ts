import { type AgentEvent, GatewayError } from '@turnpike/protocol'
import { describe, expect, test } from 'vitest'
import { flow } from '../src/flow.ts'
import type { Runnable } from '../src/runnable.ts'
import { sideBySide } from '../src/side-by-side.ts'
import { Workflow } from '../src/workflow.ts'
import { Stage } from './run-agent.ts'
import { ScriptedModel, call, calls } from './scripted-model.ts'
import { member, said, sayer, team } from './team-stage.ts'

const begins: AgentEvent = { type: 'tool-call-start', toolCallId: 'k', tool: 'look' }
const ends: AgentEvent = { type: 'tool-call-result', toolCallId: 'k', tool: 'look', result: 1 }

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve()))
}

/** Hears that it was stopped, and needs some more turns of the event loop to end its call. */
function cleaner(name: string): Runnable {
  return member(name, async function* (_input, { signal }) {
    yield begins
    await aborted(signal)
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
    yield ends
  })
}

/** Begins a call, and then nothing is heard of it. */
function deaf(name: string): Runnable {
  return member(name, async function* () {
    yield 'Hm. '
    yield begins
    await new Promise(() => {})
  })
}

/** Throws as soon as it is stopped. */
function hasty(name: string): Runnable {
  return member(name, async function* (_input, { signal }) {
    yield 'x'
    await aborted(signal)
    throw signal.reason
  })
}

/** What fails as soon as another has begun its call. */
function failsAfter(stage: Stage): () => Promise<never> {
  return async () => {
    await stage.until((value) => typeof value !== 'string' && value.type === 'tool-call-start')
    throw new GatewayError('tool-failed', 'No.')
  }
}

function branches(steps: Record<string, Runnable | (() => Promise<never>)>): Workflow {
  return new Workflow({ name: 'flow', register: false, steps: flow().parallel('p', steps) })
}

/** The calls that were told of, and how each ended. */
function callsOf(stage: Stage): string[] {
  return stage.events.flatMap((event) => {
    if (event.type === 'tool-call-start') return [`${event.toolCallId} begins`]
    if (event.type === 'tool-call-result') return [`${event.toolCallId} done`]
    return event.type === 'tool-call-error' ? [`${event.toolCallId} ${event.error.code}`] : []
  })
}

describe('who is stopped', () => {
  test.each([
    ['a team', () => team([cleaner('a'), hasty('b')], { mode: 'parallel' })],
    ['a workflow', () => branches({ a: cleaner('a'), b: hasty('b') })],
  ])('still ends its calls, where another one of %s has ended before', async (_what, make) => {
    const stage = new Stage()
    const played = stage.play(make())
    await stage.until((value) => typeof value !== 'string' && value.type === 'text-delta')
    stage.abort.abort()
    expect(await played).toEqual({})
    expect(callsOf(stage)).toEqual(['k begins', 'k done'])
  })

  test('still ends its calls, where a step beside it has failed', async () => {
    const stage = new Stage()
    const played = stage.play(branches({ a: cleaner('a'), b: failsAfter(stage) }))
    await expect(played).rejects.toMatchObject({ step: 'p/b' })
    expect(callsOf(stage)).toEqual(['k begins', 'k done'])
  })

  test('still ends its calls, where a leader has asked it', async () => {
    const model = new ScriptedModel(calls(call('1', 'ask_a', { message: 'x' })))
    const stage = new Stage()
    const played = stage.play(team([cleaner('a')], { mode: 'coordinate', model }))
    await stage.until(
      (value) => typeof value !== 'string' && 'toolCallId' in value && value.toolCallId === 'k-m1',
    )
    stage.abort.abort()
    expect(await played).toEqual({})
    expect(callsOf(stage).toSorted()).toEqual(['1 begins', '1 cancelled', 'k-m1 begins', 'k-m1 done'])
  })

  test('is left to itself where it does not listen, and its calls end with it', async () => {
    const stage = new Stage()
    const played = stage.play(branches({ a: deaf('a'), b: failsAfter(stage) }))
    await expect(played).rejects.toMatchObject({ step: 'p/b' })
    expect(callsOf(stage)).toEqual(['k begins', 'k cancelled'])
  })

  test('holds nobody where it does not listen', async () => {
    const abort = new AbortController()
    const stream = team([deaf('a')]).stream('?', { signal: abort.signal })
    for await (const value of stream)
      if (typeof value !== 'string' && value.type === 'tool-call-start') abort.abort()
    expect(await stream.result).toMatchObject({ text: 'Hm. ', finishReason: 'cancelled' })
  })

  test('leaves the floor to those who come after it, though it does not end', async () => {
    let tries = 0
    const chat = member('chat', async function* () {
      yield `Try ${tries}.`
      if (tries === 0) await new Promise(() => {})
    })
    const stage = new Stage()
    const flaky = async (): Promise<void> => {
      await stage.until((value) => typeof value !== 'string' && value.type === 'text-delta')
      if (tries++ === 0) throw new Error('Not yet.')
    }
    const both = flow().parallel('p', { chat, flaky })
    const steps = flow().step('both', both, { retries: 1 }).step('end', sayer('end', 'End.'))
    await stage.play(new Workflow({ name: 'w', register: false, steps }))
    expect(said(stage.yields)).toEqual(['chat: Try 0.\n\nTry 1.', 'end: \n\nEnd.'])
  })
})

test('a member that throws is not asked to clean up, which it could take for ever', async () => {
  const odd: Runnable = {
    name: 'odd',
    info: { name: 'odd', kind: 'agent', model: null, provider: null, tools: [] },
    run: () => ({
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.reject(new GatewayError('tool-failed', 'boom')),
        return: () => new Promise(() => {}),
      }),
    }),
  }
  await expect(new Stage().play(team([odd]))).rejects.toMatchObject({ code: 'tool-failed' })
})

test('a member whose words are not told lets the event loop turn, too', async () => {
  const stage = new Stage()
  let said = 0
  const endless = member('endless', async function* (_input, { signal }) {
    while (!signal.aborted && said++ < 100_000) yield ''
  })
  setImmediate(() => stage.abort.abort())
  expect(await stage.play(team([endless]))).toEqual({})
  expect(said).toBeLessThan(1_000)
})

test('what others have given by then is told where one fails', async () => {
  const told: string[] = []
  const stopped: string[] = []
  const gate = Promise.withResolvers<void>()
  async function* source(value: string): AsyncGenerator<string, void> {
    if (value !== 'first') await gate.promise
    if (value === 'fails') throw new Error('no')
    yield value
  }
  const merged = sideBySide(['fails', 'first', 'other'].map(source), {
    stop: () => stopped.push(...told),
    tell: (value) => told.push(value),
  })
  expect(await merged.next()).toEqual({ value: 'first', done: false })
  gate.resolve()
  await new Promise(setImmediate)
  await expect(merged.next()).rejects.toThrow('no')
  expect(told).toEqual(['other'])
  expect(stopped).toEqual(['other'])
})
