import type { ThreadEvent } from '@turnpike/protocol'
import { expect, test } from 'vitest'
import { type Artifacts, foldArtifact } from '../src/facts/artifacts.ts'

const NONE: Artifacts = new Map()

function created(content: unknown): ThreadEvent {
  return event({
    type: 'artifact-created',
    artifact: { id: 'a', version: 1, kind: 'k', title: 't', content },
  })
}

function updated(version: number, change: { content: unknown } | { patch: unknown[] }): ThreadEvent {
  return event({ type: 'artifact-updated', artifact: { id: 'a', version, kind: 'k', title: 't' }, ...change })
}

function event(payload: object): ThreadEvent {
  return { id: '', seq: 1, threadId: 't', runId: 'r', ts: 0, ...payload } as unknown as ThreadEvent
}

const seen = (...events: ThreadEvent[]): unknown => events.reduce(foldArtifact, NONE).get('a')

test('a patch makes the next version', () => {
  const patch = [{ op: 'add', path: '/list/-', value: 2 }]
  expect(seen(created({ list: [1] }), updated(2, { patch }))).toMatchObject({
    version: 2,
    content: { list: [1, 2] },
  })
})

test('a patch may replace everything', () => {
  const patch = [{ op: 'replace', path: '', value: 'new' }]
  expect(seen(created('old'), updated(2, { patch }))).toMatchObject({ version: 2, content: 'new' })
})

test.each([
  ['of a version that was not seen', [updated(2, { patch: [] })]],
  ['behind a gap', [created(1), updated(3, { patch: [] })]],
  ['that does not apply', [created(1), updated(2, { patch: [{ op: 'remove', path: '/a/b' }] })]],
])('a patch %s leaves the content unknown', (_why, events) => {
  expect(seen(...events)).not.toHaveProperty('content')
})

test('a version in full needs nothing before it', () => {
  expect(seen(updated(7, { content: 'all' }))).toMatchObject({ version: 7, content: 'all' })
})
