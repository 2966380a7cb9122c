import { type Message, isTerminal } from '@turnpike/protocol'
import { type ChatRecord, agentSocketWords, checkChat } from '@turnpike/testkit/chat'
import { describe, expect, test } from 'vitest'
import { kindsIn, logOf, resetAt, told } from './chat-logs.ts'

describe('a connection of the agent handler', () => {
  const log = logOf('s', [
    { runId: 'theirs', words: 2 },
    { runId: 'one', words: 6 },
    { runId: 'two', words: 2, fails: true },
  ])
  const asks = new Map([
    ['one', { runId: 'one', key: 1, kind: 'stream' }],
    ['two', { runId: 'two', key: 'b', kind: 'generate' }],
  ])
  const question = [...asks.values()].map((ask): ChatRecord => ({ type: 'asked', ask }))
  const frames = log.flatMap((event) => {
    const ask = asks.get(event.runId)
    const frame = ask && agentSocketWords.frameOf(event, ask)
    return frame ? [{ ...frame, requestId: ask.key }] : []
  })
  const check = (given: readonly object[]): string[] => [
    ...kindsIn(
      checkChat({
        log,
        records: [...question, ...told(...given)],
        words: agentSocketWords,
        left: 'answered',
      }),
    ),
  ]

  test('is told of its own requests, each in its way', () => {
    expect(frames.map(({ type }) => type)).toEqual([
      'stream_start',
      ...Array.from({ length: 6 }, () => 'chunk'),
      'stream_complete',
      'error',
    ])
    expect(check([{ type: 'connected' }, ...frames])).toEqual([])
    expect(check(frames.slice(1))).toEqual(['SILENT-GAP', 'LOST'])
    expect(check(frames.toSpliced(3, 1))).toEqual(['SILENT-GAP', 'LOST'])
    expect(check([...frames, ...frames.slice(-1)])).toEqual(['DUP'])
  })

  test('is not told of those of others', () => {
    expect(check([{ type: 'chunk', content: 'theirs.0 ' }, ...frames])).toEqual(['PHANTOM'])
    expect(check([{ type: 'chunk', content: 'theirs.0 ', requestId: 1 }, ...frames])).toEqual(['PHANTOM'])
    expect(check([{ type: 'chunk', content: 'theirs.0 ', requestId: 'theirs' }, ...frames])).toEqual([
      'PHANTOM',
    ])
  })

  test('is reset to a history that does not say where it ends', () => {
    const [from, to] = [log.findIndex(({ runId }) => runId === 'one') + 3, log.length - 2]
    for (const event of log.slice(from, to)) {
      const { head, history, ...reset } = resetAt(log, event)
      expect(head).toBe(event.id)
      const labelled = (history as Message[]).map((message) => ({
        ...message,
        requestId: asks.get(message.runId ?? '')?.key,
      }))
      const rest = log
        .filter((each) => asks.has(each.runId) && (each.seq > event.seq || isTerminal(each)))
        .flatMap((each) => {
          const ask = asks.get(each.runId)
          const frame = ask && agentSocketWords.frameOf(each, ask)
          return frame ? [{ ...frame, requestId: ask.key }] : []
        })
      const before = frames.slice(0, 2)
      expect(check([...before, { ...reset, history: labelled }, ...rest])).toEqual([])
      expect(check([...before, { ...reset, history }, ...rest])).toEqual(['PHANTOM'])
      expect(check([...before, { ...reset, history: labelled.slice(1) }, ...rest])).toContain('PHANTOM')
    }
  })
})
