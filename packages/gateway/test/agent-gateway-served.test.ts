import {
  type Runnable,
  Registry,
  Team,
  Workflow,
  createAgent,
  defineAgent,
  defineTool,
  flow,
} from '@turnpike/agents'
import { demoModel } from '@turnpike/agents/demo'
import { ALL_REPORTS, scriptedAgent } from '@turnpike/testkit'
import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { type AgentClient, serveAgentGateway } from './agent-gateway-harness.ts'

const echo = scriptedAgent('echo', ['Hi.'])

/** A team or a workflow, as the gateway sees one. */
function ofKind(kind: 'team' | 'workflow', name: string, run: Runnable['run']): Runnable {
  const info = { name, kind, description: 'Two.', model: null, provider: null, tools: [] } as const
  return { name, info, run }
}

const writer = scriptedAgent('writer', ['Draft.', ...ALL_REPORTS.slice(4, 8)])
const critic = scriptedAgent('critic', ['Good.'])
const duo = new Team({ name: 'duo', description: 'Two.', agents: [writer, critic], register: false })

const review = new Workflow({
  name: 'review',
  steps: flow()
    .step('draft', writer)
    .step('count', (text) => `${String(text).length} characters`),
  register: false,
})

describe('what is served', () => {
  const single = scriptedAgent('twin', ['an agent'])
  const team = ofKind('team', 'twin', async function* () {
    yield 'a team'
  })
  const workflow = ofKind('workflow', 'twin', async function* () {
    yield 'a workflow'
  })

  async function answerOf(client: AgentClient, event: string, name: string): Promise<unknown> {
    const runId = await client.run(event, { name, input: 'Hi' })
    const { output } = await client.next('agent.done', runId)
    return output
  }

  test('has names of its own for each kind, and sorts itself out', async () => {
    await using server = await serveAgentGateway({ serve: [team, single, workflow] })
    const client = await server.connect().connected
    expect(await client.ask('registry.list', {})).toStrictEqual({
      agents: ['twin'],
      teams: ['twin'],
      workflows: ['twin'],
    })
    expect(await answerOf(client, 'agent.run', 'twin')).toMatchObject({ text: 'an agent' })
    expect(await answerOf(client, 'team.run', 'twin')).toMatchObject({ text: 'a team' })
    expect(await answerOf(client, 'workflow.run', 'twin')).toMatchObject({ text: 'a workflow' })
  })

  test('goes by the name it was given, which comes before what calls itself so', async () => {
    const registry = new Registry([scriptedAgent('first', ['registered']), scriptedAgent('third', ['own'])])
    const agents = { first: scriptedAgent('other', ['given']) }
    const serve = [scriptedAgent('first', ['served'])]
    await using server = await serveAgentGateway({ agents, serve, registry })
    const client = await server.connect().connected
    expect(await answerOf(client, 'agent.run', 'first')).toMatchObject({ text: 'given' })
    expect(await answerOf(client, 'agent.run', 'third')).toMatchObject({ text: 'own' })
    expect(await client.refusalOf('agent.run', { name: 'other', input: 'Hi' })).toBe('unknown-agent')
    expect(await client.ask('registry.list', {})).toMatchObject({ agents: ['first', 'third'] })
  })

  test('is also what is made after the gateway was started', async () => {
    await using server = await serveAgentGateway({ registry: undefined })
    const client = await server.connect().connected
    const name = `late-${Date.now()}`
    expect(await client.refusalOf('agent.run', { name, input: 'Hi' })).toBe('unknown-agent')
    defineAgent({
      name,
      async *run() {
        yield 'At once.'
      },
    })
    expect(await answerOf(client, 'agent.run', name)).toMatchObject({ text: 'At once.' })
  })

  test('is only what was given, where no registry is wanted', async () => {
    const name = `registered-${Date.now()}`
    defineAgent({ name, run: async function* () {} })
    await using server = await serveAgentGateway({ agents: { echo }, registry: false })
    const client = await server.connect().connected
    expect(await client.refusalOf('agent.run', { name, input: 'Hi' })).toBe('unknown-agent')
    expect(await client.ask('registry.list', {})).toMatchObject({ agents: ['echo'] })
  })

  test('has members whose words are told with their names', async () => {
    await using server = await serveAgentGateway({ teams: { duo } })
    const client = await server.connect().connected
    const runId = await client.run('team.run', { name: 'duo', input: 'Hi' })
    const done = await client.next('agent.done', runId)
    expect(done).toMatchObject({ output: { text: expect.stringMatching(/^Draft\.\s+Good\.$/) } })
    const said = client.told.map(({ name, body: { agent, chunk } }) => [
      name,
      agent,
      typeof chunk === 'string' ? chunk.trim() : undefined,
    ])
    expect(said).toStrictEqual([
      ['agent.chunk', 'writer', 'Draft.'],
      ['agent.tool.call', 'writer', undefined],
      ['agent.tool.done', 'writer', undefined],
      ['agent.chunk', 'critic', 'Good.'],
      ['agent.done', undefined, undefined],
    ])
  })

  test('has steps, and what the last one comes to is the end of the answer', async () => {
    await using server = await serveAgentGateway({ serve: [review] })
    const client = await server.connect().connected
    const runId = await client.run('workflow.run', { name: 'review', input: 'Hi' })
    expect(await client.next('agent.done', runId)).toMatchObject({
      output: { text: expect.stringMatching(/^Draft\.\s+6 characters$/) },
    })
    expect(client.all('agent.chunk')[0]).toMatchObject({ agent: 'writer', chunk: 'Draft.' })
  })

  test('is listed', async () => {
    const clock = defineTool({
      name: 'clock',
      description: 'The time',
      parameters: z.object({}),
      execute: () => 'noon',
    })
    const guide = createAgent({
      name: 'guide',
      register: false,
      model: demoModel(),
      tools: [clock],
      output: z.object({ hour: z.number() }),
    })
    await using server = await serveAgentGateway({ agents: { guide, echo }, serve: [duo, review] })
    const client = await server.connect().connected
    const { model, provider } = guide.info
    expect(await client.ask('agents.list', {})).toStrictEqual([
      { name: 'guide', model, provider, tools: ['clock'], hasStructuredOutput: true },
      { name: 'echo', model: null, provider: null, tools: [], hasStructuredOutput: false },
    ])
    expect(await client.ask('teams.list', {})).toMatchObject([{ name: 'duo', description: 'Two.' }])
    expect(await client.ask('workflows.list')).toMatchObject([{ name: 'review', steps: ['draft', 'count'] }])
    expect(await client.ask('tools.list', {})).toStrictEqual([])
  })
})

describe('tools', () => {
  const parameters = z.object({ city: z.string() })
  const tool = (name: string, description: string): ReturnType<typeof defineTool> =>
    defineTool({ name, description, parameters, execute: () => null })
  const toolkits = [{ name: 'kit', tools: [tool('weather', 'of the kit'), tool('tides', 'of the kit')] }]
  const toolLibrary = { weather: tool('weather', 'of the library') }
  const schema = {
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  }
  const weather = { name: 'weather', description: 'of the library', parameters: schema }

  test('are listed, those of the library instead of those of a toolkit', async () => {
    await using server = await serveAgentGateway({ toolkits, toolLibrary })
    const client = await server.connect().connected
    const tides = { name: 'tides', description: 'of the kit', parameters: schema }
    expect(await client.ask('tools.list', {})).toStrictEqual([weather, tides])
  })

  test('are looked at one by one', async () => {
    await using server = await serveAgentGateway({ toolkits, toolLibrary })
    const client = await server.connect().connected
    expect(await client.ask('tools.get', { name: 'weather' })).toStrictEqual(weather)
    for (const name of ['nothing', 'constructor', '__proto__']) {
      const error = { code: 'unknown-tool', message: expect.any(String) }
      expect(await client.ask('tools.get', { name })).toStrictEqual({ error })
    }
    for (const payload of [undefined, null, {}, { name: 7 }, [], 'weather']) {
      expect(await client.ask('tools.get', payload)).toMatchObject({ error: { code: 'invalid-payload' } })
    }
  })
})
