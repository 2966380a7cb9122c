import type { Runnable } from '@turnpike/agents'
import {
  type EventId,
  type ThreadEvent,
  type ThreadReset,
  isTerminal,
  mintEventId,
  reduce,
} from '@turnpike/protocol'
import { describe, expect, test } from 'vitest'
import { checkHistory } from './history-checker.ts'
import { ALL_REPORTS, puppetAgent, scriptedAgent } from './scripted-agents.ts'
import type { Wire } from './wires.ts'

export interface TransportsUnderTest {
  /** Serves these agents, the first one as the default; `baseUrl` is `http://host:port`. */
  readonly serve: (agents: readonly Runnable[]) => Promise<{ readonly baseUrl: string } & AsyncDisposable>
  /** Every pair of them is tested too: begun on one, resumed on the other. */
  readonly wires: readonly Wire[]
}

type Frame = ThreadEvent | ThreadReset

/** What every wire keeps, alone and together with each of the others. */
export function transportConformance({ serve, wires }: TransportsUnderTest): void {
  describe.each(wires)('$name: a wire', (wire) => {
    test('tells a whole run in order, from its start to its end', async () => {
      await using server = await serve([scriptedAgent('default', ALL_REPORTS)])
      await using stream = await wire.send(server.baseUrl, {
        message: 'hi',
        agent: 'default',
        reasoning: true,
      })
      const events = await stream.until(isEnd)
      expect(events.map((event) => 'seq' in event && event.seq)).toEqual(events.map((_, index) => index + 1))
      const said = ALL_REPORTS.map((report) => (typeof report === 'string' ? 'text-delta' : report.type))
      expect(events.map((event) => event.type)).toEqual(['start', ...said, 'finish'])
    })

    test('keeps reasoning from who did not ask for it, without a gap', async () => {
      await using server = await serve([scriptedAgent('default', ALL_REPORTS)])
      await using stream = await wire.send(server.baseUrl, { message: 'hi', agent: 'default', threadId: 't' })
      const received = await stream.until(isEnd)
      await using all = await wire.subscribe(server.baseUrl, {
        threadId: 't',
        lastEventId: ORIGIN,
        reasoning: true,
      })
      const log = events(await all.until(isEnd))
      expect(log.length).toBe(received.length + 2)
      const records = events(received).map((event) => ({ type: 'event', event }) as const)
      expect(checkHistory({ log, records })).toEqual([])
    })

    test('carries any text as it is', async () => {
      const odd = 'a"b\\c\n\r\n\t\u0000\u2028\u2029 é 漢 😀 data: x\n\nid: 7\n\n \ud800'
      await using server = await serve([scriptedAgent('default', [odd])])
      await using stream = await wire.send(server.baseUrl, { message: odd, agent: 'default' })
      const finish = (await stream.until(isEnd)).at(-1)
      expect(finish).toMatchObject({ type: 'finish', text: odd })
    })

    test('goes on with a run that nobody listens to', async () => {
      const agent = puppetAgent('default')
      await using server = await serve([agent])
      const stream = await wire.send(server.baseUrl, { message: 'hi', agent: 'default', threadId: 't' })
      const run = await agent.nextRun()
      await run.say('one ')
      const last = (await stream.until((frame) => frame.type === 'text-delta')).at(-1)
      await stream.cut()
      await run.say('two ')
      run.end()
      await run.closed
      await using again = await wire.subscribe(server.baseUrl, { threadId: 't', lastEventId: idOf(last) })
      expect((await again.until(isEnd)).map((frame) => frame.type)).toEqual(['text-delta', 'finish'])
    })

    test('cancels a run from elsewhere', async () => {
      const agent = puppetAgent('default')
      await using server = await serve([agent])
      await using stream = await wire.send(server.baseUrl, { message: 'hi', agent: 'default', runId: 'r' })
      await (await agent.nextRun()).say('so far')
      expect(await wire.cancel(server.baseUrl, 'r')).toBe('cancelling')
      expect((await stream.until(isEnd)).at(-1)).toMatchObject({ finishReason: 'cancelled', text: 'so far' })
      expect(await wire.cancel(server.baseUrl, 'r')).toBe('cancelled')
    })

    test('resets a reader whose cursor is no good, with its cause and the history, and goes on live', async () => {
      const agent = puppetAgent('default')
      await using server = await serve([agent])
      await using sender = await wire.send(server.baseUrl, { message: 'hi', agent: 'default', threadId: 't' })
      const run = await agent.nextRun()
      await run.say('one ')
      const log = events(await sender.until((frame) => frame.type === 'text-delta'))
      const never = mintEventId(9_999_999_999_999, 999)
      await using stream = await wire.subscribe(server.baseUrl, { threadId: 't', lastEventId: never })
      const reset = await stream.next()
      expect(reset).toMatchObject({
        type: 'thread.reset',
        threadId: 't',
        cause: 'unknown',
        head: log.at(-1)?.id,
      })
      expect((reset as ThreadReset).history).toEqual(log.reduce<ReturnType<typeof reduce>>(reduce, []))
      await run.say('two')
      expect(await stream.next()).toMatchObject({ type: 'text-delta', delta: 'two', seq: log.length + 1 })
    })

    test.each([
      ['unknown-agent', (url: string) => wire.send(url, { message: 'hi', agent: 'nobody' })],
      ['unknown-agent', (url: string) => wire.send(url, { message: 'hi', agent: '__proto__' })],
      ['invalid-payload', (url: string) => wire.send(url, { message: '', agent: 'default' })],
      ['unknown-thread', (url: string) => wire.subscribe(url, { threadId: 'nowhere' })],
      ['unknown-thread', (url: string) => wire.subscribe(url, { threadId: 'constructor' })],
      ['invalid-event-id', (url: string) => wire.subscribe(url, { threadId: 't', lastEventId: 'yesterday' })],
      ['unknown-run', (url: string) => wire.cancel(url, 'none')],
    ])('answers with %s', async (code, ask) => {
      await using server = await serve([scriptedAgent('default', ['x'])])
      await expect(ask(server.baseUrl)).rejects.toMatchObject({ code })
    })
  })

  const pairs = wires.flatMap((first) => wires.map((second) => ({ first, second })))
  describe.each(pairs)('from $first.name to $second.name', ({ first, second }) => {
    test('a finished run resumes behind each of its events, with exactly the rest', async () => {
      await using server = await serve([scriptedAgent('default', ALL_REPORTS)])
      await using sender = await first.send(server.baseUrl, {
        message: 'hi',
        agent: 'default',
        threadId: 't',
        reasoning: true,
      })
      const log = events(await sender.until(isEnd))
      for (const [index, { id }] of log.slice(0, -1).entries()) {
        await using stream = await second.subscribe(server.baseUrl, {
          threadId: 't',
          lastEventId: id,
          reasoning: true,
        })
        expect(await stream.until(isEnd)).toEqual(log.slice(index + 1))
      }
    })

    test('a run in progress resumes behind each of its events, and goes on live without a seam', async () => {
      const agent = puppetAgent('default')
      await using server = await serve([agent])
      await using sender = await first.send(server.baseUrl, {
        message: 'hi',
        agent: 'default',
        threadId: 't',
      })
      const run = await agent.nextRun()
      for (let i = 0; i < 10; i++) await run.say(`${i} `)
      const begun = events(await sender.until((frame) => 'seq' in frame && frame.seq === 11))
      const resumed = await Promise.all(
        begun.map(({ id }) => second.subscribe(server.baseUrl, { threadId: 't', lastEventId: id })),
      )
      for (let i = 10; i < 20; i++) await run.say(`${i} `)
      run.end()
      const log = [...begun, ...events(await sender.until(isEnd))]
      for (const [index, stream] of resumed.entries()) {
        expect(await stream.until(isEnd)).toEqual(log.slice(index + 1))
        await stream.cut()
      }
    })

    test('two readers see the same events, the message of the user included', async () => {
      const agent = puppetAgent('default')
      await using server = await serve([agent])
      await using a = await first.send(server.baseUrl, { message: 'first', agent: 'default', threadId: 't' })
      ;(await agent.nextRun()).end()
      await a.until(isEnd)
      await using observer = await second.subscribe(server.baseUrl, { threadId: 't' })
      await using b = await first.send(server.baseUrl, { message: 'second', agent: 'default', threadId: 't' })
      const run = await agent.nextRun()
      await run.say('hello')
      run.end()
      const seen = await observer.until(isEnd)
      expect(seen).toEqual(await b.until(isEnd))
      expect(seen[0]).toMatchObject({ type: 'start', input: { parts: [{ type: 'text', text: 'second' }] } })
    })
  })
}

const ORIGIN = mintEventId(0, 0)

function isEnd(frame: Frame): boolean {
  return frame.type !== 'thread.reset' && isTerminal(frame)
}

function events(frames: readonly Frame[]): ThreadEvent[] {
  return frames.filter((frame) => frame.type !== 'thread.reset')
}

function idOf(frame: Frame | undefined): EventId {
  return frame?.type === 'thread.reset' ? frame.head : (frame?.id ?? ORIGIN)
}
