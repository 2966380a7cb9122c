import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry, Team, Workflow, defineAgent, flow } from '@turnpike/agents'
import type { Runnable } from '@turnpike/agents'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { type ThreadEvent, isTerminal, reduce, textOf } from '@turnpike/protocol'
import { type WebSocketClient, connectWebSocket } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { serve } from './server.ts'

/** Takes a step, uses a tool whose call is always `c`, and says its words. */
function worker(name: string, words: string): Runnable<string> {
  return defineAgent({
    name,
    register: false,
    async *run() {
      yield { type: 'step-start', step: 0 }
      yield { type: 'tool-call-start', toolCallId: 'c', tool: 'look' }
      yield { type: 'tool-call-args', toolCallId: 'c', tool: 'look', delta: '{}', args: {} }
      yield { type: 'tool-call-result', toolCallId: 'c', tool: 'look', result: name }
      for (const word of words.split(/(?<= )/)) {
        await new Promise(setImmediate)
        yield word
      }
      yield { type: 'step-finish', step: 0, finishReason: 'stop', usage: { inputTokens: 2, outputTokens: 3 } }
    },
  })
}

/** Asks for approval once, is parked, and says what was decided. */
const asker = defineAgent({
  name: 'asker',
  register: false,
  async *run({ resume }, { approvals }) {
    if (resume) {
      yield resume.decisions.map(({ toolCallId, approved }) => `${toolCallId} ${approved}`).join()
      return {}
    }
    await approvals.open({ toolCallId: 'mail', tool: 'send', args: {} })
    yield 'May I? '
    return { parked: { state: {} } }
  },
})

function connect({ baseUrl }: { baseUrl: string }): Promise<WebSocketClient> {
  return connectWebSocket({ url: `${baseUrl.replace('http', 'ws')}/stream` })
}

/** All that comes up to the end of the run, whose events these are. */
async function eventsOf(client: WebSocketClient): Promise<ThreadEvent[]> {
  const frames = await client.inbox.until((frame) => 'seq' in frame && isTerminal(frame))
  return frames.filter((frame) => 'seq' in frame)
}

/** What was said, by whom: `writer: Hello`. */
function said(events: readonly ThreadEvent[]): string[] {
  const lines = new Map<string, string>()
  for (const event of events) {
    if (event.type !== 'text-delta') continue
    const agent = event.agent ?? ''
    lines.set(agent, (lines.get(agent) ?? '') + event.delta)
  }
  return [...lines].map(([agent, text]) => `${agent}: ${text}`)
}

const members = [worker('researcher', 'It is blue. '), worker('writer', 'The sky is blue.')]

test.each(['sequential', 'parallel'] as const)(
  "a %s team's run streams with its members' names, and ends exactly once",
  async (mode) => {
    await using server = await serve([new Team({ name: 'desk', agents: members, mode, register: false })])
    await using client = await connect(server)
    await client.request('thread.send', { message: 'Why?', threadId: 't', agent: 'desk' })
    const events = await eventsOf(client)
    expect(events[0]).toMatchObject({ type: 'start', agent: 'desk' })
    expect(said(events)).toEqual(['researcher: It is blue. ', 'writer: \n\nThe sky is blue.'])
    expect(
      events.flatMap((event) => ('toolCallId' in event && 'agent' in event ? [event.agent] : [])).length,
    ).toBe(6)
    const steps = events.flatMap((event) => (event.type === 'step-start' ? [event.step] : []))
    expect(steps).toEqual([0, 1])
    expect(events.at(-1)).toMatchObject({
      type: 'finish',
      agent: 'desk',
      finishReason: 'stop',
      text: 'It is blue. \n\nThe sky is blue.',
      steps: 2,
      usage: { inputTokens: 4, outputTokens: 6 },
    })
    const [, answer] = events.reduce(reduce, [])
    expect(answer && textOf(answer)).toBe('It is blue. \n\nThe sky is blue.')
    const tools = answer?.parts.flatMap((part) =>
      part.type === 'tool' ? [[part.toolCallId, part.state]] : [],
    )
    expect(tools).toEqual([
      ['c', 'done'],
      ['c-m1', 'done'],
    ])
    // A further run is the next thing that is heard: nothing came after the end.
    await client.request('thread.send', { message: 'Again', threadId: 't', agent: 'desk', runId: 'second' })
    const second = await eventsOf(client)
    expect(second[0]).toMatchObject({ type: 'start', runId: 'second' })
    expect(second.filter(isTerminal)).toHaveLength(1)
  },
)

test("a reader that comes later gets the members' names, too", async () => {
  await using server = await serve([new Team({ name: 'desk', agents: members, register: false })])
  await using client = await connect(server)
  await client.request('thread.send', { message: 'Why?', threadId: 't', agent: 'desk' })
  const events = await eventsOf(client)
  await using late = await connect(server)
  await late.request('thread.subscribe', { threadId: 't', lastEventId: events[0]?.id })
  expect(said(await eventsOf(late))).toEqual(said(events))
})

test('stopping a team stops who works for it, and keeps what was said', async () => {
  const stopped = Promise.withResolvers<void>()
  const endless = defineAgent({
    name: 'endless',
    register: false,
    async *run(_input, { signal }) {
      signal.addEventListener('abort', () => stopped.resolve())
      for (let count = 0; !signal.aborted; count++) {
        yield `${count} `
        await new Promise(setImmediate)
      }
    },
  })
  const team = new Team({ name: 'desk', agents: [members[0] ?? endless, endless], register: false })
  await using server = await serve([team])
  await using client = await connect(server)
  await client.request('thread.send', { message: 'Go', threadId: 't', runId: 'r', agent: 'desk' })
  await client.inbox.until((frame) => frame.type === 'text-delta' && frame.delta.includes('1 '))
  await client.request('run.cancel', { runId: 'r' })
  await stopped.promise
  const finish = (await eventsOf(client)).at(-1)
  expect(finish).toMatchObject({ type: 'finish', finishReason: 'cancelled' })
  expect(finish?.type === 'finish' && finish.text).toMatch(/^It is blue\. \n\n0 1 /)
})

test.each(['desk', 'team:desk'])(
  'a team that waits for approval goes on after a restart, with the members after the one that asked, as %s',
  async (name) => {
    const folder = await mkdtemp(join(tmpdir(), 'turnpike-'))
    const agents = [worker('before', 'First.'), asker, worker('after', 'Last.')]
    const team = new Team({ name: 'desk', agents, register: false })
    const namesake = worker('desk', 'I am an agent.')
    const open = (): ReturnType<typeof serve> =>
      serve(name === 'desk' ? [team] : [namesake, team], {
        store: sqliteStore({ file: join(folder, 'store.sqlite') }),
      })
    try {
      let approvalId = ''
      {
        await using server = await open()
        await using client = await connect(server)
        await client.request('thread.send', { message: 'mail', threadId: 't', agent: name })
        const pending = (await client.inbox.until((frame) => frame.type === 'approval-pending')).at(-1)
        if (pending?.type === 'approval-pending') ({ approvalId } = pending)
        expect(pending).toMatchObject({ toolCallId: 'mail-m1' })
      }
      await using server = await open()
      await using client = await connect(server)
      await client.request('thread.subscribe', { threadId: 't' })
      await client.request('approval.resolve', { approvalId, approved: true })
      const events = await eventsOf(client)
      expect(said(events)).toEqual(['asker: mail true', 'after: \n\nLast.'])
      expect(events.at(-1)).toMatchObject({
        type: 'finish',
        text: 'First.\n\nMay I? mail true\n\nLast.',
        steps: 2,
        usage: { inputTokens: 4, outputTokens: 6 },
      })
    } finally {
      await rm(folder, { recursive: true })
    }
  },
)

test('a workflow that is made while the server runs is reachable at once, beside an agent of its name', async () => {
  const agents = new Registry([worker('helper', 'An agent.')])
  await using server = await serve([], { agents })
  await using client = await connect(server)
  const steps = flow()
    .step('ask', worker('helper', 'Blue?'))
    .step('count', (text) => ({ words: text.split(' ').length }))
  const workflow = new Workflow({ name: 'counting', steps, register: false })
  agents.add(workflow)
  await client.request('thread.send', { message: 'Go', threadId: 't', agent: 'counting' })
  const events = await eventsOf(client)
  expect(said(events)).toEqual(['helper: Blue?', ': \n\n{"words":1}'])
  const updates = events.flatMap((event) => (event.type === 'run-update' ? [event.background] : []))
  expect(updates.map(({ name, status }) => `${name} ${status}`)).toEqual([
    'ask running',
    'ask done',
    'count running',
    'count done',
  ])
})

test('a workflow whose step fails ends in an error that names the step', async () => {
  const steps = flow().step('load', () => Promise.reject(new Error('password: secret')))
  await using server = await serve([new Workflow({ name: 'w', steps, register: false })])
  await using client = await connect(server)
  await client.request('thread.send', { message: 'Go', threadId: 't', agent: 'w' })
  expect((await eventsOf(client)).at(-1)).toMatchObject({
    type: 'error',
    agent: 'w',
    error: { code: 'agent-failed', message: 'The step "load" failed.' },
  })
})
