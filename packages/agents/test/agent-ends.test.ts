import { APICallError } from '@ai-sdk/provider'
import { type AgentEvent, GatewayError } from '@turnpike/protocol'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { type ToolDef } from '../src/tool.ts'
import { Stage, add, inputOf, testAgent, tool, user } from './run-agent.ts'
import {
  ScriptedModel,
  type Turn,
  call,
  calls,
  finish,
  says,
  streamOf,
  streamedCall,
  text,
} from './scripted-model.ts'

async function failure(
  ...turns: Turn[]
): Promise<{ error: GatewayError; stage: Stage; model: ScriptedModel }> {
  const model = new ScriptedModel(...turns)
  const stage = new Stage()
  const error: unknown = await stage.play(testAgent({ model, tools: [add] })).then(
    () => expect.unreachable(),
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(GatewayError)
  return { error: error as GatewayError, stage, model }
}

describe('a model that fails', () => {
  function refusal(statusCode: number, responseHeaders: Record<string, string> = {}): APICallError {
    return new APICallError({
      message: 'key sk-1',
      url: 'u',
      requestBodyValues: {},
      statusCode,
      responseHeaders,
    })
  }

  test.each<[string, Turn, string]>([
    ['rejects', new Error('sk-1 secret'), 'model-failed'],
    ['refuses the key', refusal(401), 'model-unauthorized'],
    ['answers that the request is bad', refusal(400), 'model-failed'],
    ['throws midway', () => streamOf(text('Hel'), new Error('sk-1 secret')), 'model-failed'],
    ['ends without a finish', text('Hel'), 'model-failed'],
    ['says nothing at all', [], 'model-failed'],
    [
      'reports an error',
      [...text('Hel'), { type: 'error', error: 'sk-1 secret' }, ...finish('error')],
      'model-failed',
    ],
    ['finishes with an error', [...text('Hel'), ...finish('error')], 'model-failed'],
    ['is interrupted', [...text('Hel'), ...finish('interrupted')], 'model-failed'],
  ])('(it %s) ends the run with a stable code and a safe message', async (_, turn, code) => {
    const { error, model } = await failure(turn)
    expect(error.code).toBe(code)
    expect(error.message).not.toMatch(/sk-1/)
    expect(model.asked).toHaveLength(1)
  })

  test('leaves no call open', async () => {
    const { stage } = await failure(() =>
      streamOf(
        [...streamedCall('c', 'add', ['{}']), { type: 'tool-input-start', id: 'd', toolName: 'add' }],
        new Error('x'),
      ),
    )
    expect(stage.of('tool-call-error').map(({ toolCallId }) => toolCallId)).toEqual(['c', 'd'])
  })

  test('before its first part is asked again, up to three times, after the time it names', async () => {
    const busy = refusal(529, { 'retry-after-ms': '1' })
    const model = new ScriptedModel(busy, refusal(500, { 'retry-after': '0' }), says('there'))
    const stage = new Stage()
    await stage.play(testAgent({ model }))
    expect(stage.text).toBe('there')
    expect(stage.of('step-start')).toHaveLength(1)
    const { error, model: other } = await failure(busy, busy, busy, says('never'))
    expect(error.code).toBe('model-failed')
    expect(other.asked).toHaveLength(3)
  })

  test.each([
    [0, 250, 500],
    [0.5, 375, 750],
  ])('is asked again after a growing time where it names none (random %d)', async (random, first, second) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const dice = vi.spyOn(Math, 'random').mockReturnValue(random)
    onTestFinished(() => {
      vi.useRealTimers()
      dice.mockRestore()
    })
    const model = new ScriptedModel(refusal(500), refusal(500), says('there'))
    const playing = new Stage().play(testAgent({ model }))
    for (const [asked, delay] of [first, second].entries()) {
      await vi.advanceTimersByTimeAsync(delay - 1)
      expect(model.asked).toHaveLength(asked + 1)
      await vi.advanceTimersByTimeAsync(1)
    }
    await playing
  })

  test('honours Retry-After in seconds; one that is too long is not waited for', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const model = new ScriptedModel(
      refusal(429, { 'retry-after': '3' }),
      refusal(429, { 'retry-after': '3600' }),
    )
    const playing = new Stage().play(testAgent({ model })).catch((error: unknown) => error)
    await vi.advanceTimersByTimeAsync(2_999)
    expect(model.asked).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(model.asked).toHaveLength(2)
    expect(await playing).toMatchObject({ code: 'model-rate-limited', retryAfterMs: 3_600_000 })
  })
})

describe('an abort', () => {
  const hang = (): Promise<never> => new Promise(() => {})
  const opened: Turn = () =>
    streamOf([...text('Hel'), { type: 'tool-input-start', id: 'c', toolName: 'add' }], 'hang')

  test.each<[string, Turn[], ToolDef[], (stage: Stage) => Promise<void>]>([
    ['while the model is silent', [hang], [], (stage) => stage.until((value) => typeof value !== 'string')],
    ['while the model talks', [opened], [], (stage) => stage.until((value) => value === 'Hel')],
    [
      'while tools work that ignore it',
      [calls(call('c', 't', {}), call('d', 't', {}))],
      [tool('t', hang)],
      (stage) => stage.until((value) => typeof value !== 'string' && value.type === 'tool-call-args'),
    ],
    [
      'while a tool cannot decide whether it needs approval',
      [calls(call('c', 't', {}))],
      [tool('t', hang, { needsApproval: hang })],
      (stage) => stage.until((value) => typeof value !== 'string' && value.type === 'tool-call-args'),
    ],
    [
      'while the model is waited for',
      [
        new APICallError({
          message: '',
          url: '',
          requestBodyValues: {},
          statusCode: 500,
          responseHeaders: { 'retry-after': '50' },
        }),
      ],
      [],
      () => new Promise((resolve) => setTimeout(resolve, 5)),
    ],
  ])('%s ends the run at once and leaves no call open', async (_, turns, ...[tools, reached]) => {
    const model = new ScriptedModel(...turns)
    const stage = new Stage()
    const playing = stage.play(testAgent({ model, tools }))
    await reached(stage)
    await new Promise(setImmediate)
    stage.abort.abort('a reason that is no error')
    expect(await playing).toEqual({})
    const started = stage.of('tool-call-start').map(({ toolCallId }) => toolCallId)
    const ended = stage.of('tool-call-error')
    expect(ended.map(({ toolCallId }) => toolCallId)).toEqual(started)
    for (const { error } of ended) expect(error.code).toBe('cancelled')
    expect(model.asked.every(({ abortSignal }) => abortSignal?.aborted)).toBe(true)
  })

  test('cancels the stream of the model, also one that comes too late', async () => {
    const cancelled = vi.fn()
    const late = Promise.withResolvers<ReadableStream>()
    for (const turn of [
      (): ReadableStream => new ReadableStream({ cancel: cancelled }),
      () => late.promise,
    ]) {
      const stage = new Stage()
      const playing = stage.play(testAgent({ model: new ScriptedModel(turn) }))
      await new Promise((resolve) => setTimeout(resolve, 2))
      stage.abort.abort()
      await playing
    }
    expect(cancelled).toHaveBeenCalledTimes(1)
    late.resolve(new ReadableStream({ cancel: cancelled }))
    await vi.waitFor(() => expect(cancelled).toHaveBeenCalledTimes(2))
  })

  test('makes no call that waits for its turn', async () => {
    const execute = vi.fn(() => new Promise(() => {}))
    const three = ['a', 'b', 'c'].map((id) => call(id, 't', {}))
    const stage = new Stage()
    const agent = testAgent({
      model: new ScriptedModel(calls(...three)),
      tools: [tool('t', execute)],
      toolConcurrency: 1,
    })
    const playing = stage.play(agent)
    await vi.waitFor(() => expect(execute).toHaveBeenCalled())
    stage.abort.abort()
    await playing
    await new Promise(setImmediate)
    expect(execute).toHaveBeenCalledTimes(1)
    expect(stage.of('tool-call-error')).toHaveLength(3)
  })

  test('before the run asks no model', async () => {
    const model = new ScriptedModel(says('x'))
    const stage = new Stage()
    stage.abort.abort()
    expect(await stage.play(testAgent({ model }))).toEqual({})
    expect(model.asked).toHaveLength(0)
    expect(stage.yields).toEqual([])
  })

  test('tells a generator of a tool that it was cancelled, and nothing after', async () => {
    const events: string[] = []
    const steps = tool('t', async function* (_, { signal }) {
      try {
        yield 0.5
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
        yield 0.75
      } finally {
        events.push('cleaned')
      }
    })
    const stage = new Stage()
    const playing = stage.play(
      testAgent({ model: new ScriptedModel(calls(call('c', 't', {}))), tools: [steps] }),
    )
    await stage.until((value) => typeof value !== 'string' && value.type === 'run-update')
    stage.abort.abort()
    await playing
    await vi.waitFor(() => expect(events).toEqual(['cleaned']))
    expect(stage.of('run-update').map(({ background: { status, progress } }) => [status, progress])).toEqual([
      ['running', 0.5],
      ['cancelled', 0.5],
    ])
  })

  test('by leaving the run early stops model and tools', async () => {
    const cancelled = vi.fn()
    const model = new ScriptedModel(
      () =>
        new ReadableStream({
          start: (c) => c.enqueue({ type: 'text-delta', id: 't', delta: 'x' }),
          cancel: cancelled,
        }),
    )
    const stage = new Stage()
    const events: (string | AgentEvent)[] = []
    for await (const value of testAgent({ model }).run(inputOf(user('hi')), stage.context)) {
      events.push(value)
      if (value === 'x') break
    }
    expect(cancelled).toHaveBeenCalledTimes(1)
    expect(model.asked[0]?.abortSignal?.aborted).toBe(true)
  })
})

describe('a stream that goes on after its finish', () => {
  test('is read to its end, so that its connection can be used again', async () => {
    const cancelled = vi.fn()
    const parts = [...says('x'), { type: 'ping' as const }, { type: 'ping' as const }]
    const closed = Promise.withResolvers<void>()
    const source = {
      pull: (controller: ReadableStreamDefaultController) => {
        const part = parts.shift()
        if (part) return controller.enqueue(part)
        controller.close()
        closed.resolve()
      },
      cancel: cancelled,
    }
    const stage = new Stage()
    await stage.play(
      testAgent({ model: new ScriptedModel(() => new ReadableStream(source, { highWaterMark: 0 })) }),
    )
    await closed.promise
    expect(stage.outcome?.finishReason).toBe('stop')
    expect(cancelled).not.toHaveBeenCalled()
  })

  test('is left after a second', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const cancelled = vi.fn()
    const start = (controller: ReadableStreamDefaultController): void => {
      for (const part of says('x')) controller.enqueue(part)
    }
    const model = new ScriptedModel(() => new ReadableStream({ start, cancel: cancelled }))
    await new Stage().play(testAgent({ model }))
    await vi.advanceTimersByTimeAsync(999)
    expect(cancelled).not.toHaveBeenCalled()
    await vi.advanceTimersByTimeAsync(1)
    expect(cancelled).toHaveBeenCalled()
  })
})
