import { AgentEvent } from '@turnpike/protocol/wire'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { AgentYield } from '../src/runnable.ts'
import type { ToolDef } from '../src/tool.ts'
import { Stage, add, testAgent, tool } from './run-agent.ts'
import {
  ScriptedModel,
  type Turn,
  call,
  finish,
  reasoning,
  streamOf,
  streamedCall,
  text,
} from './scripted-model.ts'

type Part = ReturnType<typeof text>[number]

const ignores: ToolDef = tool('ignores', () => new Promise(() => {}), { timeoutMs: 3 })
const reports: ToolDef = tool('reports', async function* () {
  yield 0.5
  await new Promise(setImmediate)
  yield 'more'
})
const throws: ToolDef = tool('throws', () => Promise.reject(new Error('no')))

const id = fc.constantFrom('a', 'b', 'c')
const parts: fc.Arbitrary<Part[]> = fc.oneof(
  fc.array(fc.string({ maxLength: 3 }), { maxLength: 4 }).map((deltas) => text(...deltas)),
  fc.array(fc.string({ maxLength: 3 }), { maxLength: 4 }).map((deltas) => reasoning(...deltas)),
  fc
    .tuple(id, fc.constantFrom('ignores', 'reports', 'throws', 'unknown'))
    .map(([at, name]) => call(at, name, {})),
  id.map((at) => call(at, 'add', { a: 1, b: 2 })),
  fc.tuple(id, fc.string({ maxLength: 3 })).map(([at, json]) => streamedCall(at, 'add', ['{"a":1', json])),
  id.map((at): Part[] => [{ type: 'tool-input-start', id: at, toolName: 'add' }]),
)
const end = fc.constantFrom('finish', 'finish', 'finish', 'length', 'nothing', 'break', 'hang', 'error')

function turnOf(content: readonly Part[], how: string): Turn {
  const hasCalls = content.some(({ type }) => type === 'tool-call')
  if (how === 'finish') return [...content, ...finish(hasCalls ? 'tool-calls' : 'stop')]
  if (how === 'length') return [...content, ...finish('length')]
  if (how === 'break') return () => streamOf(content, new Error('broke'))
  if (how === 'hang') return () => streamOf(content, 'hang')
  if (how === 'error') return [...content, { type: 'error', error: 'broke' }]
  return content
}

const turns = fc.array(
  fc.tuple(fc.array(parts, { maxLength: 5 }), end).map(([content, how]) => turnOf(content.flat(), how)),
  { minLength: 1, maxLength: 4 },
)

/** Plays until the run ends, or is stopped once it has reported so many things. */
async function play(
  script: readonly Turn[],
  stopAfter: number,
): Promise<{ stage: Stage; before: AgentYield[] }> {
  const stage = new Stage()
  const tools = [add, ignores, reports, throws]
  const playing = stage.play(testAgent({ model: new ScriptedModel(...script), tools })).catch(() => {})
  let before: AgentYield[] = []
  const stopping = (async () => {
    await stage.until(() => stage.yields.length >= stopAfter)
    before = [...stage.yields]
    stage.abort.abort()
  })()
  const stopped = setTimeout(() => stage.abort.abort(), 30)
  await playing
  clearTimeout(stopped)
  void stopping
  return { stage, before }
}

test('however a run goes and wherever it is stopped, each call ends once, after it began, and each step within its run', async () => {
  await fc.assert(
    fc.asyncProperty(turns, fc.integer({ min: 1, max: 40 }), async (script, stopAfter) => {
      const { stage } = await play(script, stopAfter)
      const open = new Set<string>()
      const seen = new Set<string>()
      let step = -1
      let isStepOpen = false
      for (const event of stage.events) {
        expect(AgentEvent.safeParse(event).success).toBe(true)
        if (event.type === 'step-start') {
          expect([isStepOpen, event.step]).toEqual([false, ++step])
          isStepOpen = true
        }
        if (event.type === 'step-finish') {
          expect([isStepOpen, event.step, open.size]).toEqual([true, step, 0])
          isStepOpen = false
        }
        if (event.type === 'tool-call-start') {
          expect(seen.has(event.toolCallId)).toBe(false)
          seen.add(event.toolCallId)
          open.add(event.toolCallId)
        }
        if (event.type === 'tool-call-args') expect(open.has(event.toolCallId)).toBe(true)
        if (event.type === 'run-update') expect(open.has(event.background.id)).toBe(true)
        if (event.type === 'tool-call-result' || event.type === 'tool-call-error') {
          expect(open.delete(event.toolCallId)).toBe(true)
        }
      }
      expect([...open]).toEqual([])
    }),
    { numRuns: 300 },
  )
})
