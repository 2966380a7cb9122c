import { type ThreadEvent, ORIGIN, advance, mintEventId } from '@turnpike/protocol'
import { expect, test } from 'vitest'
import { Reader } from '../src/reader.ts'

function deltaOf(seq: number, channel: 'answer' | 'reasoning', covers?: number): ThreadEvent {
  const position = { id: mintEventId(seq, seq), seq, ts: seq, ...(covers !== undefined && { covers }) }
  return { type: 'text-delta', threadId: 't', runId: 'r', delta: `${seq} `, channel, ...position }
}

test('who is not told reasoning that another reader asked for sees no gap where it was', () => {
  const told: ThreadEvent[] = []
  const sink = {
    onEvent: (event: ThreadEvent) => void told.push(event),
    onReset: () => expect.fail('There is nothing to be reset for.'),
    onFail: (error: Error) => expect.fail(error.message),
  }
  const reader = new Reader({ sink, cursor: ORIGIN })
  reader.take(deltaOf(1, 'answer'))
  reader.take(deltaOf(2, 'reasoning'))
  reader.take(deltaOf(5, 'reasoning', 3))
  reader.take(deltaOf(7, 'answer', 2))
  reader.take(deltaOf(8, 'answer'))
  expect(told).toMatchObject([{ seq: 1 }, { seq: 7, covers: 6 }, { seq: 8 }])
  expect(told.map((event, index) => advance(told[index - 1]?.seq ?? 0, event))).toEqual(
    Array(3).fill('apply'),
  )
})
