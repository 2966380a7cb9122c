import { GatewayError } from '@turnpike/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sideBySide } from '../src/side-by-side.ts'
import { Speech } from '../src/speech.ts'
import { Stage } from './run-agent.ts'
import { call, calls, says, text } from './scripted-model.ts'
import { member, said, sayer, scripted, team } from './team-stage.ts'

const together = { mode: 'parallel' } as const

/** An agent that says a word each time it is told to, and then ends. */
function puppet(name: string) {
  const moves: (string | undefined)[] = []
  let wake = Promise.withResolvers<void>()
  const push = (word?: string): void => {
    moves.push(word)
    wake.resolve()
  }
  const agent = member(name, async function* () {
    for (;;) {
      while (moves.length === 0) {
        await wake.promise
        wake = Promise.withResolvers<void>()
      }
      const word = moves.shift()
      if (word === undefined) return
      yield word
    }
  })
  return { agent, say: push, end: () => push() }
}

async function turns(count = 5): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate)
}

describe('members at once', () => {
  test('speak one at a time: who is first goes on to its end, and then who waits longest', async () => {
    const stage = new Stage()
    const [a, b, c] = [puppet('a'), puppet('b'), puppet('c')]
    const played = stage.play(team([a.agent, b.agent, c.agent], together))
    for (const [who, word] of [
      [b, 'b1 '],
      [c, 'c1 '],
      [a, 'a1'],
      [b, 'b2'],
      [c, 'c2'],
    ] as const) {
      who.say(word)
      await turns()
    }
    expect(said(stage.yields)).toEqual(['b: b1 b2'])
    b.end()
    await turns()
    expect(said(stage.yields)).toEqual(['b: b1 b2', 'c: \n\nc1 c2'])
    a.end()
    c.say(' c3')
    await turns()
    c.end()
    await played
    expect(said(stage.yields)).toEqual(['b: b1 b2', 'c: \n\nc1 c2 c3', 'a: \n\na1'])
  })

  test('tell of their steps and calls as these come, whoever speaks', async () => {
    const stage = new Stage()
    const speaker = puppet('speaker')
    const caller = scripted('caller', calls(text('I look.'), call('c', 'nothing', {})), says('Gone.'))
    const played = stage.play(team([speaker.agent, caller], together))
    speaker.say('Hm.')
    await stage.until((value) => typeof value !== 'string' && value.type === 'tool-call-error')
    await turns()
    expect(said(stage.yields)).toEqual(['speaker: Hm.'])
    expect(stage.of('tool-call-error')).toMatchObject([{ toolCallId: 'c-m1', agent: 'caller' }])
    speaker.end()
    await played
    expect(said(stage.yields)).toEqual(['speaker: Hm.', 'caller: \n\nI look.Gone.'])
    expect(stage.of('step-start').map(({ step }) => step)).toEqual([0, 1])
    expect(stage.outcome).toMatchObject({
      finishReason: 'stop',
      usage: { inputTokens: 20, outputTokens: 10 },
    })
  })

  test('go on where one fails, which is told of', async () => {
    const stage = new Stage()
    const broken = scripted('broken', new Error('secret'))
    await stage.play(team([broken, sayer('a', 'A lives.')], together))
    expect(said(stage.yields)).toEqual(['a: A lives.'])
    expect(stage.of('run-update').map(({ background }) => background)).toEqual([
      {
        id: expect.any(String),
        name: 'broken',
        status: 'failed',
        progress: 0,
        message: 'The agent "broken" failed: The model failed.',
      },
    ])
  })

  test('end the run where all fail', async () => {
    const fails = (name: string) =>
      member(name, () => {
        throw new GatewayError('model-failed', name)
      })
    const played = new Stage().play(team([fails('a'), fails('b')], together))
    await expect(played).rejects.toMatchObject({
      code: 'model-failed',
      message: 'The agent "a" failed: a',
    })
  })

  test('all learn that the run was stopped', async () => {
    const stage = new Stage()
    const stopped: string[] = []
    const waits = (name: string) =>
      member(name, async function* (_input, { signal }) {
        yield name
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
        stopped.push(name)
      })
    const played = stage.play(team([waits('a'), waits('b'), waits('c')], together))
    await stage.until((value) => typeof value !== 'string' && value.type === 'text-delta')
    stage.abort.abort()
    expect(await played).toEqual({})
    expect(stopped.toSorted()).toEqual(['a', 'b', 'c'])
  })

  test('all are left where nobody reads any more', async () => {
    const closed: string[] = []
    const endless = (name: string) =>
      member(name, async function* () {
        try {
          for (;;) yield `${name} `
        } finally {
          closed.push(name)
        }
      })
    const run = team([endless('a'), endless('b')], together).run(
      { text: '', message: { id: 'u', role: 'user', parts: [], status: 'done', createdAt: 0 }, history: [] },
      new Stage().context,
    )
    await run.next()
    await run.return({})
    await turns()
    expect(closed.toSorted()).toEqual(['a', 'b'])
  })

  test('never have the floor again once they have ended, whatever they still say', async () => {
    const stage = new Stage()
    let sayLate: (word: string) => void = () => {}
    const [b, c] = [puppet('b'), puppet('c')]
    const late = member('late', async function* (_input, { emit }) {
      sayLate = (delta) => emit({ type: 'text-delta', delta, channel: 'answer' })
      yield 'First.'
    })
    const played = stage.play(team([late, b.agent, c.agent], together))
    await turns()
    sayLate(' And')
    b.say('b1 ')
    sayLate(' more.')
    await turns()
    c.say('c1')
    b.say('b2')
    await turns()
    expect(said(stage.yields)).toEqual(['late: First. And more.', 'b: \n\nb1 b2'])
    sayLate('At last.')
    for (const { end } of [b, c]) end()
    await played
    expect(said(stage.yields)).toEqual([
      'late: First. And more.',
      'b: \n\nb1 b2',
      'c: \n\nc1',
      'late: \n\nAt last.',
    ])
  })

  test('are heard at the end of the run at the latest', () => {
    const speech = new Speech()
    const delta = (word: string) => ({ type: 'text-delta', channel: 'answer', delta: word }) as const
    speech.say(0, delta('a'))
    speech.say(1, delta('b'))
    expect(speech.flush()).toEqual([delta('\n\nb')])
    expect(speech.flush()).toEqual([])
  })

  test('hold back no more than a run may say', () => {
    const speech = new Speech()
    const delta = { type: 'text-delta', channel: 'answer', delta: 'x'.repeat(1_000_000) } as const
    speech.say(0, { ...delta, delta: 'first' })
    const told = Array.from({ length: 6 }, () => speech.say(1, delta))
    // What is too much is told, for the run to find it too much.
    expect(told.map((each) => each !== undefined)).toEqual([false, false, false, false, false, true])
  })
})

describe('whatever several say at once', () => {
  const moves = fc.array(
    fc.record({ turn: fc.nat(4), word: fc.option(fc.string({ minLength: 1, maxLength: 3 })) }),
    { maxLength: 60 },
  )

  test('each is heard whole, in order and in one piece', () => {
    fc.assert(
      fc.property(moves, (script) => {
        const speech = new Speech()
        const [whole, told, over] = [new Map<number, string>(), [] as string[], new Set<number>()]
        const tell = (delta: { delta: string; agent?: string | undefined } | undefined): void => {
          if (delta) told.push(`${delta.agent}${delta.delta}`)
        }
        const end = (turn: number): void => {
          over.add(turn)
          speech.end(turn).forEach(tell)
        }
        for (const { turn, word } of script) {
          if (over.has(turn)) continue
          if (word === null) end(turn)
          else {
            whole.set(turn, (whole.get(turn) ?? '') + word)
            tell(speech.say(turn, { type: 'text-delta', channel: 'answer', delta: word, agent: `${turn}` }))
          }
        }
        for (let turn = 0; turn < 5; turn++) if (!over.has(turn)) end(turn)
        const speakers = told.map((delta) => delta.slice(0, 1))
        const changes = speakers.filter((speaker, index) => speaker !== speakers[index - 1])
        expect(changes.length).toBe(whole.size)
        const texts = changes.map(
          (speaker, index) => (index === 0 ? '' : '\n\n') + (whole.get(Number(speaker)) ?? ''),
        )
        expect(told.map((delta) => delta.slice(1)).join('')).toBe(texts.join(''))
      }),
    )
  })

  test('is taken from each in its order, and none is asked ahead of who reads', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(6), { maxLength: 5 }), fc.scheduler(), async (lengths, scheduler) => {
        let asked = 0
        let taken = 0
        async function* source(length: number, index: number): AsyncGenerator<[number, number], number> {
          for (let value = 0; value < length; value++) {
            await scheduler.schedule(Promise.resolve())
            asked++
            yield [index, value]
          }
          return index
        }
        const merged = sideBySide(
          lengths.map((length, index) => source(length, index)),
          { stop: () => {}, tell: () => {} },
        )
        const seen = lengths.map(() => 0)
        const read = async (): Promise<number[]> => {
          for (;;) {
            const next = await merged.next()
            if (next.done) return next.value
            const [index, value] = next.value
            expect(value).toBe(seen[index])
            seen[index] = value + 1
            expect(asked - ++taken).toBeLessThanOrEqual(lengths.length)
          }
        }
        const reading = read()
        await scheduler.waitFor(reading)
        expect(await reading).toEqual(lengths.map((_, index) => index))
        expect(seen).toEqual(lengths)
      }),
    )
  })
})
