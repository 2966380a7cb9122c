import { type ThreadEvent, mintEventId } from '@turnpike/protocol'
import { expect, test } from 'vitest'
import { Resumption } from '../src/react/resumption.ts'

function eventAt(seq: number, ts: number): ThreadEvent {
  const envelope = { id: mintEventId(ts, seq), seq, ts, threadId: 't', runId: 'r' }
  return { ...envelope, type: 'text-delta', delta: 'a', channel: 'answer' }
}

test('what happened before the connection was there again counts as replayed, what came later does not', () => {
  const resumption = new Resumption()
  resumption.take(eventAt(1, 1_000), 1_005)
  expect(resumption.current).toBeUndefined()
  resumption.begin(mintEventId(1_000, 1), 5_000)
  expect(resumption.current).toEqual({ replayed: 0, fromHistory: false, at: 5_000 })
  resumption.take(eventAt(2, 3_000), 5_010)
  resumption.take({ ...eventAt(9, 4_990), covers: 7 }, 5_011)
  expect(resumption.current).toEqual({ replayed: 8, fromHistory: false, at: 5_000 })
  resumption.take(eventAt(10, 5_006), 5_012)
  resumption.take(eventAt(11, 4_000), 5_013)
  expect(resumption.current).toEqual({ replayed: 8, fromHistory: false, at: 5_000 })
})

test.each([-60_000, 60_000])('a server whose clock is %i ms off is counted right', (offMs) => {
  const resumption = new Resumption()
  resumption.take(eventAt(1, 1_000_000 + offMs), 1_000_000)
  resumption.begin(mintEventId(1_000_000 + offMs, 1), 1_010_000)
  resumption.take(eventAt(2, 1_009_000 + offMs), 1_010_010)
  resumption.take(eventAt(3, 1_010_020 + offMs), 1_010_020)
  expect(resumption.current?.replayed).toBe(1)
})

test('a history that came in place of the events is told as such, and counts nothing', () => {
  const resumption = new Resumption()
  resumption.begin(mintEventId(1_000, 10), 5_000)
  resumption.replaced()
  expect(resumption.current).toEqual({ replayed: 0, fromHistory: true, at: 5_000 })
  resumption.begin(mintEventId(4_000, 50), 6_000)
  expect(resumption.current).toEqual({ replayed: 0, fromHistory: false, at: 6_000 })
})
