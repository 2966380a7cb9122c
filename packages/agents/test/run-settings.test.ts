import { expect, test } from 'vitest'
import { z } from 'zod'
import { createAgent } from '../src/create-agent.ts'
import { defineTool } from '../src/tool.ts'
import { Stage, inputOf } from './run-agent.ts'
import { ScriptedModel, call, calls, says } from './scripted-model.ts'

const pay = defineTool({
  name: 'pay',
  description: 'Pays.',
  parameters: z.object({}),
  needsApproval: true,
  execute: () => 'paid',
})

test('a run may ask for another temperature and length than its agent does, also after it was parked', async () => {
  const model = new ScriptedModel(calls(call('p', 'pay', {})), says('Paid.'), says('Again.'))
  const agent = createAgent({
    name: 'a',
    model,
    tools: [pay],
    temperature: 1,
    maxOutputTokens: 100,
    register: false,
  })
  const { parked } = await new Stage().play(agent, {
    ...inputOf(),
    settings: { temperature: 0, maxTokens: 7 },
  })
  const state: unknown = JSON.parse(JSON.stringify(parked?.state))
  const decisions = [{ approvalId: 'approve-p', toolCallId: 'p', approved: true }]
  await new Stage().play(agent, { ...inputOf(), resume: { state, decisions } })
  await new Stage().play(agent)
  expect(model.asked.map(({ temperature, maxOutputTokens }) => [temperature, maxOutputTokens])).toEqual([
    [0, 7],
    [0, 7],
    [1, 100],
  ])
})
