import { readFile } from 'node:fs/promises'
import type { ThreadEvent } from '@turnpike/protocol'
import { type WebSocketClient, connectWebSocket } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { callingAgent } from './calling-agent.ts'
import { EntityClient, type EntityFrame, connectEntity } from './entity-client.ts'
import { serve } from './server.ts'

type Served = Awaited<ReturnType<typeof serve>>

const entityUrl = ({ port }: Served, entity = 'shop'): string =>
  `ws://127.0.0.1:${port}/connections?entity=${entity}`
const bearer = (token: string): { headers: Record<string, string> } => ({
  headers: { authorization: `Bearer ${token}` },
})

/** Sends a message, and resolves with the events of its run. */
async function runOn(server: Served, headers: Record<string, string> = {}): Promise<ThreadEvent[]> {
  await using client = await connectWebSocket({ url: `ws://127.0.0.1:${server.port}/stream`, headers })
  await client.request('thread.send', { message: 'go' })
  return await eventsOf(client)
}

async function eventsOf(client: WebSocketClient): Promise<ThreadEvent[]> {
  const frames = await client.inbox.until((frame) => frame.type === 'finish' || frame.type === 'error')
  return frames.filter((frame) => 'seq' in frame)
}

function told(events: readonly ThreadEvent[]): unknown[] {
  return events.flatMap((event) => {
    if (event.type === 'tool-call-result') return [[event.tool, event.result]]
    if (event.type === 'tool-call-error') return [[event.tool, event.error.code]]
    return event.type === 'finish' ? [[event.finishReason, event.text]] : []
  })
}

interface Step {
  readonly why: string
  readonly send?: object
  readonly call?: { readonly tool: string; readonly args: unknown }
  readonly abort?: true
  readonly receive: EntityFrame
  readonly result?: unknown
  readonly error?: { readonly code: string; readonly message: string }
}

test('frames are as the golden ones', async () => {
  await using server = await serve([])
  await using shop = new EntityClient({ url: entityUrl(server) })
  await shop.opened
  const golden = await readFile(new URL('golden/tool-sync.json', import.meta.url), 'utf8')
  const steps = JSON.parse(golden) as Step[]
  let callId = ''
  let abort = new AbortController()
  let answer: Promise<unknown> = Promise.resolve()
  const filled = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value).replaceAll('"$callId"', JSON.stringify(callId)))
  for (const step of steps) {
    if (step.send) shop.send(filled(step.send))
    if (step.abort) abort.abort()
    if (step.call) {
      abort = new AbortController()
      const { signal } = abort
      const [tool] = server.gateway.entityTools.list([step.call.tool])
      const caller = { toolCallId: 'call-1', runId: 'run-1', threadId: 'thread-1', user: 'anonymous', signal }
      answer = tool?.call(step.call.args, caller) ?? answer
      answer.catch(() => {})
    }
    const frame = await shop.inbox.next()
    if (step.call) callId = String(frame['callId'])
    expect(frame, step.why).toEqual(filled(step.receive))
    if (step.error) await expect(answer, step.why).rejects.toMatchObject(step.error)
    if ('result' in step) await expect(answer, step.why).resolves.toEqual(step.result)
  }
})

test('an agent calls a tool that another program has brought', async () => {
  const seen: string[][] = []
  const agent = callingAgent([{ tool: 'shop_status', args: { order: 'A1' } }, 'Shipped.'], ['shop.*'], seen)
  await using server = await serve([agent])
  await using shop = await connectEntity({ url: entityUrl(server), tools: ['status'] })
  const run = runOn(server)
  const call = await shop.call()
  expect(call).toMatchObject({ tool: 'status', args: { order: 'A1' }, user: 'anonymous' })
  expect(await shop.request('tool.result', { callId: call.callId, result: { shipped: true } })).toMatchObject(
    {
      ok: true,
    },
  )
  const events = await run
  expect(told(events)).toEqual([
    ['shop_status', { shipped: true }],
    ['stop', 'Shipped.'],
  ])
  expect(events[0]).toMatchObject({ runId: call['runId'], threadId: call['threadId'] })
  expect(seen).toEqual([['shop_status'], ['shop_status']])
  const { agents } = (await (await fetch(`${server.baseUrl}/agents`)).json()) as {
    agents: { tools: string[] }[]
  }
  expect(agents[0]?.tools).toEqual(['shop.*'])
})

test('an entity that drops away in the middle of a call ends the call and not the run, and can come back', async () => {
  const seen: string[][] = []
  const turn = { tool: 'shop_status', args: {} }
  await using server = await serve([callingAgent([turn, turn, turn, 'Done.'], ['shop.*'], seen)])
  await using shop = await connectEntity({ url: entityUrl(server), tools: ['status'] })
  await using client = await connectWebSocket({ url: `ws://127.0.0.1:${server.port}/stream` })
  await client.request('thread.send', { message: 'go' })
  await shop.call()
  shop.terminate()
  const gone = await client.inbox.until((frame) => frame.type === 'tool-call-error')
  expect(gone.at(-1)).toMatchObject({ tool: 'shop_status', error: { code: 'entity-gone' } })
  const events = await eventsOf(client)
  expect(told(events)).toEqual([
    ['shop_status', 'entity-gone'],
    ['shop_status', 'entity-gone'],
    ['stop', 'Done.'],
  ])
  expect(seen).toEqual([['shop_status'], [], [], []])
  await using again = await connectEntity({ url: entityUrl(server), tools: ['status'] })
  await client.request('thread.send', { message: 'again' })
  for (let i = 0; i < 3; i++) {
    const { callId } = await again.call()
    await again.request('tool.result', { callId, result: i })
  }
  expect(told(await eventsOf(client)).slice(0, 3)).toEqual([0, 1, 2].map((i) => ['shop_status', i]))
})

test('a newer connection takes over: the older one is told, and its calls end', async () => {
  const turn = { tool: 'shop_status', args: {} }
  await using server = await serve([callingAgent([turn, turn, 'Done.'], ['shop.*'])])
  await using older = await connectEntity({ url: entityUrl(server), tools: ['status'] })
  const run = runOn(server)
  const { callId } = await older.call()
  await using newer = await connectEntity({ url: entityUrl(server), tools: ['status'] })
  expect(await older.inbox.next()).toEqual({ type: 'goodbye', code: 'entity-replaced' })
  expect(await older.closed).toBe(4409)
  expect(await newer.request('tool.result', { callId, result: 'forged' })).toMatchObject({
    ok: false,
    error: { code: 'unknown-call' },
  })
  const second = await newer.call()
  await newer.request('tool.result', { callId: second.callId, result: 'mine' })
  expect(told(await run)).toEqual([
    ['shop_status', 'entity-gone'],
    ['shop_status', 'mine'],
    ['stop', 'Done.'],
  ])
})

test('a result from another connection is ignored', async () => {
  await using server = await serve([callingAgent([{ tool: 'shop_status', args: {} }, 'Done.'], ['shop.*'])])
  await using shop = await connectEntity({ url: entityUrl(server), tools: ['status'] })
  await using thief = await connectEntity({ url: entityUrl(server, 'thief'), tools: ['status'] })
  await using stranger = new EntityClient({ url: entityUrl(server) })
  await stranger.opened
  const run = runOn(server)
  const { callId } = await shop.call()
  for (const other of [thief, stranger]) {
    for (const [command, payload] of [
      ['tool.result', { callId, result: 'forged' }],
      ['tool.error', { callId, error: 'forged' }],
    ] as const) {
      expect(await other.request(command, payload)).toMatchObject({
        ok: false,
        error: { code: 'unknown-call' },
      })
    }
  }
  await shop.request('tool.result', { callId, result: 'true' })
  expect(told(await run)[0]).toEqual(['shop_status', 'true'])
})

test('a run that is cancelled tells the entity', async () => {
  await using server = await serve([callingAgent([{ tool: 'shop_status', args: {} }, 'Done.'], ['shop.*'])])
  await using shop = await connectEntity({ url: entityUrl(server), tools: ['status'] })
  await using client = await connectWebSocket({ url: `ws://127.0.0.1:${server.port}/stream` })
  await client.request('thread.send', { message: 'go', runId: 'r' })
  const { callId } = await shop.call()
  await client.request('run.cancel', { runId: 'r' })
  expect(await shop.inbox.next()).toEqual({ type: 'tool.cancel', callId })
  expect(told(await eventsOf(client))).toEqual([
    ['shop_status', 'cancelled'],
    ['cancelled', ''],
  ])
  expect(await shop.request('tool.result', { callId, result: 1 })).toMatchObject({ ok: false })
})

test('a call that is not answered in time is a timeout, and the run goes on', async () => {
  const agent = callingAgent([{ tool: 'shop_status', args: {} }, 'Done.'], ['shop.*'])
  await using server = await serve([agent], { limits: { entityCallMs: 50 } })
  await using shop = await connectEntity({ url: entityUrl(server), tools: ['status'] })
  const run = runOn(server)
  const { callId } = await shop.call()
  expect(await shop.inbox.next()).toEqual({ type: 'tool.cancel', callId })
  expect(told(await run)).toEqual([
    ['shop_status', 'tool-timeout'],
    ['stop', 'Done.'],
  ])
})

test('a silent entity is told so, and its tools are gone', async () => {
  await using server = await serve([], { limits: { entitySilenceMs: 50 } })
  await using shop = await connectEntity({ url: entityUrl(server), tools: ['status'] })
  expect(await shop.inbox.next()).toEqual({ type: 'goodbye', code: 'connection-closed' })
  expect(await shop.closed).toBe(4510)
  expect(server.gateway.entityTools.size).toBe(0)
})

test('the subject of its token is what an entity is called, whatever it claims', async () => {
  const authenticate = async (token: string): Promise<{ id: string }> => ({ id: token })
  const agent = callingAgent([{ tool: 'warehouse_status', args: {} }, 'Done.'], ['warehouse.*', 'shop.*'])
  await using server = await serve([agent], { authenticate })
  await using entity = new EntityClient({ url: entityUrl(server), ...bearer('warehouse') })
  await entity.opened
  expect(await entity.request('tool.register', { tools: [{ name: 'status' }] })).toMatchObject({
    ok: true,
    tools: 1,
    entity: 'warehouse',
  })
  const run = runOn(server, { authorization: 'Bearer ada' })
  const call = await entity.call()
  expect(call['user']).toBe('ada')
  await entity.request('tool.result', { callId: call.callId })
  expect(told(await run)[0]).toEqual(['warehouse_status', null])
})

test('a token may come as the first message; without one, nobody brings tools', async () => {
  const authenticate = async (token: string): Promise<{ id: string } | null> =>
    token === 'good' ? { id: 'shop' } : null
  await using server = await serve([], { authenticate })
  await using shop = new EntityClient({ url: entityUrl(server) })
  await shop.opened
  const answers = [
    shop.request('auth', { token: 'good' }),
    shop.request('tool.register', { tools: [{ name: 'status' }] }),
  ]
  expect((await Promise.all(answers)).map(({ ok }) => ok)).toEqual([true, true])
  for (const token of ['bad', undefined]) {
    await using refused = new EntityClient({ url: entityUrl(server) })
    await refused.opened
    if (token) refused.send({ id: 1, command: 'auth', payload: { token } })
    else refused.send({ id: 1, command: 'tool.register', payload: { tools: [] } })
    expect(await refused.closed).toBe(4401)
  }
  expect(server.gateway.entityTools.size).toBe(1)
})

test('who may bring tools can be required to have a permission', async () => {
  const authenticate = async (token: string): Promise<{ id: string; permissions: string[] }> => ({
    id: token,
    permissions: token === 'shop' ? ['tools'] : [],
  })
  await using server = await serve([], {
    authenticate,
    requires: { 'tool.register': { permissions: ['tools'] } },
  })
  await using shop = new EntityClient({ url: entityUrl(server), ...bearer('shop') })
  await using ada = new EntityClient({ url: entityUrl(server), ...bearer('ada') })
  await Promise.all([shop.opened, ada.opened])
  expect(await shop.request('tool.register', { tools: [] })).toMatchObject({ ok: true })
  expect(await ada.request('tool.register', { tools: [] })).toMatchObject({ error: { code: 'forbidden' } })
})

test('no frame that is sent right after the opening is lost while who sends it is being found out', async () => {
  const verdict = Promise.withResolvers<{ id: string }>()
  const asked = Promise.withResolvers<void>()
  await using server = await serve([], {
    authenticate: () => {
      asked.resolve()
      return verdict.promise
    },
  })
  await using shop = new EntityClient({ url: entityUrl(server), ...bearer('shop') })
  await shop.opened
  for (let id = 1; id <= 49; id++) {
    if (id === 25)
      shop.send({ id: 'list', command: 'tool.register', payload: { tools: [{ name: 'status' }] } })
    shop.send({ id, command: 'heartbeat', payload: {} })
  }
  await asked.promise
  expect(shop.inbox.size).toBe(0)
  verdict.resolve({ id: 'shop' })
  const ids: unknown[] = []
  for (let i = 0; i < 50; i++) {
    const answer = await shop.inbox.next()
    expect(answer['ok']).toBe(true)
    ids.push(answer['id'])
  }
  const numbers = Array.from({ length: 49 }, (_, i) => i + 1)
  expect(ids).toEqual([...numbers.slice(0, 24), 'list', ...numbers.slice(24)])
})

test('what waits for a verdict is bounded', async () => {
  await using server = await serve([], { authenticate: () => new Promise(() => {}) })
  await using flood = new EntityClient({ url: entityUrl(server), ...bearer('shop') })
  await flood.opened
  for (let id = 1; id <= 66; id++) flood.send({ id, command: 'heartbeat' })
  expect(await flood.closed).toBe(4429)
})

test.each([
  ['no list', {}],
  ['a name with a dot', { tools: [{ name: 'a.b' }] }],
  ['a name that is long', { tools: [{ name: 'a'.repeat(65) }] }],
  ['no name', { tools: [{ description: 'nothing' }] }],
  ['two of one name', { tools: [{ name: 'a' }, { name: 'a' }] }],
  ['a schema that refers elsewhere', { tools: [{ name: 'a', parameters: { $ref: 'http://evil.example' } }] }],
  ['a schema that is a list', { tools: [{ name: 'a', parameters: [] }] }],
  ['too many', { tools: Array.from({ length: 129 }, (_, i) => ({ name: `t${i}` })) }],
  [
    'too much',
    {
      tools: Array.from({ length: 9 }, (_, i) => ({ name: `t${i}`, parameters: { x: 'x'.repeat(30_000) } })),
    },
  ],
])('a list with %s is refused, and the connection goes on', async (_what, payload) => {
  await using server = await serve([])
  await using shop = new EntityClient({ url: entityUrl(server) })
  await shop.opened
  expect(await shop.request('tool.register', payload)).toMatchObject({ error: { code: 'invalid-payload' } })
  expect(await shop.request('heartbeat', {})).toMatchObject({ ok: true })
  expect(server.gateway.entityTools.size).toBe(0)
})

test.each([
  ['a result without a call', 'tool.result', { result: 1 }],
  ['an error without an error', 'tool.error', { callId: 'c' }],
  ['an error that is a number', 'tool.error', { callId: 'c', error: 5 }],
  ['a heartbeat that is a list', 'heartbeat', []],
])('%s is no valid payload', async (_what, command, payload) => {
  await using server = await serve([])
  await using shop = new EntityClient({ url: entityUrl(server) })
  await shop.opened
  expect(await shop.request(command, payload)).toMatchObject({ error: { code: 'invalid-payload' } })
})

test('a storm of registrations is refused with the time to wait', async () => {
  await using server = await serve([])
  await using shop = new EntityClient({ url: entityUrl(server) })
  await shop.opened
  const answers = await Promise.all(
    Array.from({ length: 30 }, () => shop.request('tool.register', { tools: [{ name: 'status' }] })),
  )
  expect(answers.filter(({ ok }) => ok).length).toBeLessThan(15)
  expect(answers.at(-1)).toMatchObject({ error: { code: 'rate-limited', retryAfterMs: 1_000 } })
  expect(server.gateway.entityTools.list(['shop.*'])).toHaveLength(1)
})

test('a result that is too long for an event is an error of the call', async () => {
  const agent = callingAgent([{ tool: 'shop_status', args: {} }, 'Done.'], ['shop.*'])
  await using server = await serve([agent])
  await using shop = await connectEntity({ url: entityUrl(server), tools: ['status'] })
  const run = runOn(server)
  const { callId } = await shop.call()
  // Less than a frame holds, and more than an event.
  const result = 'x'.repeat(1_048_576 - 4_000)
  expect(await shop.request('tool.result', { callId, result })).toMatchObject({ ok: true })
  expect(told(await run)).toEqual([
    ['shop_status', 'tool-failed'],
    ['stop', 'Done.'],
  ])
})

test('an entity that does not read is not sent more than it may hold', async () => {
  await using server = await serve([], { limits: { entityCalls: 1_000 } })
  await using shop = await connectEntity({ url: entityUrl(server), tools: ['status'] })
  shop.pause()
  const [tool] = server.gateway.entityTools.list(['shop.*'])
  const caller = {
    toolCallId: 'c',
    runId: 'r',
    threadId: 't',
    user: 'u',
    signal: new AbortController().signal,
  }
  const args = { text: 'x'.repeat(200_000) }
  const refused = await Promise.any(
    Array.from({ length: 200 }, async () => {
      await new Promise(setImmediate)
      return tool?.call(args, caller).then(
        () => Promise.reject(new Error('answered')),
        (error: unknown) => error,
      )
    }),
  )
  expect(refused).toMatchObject({ code: 'tool-failed', message: '"shop" does not take what it is sent.' })
})

test('entities are listed among the connections', async () => {
  await using server = await serve([])
  await using shop = await connectEntity({ url: entityUrl(server), tools: ['status'] })
  const { connections } = (await (await fetch(`${server.baseUrl}/connections`)).json()) as {
    connections: { id: string; wire: string }[]
  }
  expect(connections).toMatchObject([{ wire: 'websocket', user: 'anonymous' }])
  await fetch(`${server.baseUrl}/connections/${connections[0]?.id}/close`, { method: 'POST' })
  expect(await shop.closed).toBe(4510)
  expect(server.gateway.entityTools.size).toBe(0)
})

test('a server that shuts down says goodbye to entities, too', async () => {
  await using server = await serve([])
  await using shop = await connectEntity({ url: entityUrl(server), tools: ['status'] })
  const closing = server.close(0)
  expect(await shop.inbox.next()).toMatchObject({ type: 'goodbye', code: 'draining' })
  expect(await shop.closed).toBe(1012)
  await closing
  expect(server.gateway.entityTools.size).toBe(0)
})

test('entities that nobody has authenticated register so often together, under whatever names', async () => {
  await using server = await serve([], { limits: { anonymousRegistrationsPerMinute: 2 } })
  await using first = await connectEntity({ url: entityUrl(server, 'a'), tools: ['x'] })
  await using second = await connectEntity({ url: entityUrl(server, 'b'), tools: ['x'] })
  await using third = new EntityClient({ url: entityUrl(server, 'c') })
  await third.opened
  expect(await third.request('tool.register', { tools: [] })).toMatchObject({
    ok: false,
    error: { code: 'rate-limited', retryAfterMs: 30_000 },
  })
  for (const there of [first, second])
    expect(await there.request('heartbeat', {})).toMatchObject({ ok: true })
})
