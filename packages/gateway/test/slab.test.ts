import { type ThreadEvent, mintEventId } from '@turnpike/protocol'
import type { Dialect } from '@turnpike/protocol/wire'
import { expect, test } from 'vitest'
import { lineFraming } from '../src/links/line-framing.ts'
import { Slab, encodingOf } from '../src/logs/slab.ts'

/** Tells texts of one run alone. */
const dialect: Dialect = {
  name: 'selective',
  encode: (event) =>
    event.type === 'text-delta' && event.runId === 'mine' ? [{ name: 'text', json: event.delta }] : [],
  reset: () => [],
}

function deltaOf(seq: number, runId: string): ThreadEvent {
  const id = mintEventId(1, seq)
  return { id, seq, ts: 1, threadId: 't', type: 'text-delta', runId, delta: `${seq}`, channel: 'answer' }
}

test('what a reader gets to see nothing of is let go of, too', () => {
  const slab = new Slab(encodingOf({ dialect, framing: lineFraming('test'), reasoning: false }), 1)
  for (let seq = 1; seq <= 20_000; seq++) slab.append(deltaOf(seq, 'others'))
  slab.trim(19_000)
  expect(slab.firstSeq).toBeGreaterThan(17_000)
  slab.append(deltaOf(20_001, 'mine'))
  const slice = slab.after(20_000, 20_001)
  expect(Buffer.from(slice?.bytes ?? []).toString()).toBe('20001\n')
  expect(slab.visibleUpTo(20_000)).toBe(0)
})
