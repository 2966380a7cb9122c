import { describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import type { ApprovalDecision, ApprovalRequest } from '../src/approvals.ts'
import { createAgent } from '../src/create-agent.ts'
import type { RunInput, RunOutcome, Runnable } from '../src/runnable.ts'
import type { Team } from '../src/team.ts'
import { defineTool } from '../src/tool.ts'
import { Stage, inputOf, tool, user } from './run-agent.ts'
import { ScriptedModel, type Turn, call, calls, says, text } from './scripted-model.ts'
import { askedOf, member, said, sayer, team } from './team-stage.ts'

const paid = vi.fn(({ amount }: { amount: number }) => `paid ${amount}`)
const pay = defineTool({
  name: 'pay',
  description: 'Pays.',
  parameters: z.object({ amount: z.number() }),
  needsApproval: true,
  execute: (args) => paid(args),
})

/** An agent that wants to pay first. */
function payer(name: string, amount: number, ...turns: Turn[]): Runnable {
  const model = new ScriptedModel(calls(text(`${name} pays. `), call('p', 'pay', { amount })), ...turns)
  return createAgent({ name, model, tools: [pay], register: false })
}

const decide = (toolCallId: string, approved: boolean): ApprovalDecision => ({
  approvalId: `approve-${toolCallId}`,
  toolCallId,
  approved,
})

/** Goes on with a team from what its store gives back. */
async function resume(
  played: Team,
  outcome: RunOutcome,
  ...decisions: ApprovalDecision[]
): Promise<{ stage: Stage; outcome: RunOutcome }> {
  expect(outcome.parked).toBeDefined()
  const state: unknown = JSON.parse(JSON.stringify(outcome.parked?.state))
  const stage = new Stage()
  // As the gateway does it: what was said before is in the state.
  return { stage, outcome: await stage.play(played, { ...inputOf(), resume: { state, decisions } }) }
}

describe('a member that needs approval', () => {
  test('parks the team, which goes on from there as JSON, and with the members after it', async () => {
    const asked: RunInput[] = []
    const agents = [sayer('a', 'First.'), payer('payer', 5, says('Thanks.')), sayer('c', 'Third.', asked)]
    const sequence = team(agents)
    const stage = new Stage()
    const history = [user('before')]
    const parked = await stage.play(sequence, { ...inputOf(user('hi'), history), settings: { maxTokens: 9 } })
    expect(stage.requests).toEqual([{ toolCallId: 'p-m1', tool: 'pay', args: { amount: 5 } }])
    expect(said(stage.yields)).toEqual(['a: First.', 'payer: \n\npayer pays. '])
    expect(asked).toEqual([])

    const again = await resume(sequence, parked, decide('other', true), decide('p-m1', true))
    expect(again.stage.of('tool-call-result')).toEqual([
      { type: 'tool-call-result', toolCallId: 'p-m1', tool: 'pay', result: 'paid 5', agent: 'payer' },
    ])
    expect(said(again.stage.yields)).toEqual(['payer: Thanks.', 'c: \n\nThird.'])
    expect(again.stage.of('step-start').map(({ step }) => step)).toEqual([1])
    expect(again.outcome).toEqual({ finishReason: 'stop', usage: { inputTokens: 20, outputTokens: 10 } })
    expect(asked).toMatchObject([
      {
        history,
        settings: { maxTokens: 9 },
        earlier: [
          { agent: 'a', text: 'First.' },
          { agent: 'payer', text: 'payer pays. Thanks.' },
        ],
      },
    ])
  })

  test('parks the team once the others have ended that work at the same time, and each gets its own decision', async () => {
    const both = team(
      [payer('one', 1, says('One.')), sayer('b', 'Between.'), payer('two', 2, says('Two.'))],
      { mode: 'parallel' },
    )
    const stage = new Stage()
    const parked = await stage.play(both)
    expect(stage.requests.map(({ toolCallId }) => toolCallId).toSorted()).toEqual(['p', 'p-m2'])
    expect(said(stage.yields).join('')).toContain('Between.')
    paid.mockClear()
    const again = await resume(both, parked, decide('p-m2', false), decide('p', true))
    expect(paid.mock.calls).toEqual([[{ amount: 1 }]])
    expect(again.stage.of('tool-call-error')).toMatchObject([
      { toolCallId: 'p-m2', error: { code: 'denied' } },
    ])
    expect(said(again.stage.yields).toSorted().join('|')).toMatch(/one: .*One\.\|two: .*Two\./s)
    expect(again.outcome.usage).toEqual({ inputTokens: 40, outputTokens: 20 })
  })

  test('goes on as the one that was picked', async () => {
    const model = new ScriptedModel(says('{"member":"payer"}'))
    const routed = team([sayer('a', ''), payer('payer', 5, says('Done.'))], { mode: 'route', model })
    const parked = await new Stage().play(routed)
    const again = await resume(routed, parked, decide('p-m1', true))
    expect(said(again.stage.yields)).toEqual(['payer: Done.'])
    expect(model.asked).toHaveLength(1)
    expect(again.outcome.usage).toEqual({ inputTokens: 30, outputTokens: 15 })
  })

  test('may be a member of a team within a team', async () => {
    const inner = team([sayer('a', 'A.'), payer('payer', 5, says('Paid.'))], { name: 'inner' })
    const outer = team([sayer('x', 'X.'), inner, sayer('z', 'Z.')])
    const stage = new Stage()
    const parked = await stage.play(outer)
    expect(stage.requests.map(({ toolCallId }) => toolCallId)).toEqual(['p-m3-m1'])
    const again = await resume(outer, parked, decide('p-m3-m1', true))
    expect(said(again.stage.yields)).toEqual(['payer: Paid.', 'z: \n\nZ.'])
    expect(again.stage.of('tool-call-result')[0]?.toolCallId).toBe('p-m3-m1')
  })

  test('leaves those after it in its team with what others have answered before', async () => {
    const asked: RunInput[] = []
    const inner = team([payer('payer', 5, says('Paid.')), sayer('z', 'Z.', asked)], { name: 'inner' })
    const outer = team([sayer('x', 'X has found it.'), inner])
    await resume(outer, await new Stage().play(outer), decide('p-m2-m1', true))
    expect(askedOf(asked[0])).toBe(
      [
        'hi\n\nWhat others have answered so far:\n\n## x\n\nX has found it.',
        'What others have answered so far:\n\n## payer\n\npayer pays. Paid.',
      ].join('\n\n'),
    )
  })

  test('tells how far its tool is, with the id of its call', async () => {
    const slow = tool(
      'slow',
      async function* () {
        yield 0.5
        return 'sent'
      },
      { needsApproval: true },
    )
    const model = new ScriptedModel(calls(call('p', 'slow', {})), says('Sent.'))
    const sender = createAgent({ name: 'sender', model, tools: [slow], register: false })
    const sequence = team([sayer('a', 'A.'), sender])
    const { stage } = await resume(sequence, await new Stage().play(sequence), decide('p-m1', true))
    expect(stage.of('run-update').map(({ background: { id, status } }) => [id, status])).toEqual([
      ['p-m1', 'running'],
      ['p-m1', 'done'],
    ])
  })

  test('may ask more than once', async () => {
    const twice = team([payer('payer', 1, calls(call('q', 'pay', { amount: 2 })), says('Both.'))])
    const parked = await new Stage().play(twice)
    const second = await resume(twice, parked, decide('p', true))
    expect(second.stage.requests).toMatchObject([{ toolCallId: 'q' }])
    const third = await resume(twice, second.outcome, decide('q', true))
    expect(said(third.stage.yields)).toEqual(['payer: Both.'])
  })

  test('is waited for where a leader has asked it', async () => {
    const model = new ScriptedModel(calls(call('1', 'ask_payer', { message: 'Pay.' })), says('All done.'))
    const led = team([payer('payer', 5, says('Thanks.'))], { mode: 'coordinate', model })
    const requests: ApprovalRequest[] = []
    const { text: answer, toolCalls } = await led.generate('Pay!', {
      onApproval: (request) => {
        requests.push(request)
        return true
      },
    })
    expect(requests).toEqual([{ toolCallId: 'p-m1', tool: 'pay', args: { amount: 5 } }])
    expect(answer).toBe('payer pays. Thanks.\n\nAll done.')
    expect(toolCalls.map(({ toolCallId, result }) => [toolCallId, result])).toEqual([
      ['1', 'payer pays. Thanks.'],
      ['p-m1', 'paid 5'],
    ])
  })

  test('may wait by itself, with its own ids', async () => {
    const waiter = member('waiter', async function* (_input, { approvals }) {
      const { toolCallId, approved } = await approvals.request({ toolCallId: 'x', tool: 't', args: {} })
      yield `${toolCallId} ${approved}`
    })
    const { text: answer } = await team([sayer('a', 'A'), waiter]).generate('?', { onApproval: () => true })
    expect(answer).toBe('A\n\nx true')
  })
})

test('a team does not go on from what is no team', async () => {
  const state = { version: 1, prompt: [] }
  const played = new Stage().play(team([sayer('a', '')]), { ...inputOf(), resume: { state, decisions: [] } })
  await expect(played).rejects.toMatchObject({ code: 'internal' })
})

test('a member that parks without having asked for anything fails', async () => {
  const idle = member('idle', async function* () {
    yield 'hm'
    return { parked: { state: null } }
  })
  const model = new ScriptedModel(calls(call('1', 'ask_idle', { message: 'x' })), says('Sorry.'))
  const { toolCalls } = await team([idle], { mode: 'coordinate', model }).generate('?')
  expect(toolCalls).toMatchObject([{ error: { code: 'tool-failed', message: 'The agent "idle" failed.' } }])
})
