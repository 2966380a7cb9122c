import { GatewayError } from '@turnpike/protocol'
import { expect, test } from 'vitest'
import { JsonSchema } from '../src/json-schema.ts'
import type { RemoteTool } from '../src/remote-tools.ts'
import type { DirectCall, RunOutcome } from '../src/runnable.ts'
import { matchesTool } from '../src/tool-pattern.ts'
import { Stage, add, testAgent, tool } from './run-agent.ts'
import { ScriptedModel } from './scripted-model.ts'

const status: RemoteTool = {
  entity: 'shop',
  name: 'status',
  description: 'Status.',
  parameters: new JsonSchema({ properties: { order: { type: 'string' } } }),
  needsApproval: false,
  call: (args) => Promise.resolve({ of: args }),
}
const refund: RemoteTool = { ...status, name: 'refund', needsApproval: true }

const stuck = tool('stuck', () => new Promise(() => {}))
const broken = tool('broken', () => {
  throw new GatewayError('tool-failed', 'It is broken.')
})
const agent = testAgent({ model: new ScriptedModel(), tools: [add, stuck, broken, 'shop.*'] })

/** A stage on which the tools of `shop` are there. */
function shopStage(): Stage {
  const stage = new Stage()
  const list = (patterns: readonly string[]): RemoteTool[] =>
    [status, refund].filter((each) => patterns.some((pattern) => matchesTool(pattern, each)))
  Object.assign(stage.context, { remoteTools: { list } })
  return stage
}

function make(stage: Stage, call: DirectCall): Promise<RunOutcome> {
  const run = agent.callTool(call, stage.context)
  return stage.play({ name: agent.name, info: agent.info, run: () => run })
}

test('a direct call is told as a call, and asks no model', async () => {
  const stage = shopStage()
  expect(await make(stage, { tool: 'add', args: { a: 1, b: 2 } })).toEqual({})
  const toolCallId = expect.any(String)
  expect(stage.yields).toEqual([
    { type: 'tool-call-start', toolCallId, tool: 'add' },
    { type: 'tool-call-args', toolCallId, tool: 'add', delta: '', args: { a: 1, b: 2 } },
    { type: 'tool-call-result', toolCallId, tool: 'add', result: 3 },
  ])
})

test.each(['shop.status', 'shop_status'])('a tool of an entity may be called %s', async (name) => {
  const stage = shopStage()
  await make(stage, { tool: name, args: { order: 'A1' } })
  expect(stage.of('tool-call-result')).toMatchObject([
    { tool: 'shop_status', result: { of: { order: 'A1' } } },
  ])
})

test.each([
  ['toString', 'unknown-tool'],
  ['__proto__', 'unknown-tool'],
  ['shop.refund', 'approval-required'],
])('%s cannot be called: nothing is told of it', async (name, code) => {
  const stage = shopStage()
  await expect(make(stage, { tool: name, args: {} })).rejects.toMatchObject({ code })
  expect(stage.yields).toEqual([])
})

test('a call that fails is told, and fails its run', async () => {
  const stage = shopStage()
  await expect(make(stage, { tool: 'broken', args: {} })).rejects.toMatchObject({ code: 'tool-failed' })
  expect(stage.of('tool-call-error')).toMatchObject([
    { error: { code: 'tool-failed', message: 'It is broken.' } },
  ])
})

test('a call that is stopped ends at once, and is told as cancelled', async () => {
  const stage = shopStage()
  const made = make(stage, { tool: 'stuck', args: {} })
  await stage.until((value) => typeof value !== 'string' && value.type === 'tool-call-args')
  stage.abort.abort()
  expect(await made).toEqual({})
  expect(stage.of('tool-call-error')).toMatchObject([{ error: { code: 'cancelled' } }])
})
