import { GatewayError } from '@turnpike/protocol'
import { expect, test } from 'vitest'
import { JsonSchema } from '../src/json-schema.ts'
import type { RemoteTool } from '../src/remote-tools.ts'
import { RunTools } from '../src/run-tools.ts'
import { matchesTool } from '../src/tool-pattern.ts'
import type { ToolDef } from '../src/tool.ts'
import { Stage, add, inputOf, testAgent, tool } from './run-agent.ts'
import { ScriptedModel, call, calls, says } from './scripted-model.ts'

function remote(entity: string, name: string, more: Partial<RemoteTool> = {}): RemoteTool {
  return {
    entity,
    name,
    description: `${name} of ${entity}`,
    parameters: new JsonSchema({ properties: { order: { type: 'string' } } }),
    needsApproval: false,
    call: () => Promise.resolve(`${entity}.${name}`),
    ...more,
  }
}

/** Tools that a test brings and takes away. */
class Brought {
  tools: RemoteTool[] = []

  list(patterns: readonly string[]): readonly RemoteTool[] {
    return this.tools.filter((each) => patterns.some((pattern) => matchesTool(pattern, each)))
  }
}

function stageWith(remoteTools: Brought): Stage {
  const stage = new Stage()
  Object.assign(stage.context, { remoteTools })
  return stage
}

function namesOf(tools: readonly RemoteTool[]): string[] {
  const brought = new Brought()
  brought.tools = [...tools]
  const run = new RunTools({ own: new Map(), functions: [], patterns: ['*.*'], remote: brought, names: {} })
  return run.refresh().map(({ name }) => name)
}

test('an agent calls the tools that its patterns name, under names that models take', async () => {
  const brought = new Brought()
  const seen: unknown[] = []
  const status = remote('shop', 'status', {
    call: async (args, { signal, ...caller }) => {
      seen.push(args, caller, signal.aborted)
      return { shipped: true }
    },
  })
  brought.tools = [status, remote('shop', 'refund'), remote('other', 'status')]
  const model = new ScriptedModel(calls(call('1', 'shop_status', { order: 'A1' })), says('Shipped.'))
  const agent = testAgent({ model, tools: [add, 'shop.*'] })
  const stage = stageWith(brought)
  await stage.play(agent)
  expect(model.asked[0]?.tools?.map(({ name }) => name)).toEqual(['add', 'shop_status', 'shop_refund'])
  expect(stage.of('tool-call-result')).toEqual([
    { type: 'tool-call-result', toolCallId: '1', tool: 'shop_status', result: { shipped: true } },
  ])
  const caller = { toolCallId: '1', runId: 'run', threadId: 'thread', user: 'anonymous' }
  expect(seen).toEqual([{ order: 'A1' }, caller, false])
  expect(agent.info.tools).toEqual(['add', 'shop.*'])
})

test('tools come and go from one step to the next', async () => {
  const brought = new Brought()
  const status = remote('shop', 'status')
  const arrive = tool('arrive', () => void (brought.tools = [status]))
  const leave = tool('leave', () => void (brought.tools = []))
  const model = new ScriptedModel(
    calls(call('1', 'shop_status', {})),
    calls(call('2', 'arrive', {})),
    calls(call('3', 'shop_status', {})),
    calls(call('4', 'leave', {})),
    calls(call('5', 'shop_status', {})),
    says('Done.'),
  )
  const stage = stageWith(brought)
  await stage.play(testAgent({ model, tools: [arrive, leave, 'shop.status'] }))
  expect(model.asked.map(({ tools }) => tools?.length)).toEqual([2, 2, 3, 3, 2, 2])
  expect(stage.of('tool-call-error').map(({ toolCallId, error }) => [toolCallId, error.code])).toEqual([
    ['1', 'unknown-tool'],
    ['5', 'entity-gone'],
  ])
  expect(stage.of('tool-call-result').map(({ toolCallId }) => toolCallId)).toEqual(['2', '3', '4'])
})

test('arguments are checked before an entity hears of them', async () => {
  const brought = new Brought()
  brought.tools = [remote('shop', 'status', { call: () => Promise.reject(new Error('not to be called')) })]
  const model = new ScriptedModel(calls(call('1', 'shop_status', { order: 5 })), says('No.'))
  const stage = stageWith(brought)
  await stage.play(testAgent({ model, tools: ['shop.*'] }))
  expect(stage.of('tool-call-error')).toMatchObject([{ error: { code: 'invalid-arguments' } }])
})

test('an entity that is gone ends the call and not the run', async () => {
  const brought = new Brought()
  brought.tools = [
    remote('shop', 'status', {
      call: () => Promise.reject(new GatewayError('entity-gone', 'It went away.')),
    }),
  ]
  const model = new ScriptedModel(calls(call('1', 'shop_status', {})), says('Sorry.'))
  const stage = stageWith(brought)
  const outcome = await stage.play(testAgent({ model, tools: ['shop.*'] }))
  expect(stage.of('tool-call-error')).toMatchObject([
    { error: { code: 'entity-gone', message: 'It went away.' } },
  ])
  expect(outcome).toMatchObject({ finishReason: 'stop' })
})

test('a tool that needs approval is asked for first, and called once the run goes on', async () => {
  const brought = new Brought()
  brought.tools = [remote('shop', 'refund', { needsApproval: true })]
  const model = new ScriptedModel(calls(call('1', 'shop_refund', {})), says('Refunded.'))
  const agent = testAgent({ model, tools: ['shop.*'] })
  const stage = stageWith(brought)
  const outcome = await stage.play(agent)
  expect(stage.requests).toMatchObject([{ tool: 'shop_refund' }])
  const later = stageWith(brought)
  const decisions = [{ approvalId: 'approve-1', toolCallId: '1', approved: true }]
  await later.play(agent, {
    text: 'hi',
    message: { id: 'u', role: 'user', parts: [], status: 'done', createdAt: 0 },
    history: [],
    resume: { state: outcome.parked?.state, decisions },
  })
  expect(later.of('tool-call-result')).toMatchObject([{ tool: 'shop_refund', result: 'shop.refund' }])
})

/** Parks at a call of `name`, changes what there is, and gives what becomes of the approved call. */
async function resumedCall(
  name: string,
  before: { readonly own?: ToolDef[]; readonly remote?: RemoteTool[] },
  after: { readonly own?: ToolDef[]; readonly remote?: RemoteTool[] },
): Promise<{ readonly events: unknown[]; readonly names: (string | undefined)[] }> {
  const brought = new Brought()
  const model = new ScriptedModel(calls(call('1', name, {})), says('Done.'))
  brought.tools = before.remote ?? []
  const first = stageWith(brought)
  const outcome = await first.play(testAgent({ model, tools: ['*.*', ...(before.own ?? [])] }))
  expect(first.requests).toMatchObject([{ tool: name }])
  brought.tools = after.remote ?? []
  const later = stageWith(brought)
  const state: unknown = JSON.parse(JSON.stringify(outcome.parked?.state))
  const decisions = [{ approvalId: 'approve-1', toolCallId: '1', approved: true }]
  await later.play(testAgent({ model, tools: ['*.*', ...(after.own ?? [])] }), {
    ...inputOf(),
    resume: { state, decisions },
  })
  const events = [
    ...later.of('tool-call-result').map(({ result }) => result),
    ...later.of('tool-call-error').map(({ error }) => error.code),
  ]
  return { events, names: model.asked.at(-1)?.tools?.map((each) => each.name) ?? [] }
}

const risky = { needsApproval: true }

test.each([
  ['that is still there', [remote('crm_eu', 'delete'), remote('crm', 'eu_delete', risky)], 'crm.eu_delete'],
  ['that has gone', [remote('crm_eu', 'delete')], 'entity-gone'],
])(
  'an approved call is made by the very tool %s, and by none of the same name',
  async (_, tools, expected) => {
    const before = { remote: [remote('crm', 'eu_delete', risky)] }
    const { events, names } = await resumedCall('crm_eu_delete', before, { remote: tools })
    expect(events).toEqual([expected])
    expect(names).toContainEqual(expect.stringMatching(/^crm_eu_delete_[\da-f]{8}$/))
  },
)

test('an approved call of a tool that the agent had is not made by an entity', async () => {
  const own = tool('shop_refund', () => 'own', risky)
  const { events } = await resumedCall('shop_refund', { own: [own] }, { remote: [remote('shop', 'refund')] })
  expect(events).toEqual(['unknown-tool'])
})

test('an approved call of an entity is not made by a tool that the agent has got since', async () => {
  const before = { remote: [remote('shop', 'refund', risky)] }
  const own = [tool('shop_refund', () => 'own')]
  const gone = await resumedCall('shop_refund', before, { own })
  expect(gone).toEqual({ events: ['entity-gone'], names: [] })
  const there = await resumedCall('shop_refund', before, { own, ...before })
  expect(there).toEqual({ events: ['shop.refund'], names: ['shop_refund'] })
})

test('without a gateway there are none of these tools', async () => {
  const model = new ScriptedModel(says('Alone.'))
  const agent = testAgent({ model, tools: ['shop.*'] })
  await expect(agent.generate('hi')).resolves.toMatchObject({ text: 'Alone.' })
  expect(model.asked[0]?.tools).toBeUndefined()
})

test.each(['shop', 'shop.', '.status', '', 'shop.a b', 'shop.get*', '.*'])('%j names no tool', (pattern) => {
  expect(() => testAgent({ model: new ScriptedModel(), tools: [pattern] })).toThrow('entity.tool')
})

test('a pattern is divided at its last dot', () => {
  expect(matchesTool('a@b.org.find', { entity: 'a@b.org', name: 'find' })).toBe(true)
  expect(matchesTool('*.find', { entity: 'a@b.org', name: 'find' })).toBe(true)
  expect(matchesTool('*.*', { entity: 'x', name: 'y' })).toBe(true)
  expect(matchesTool('shop.*', { entity: 'shop.evil', name: 'find' })).toBe(false)
  expect(matchesTool('shop.*', { entity: 'sho', name: 'find' })).toBe(false)
})

test('every name is one that providers take, and no two are the same', () => {
  const tools = [
    remote('a', 'b_c'),
    remote('a_b', 'c'),
    remote('auth0|62 ü', 'find'),
    remote('auth0|62 ä', 'find'),
    remote('9lives', 'find'),
    remote('long'.repeat(30), 'find'),
    remote('long'.repeat(30), 'find2'),
  ]
  const names = namesOf(tools)
  expect(new Set(names).size).toBe(tools.length)
  for (const name of names) expect(name).toMatch(/^[a-z_][\w-]{0,63}$/i)
  expect(names[0]).toBe('a_b_c')
  expect(names[1]).toMatch(/^a_b_c_[\da-f]{8}$/)
  expect(namesOf(tools)).toEqual(names)
})

test('a tool of the agent keeps its name', () => {
  const brought = new Brought()
  brought.tools = [remote('shop', 'status')]
  const own = tool('shop_status', () => 'own')
  const run = new RunTools({
    own: new Map([[own.name, own]]),
    functions: [],
    patterns: ['shop.*'],
    remote: brought,
    names: {},
  })
  expect(run.refresh().map(({ name }) => name)).toEqual([expect.stringMatching(/^shop_status_[\da-f]{8}$/)])
  expect(run.get('shop_status')).toBe(own)
})

test('a name keeps its meaning for the whole run', () => {
  const brought = new Brought()
  const run = new RunTools({ own: new Map(), functions: [], patterns: ['*.*'], remote: brought, names: {} })
  brought.tools = [remote('a_b', 'c')]
  expect(run.refresh().map(({ name }) => name)).toEqual(['a_b_c'])
  brought.tools = [remote('a', 'b_c')]
  run.refresh()
  expect(() => run.get('a_b_c')).toThrow(expect.objectContaining({ code: 'entity-gone' }))
  expect(run.get('none')).toBeUndefined()
})

test('a model is told of so many tools as providers take', () => {
  const tools = Array.from({ length: 200 }, (_, i) => remote('shop', `t${i}`))
  expect(namesOf(tools)).toHaveLength(128)
})
