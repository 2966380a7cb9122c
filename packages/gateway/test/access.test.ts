import type { Principal } from '@turnpike/agents'
import type { CommandName, PayloadOf } from '@turnpike/protocol'
import { type Authorize, type GatewayOptions } from '@turnpike/gateway'
import {
  type WebSocketClient,
  connectWebSocket,
  countingAgent,
  createRandom,
  puppetAgent,
} from '@turnpike/testkit'
import { expect, test } from 'vitest'
import { parkingAgent, waitingAgent } from './harness.ts'
import { serve } from './server.ts'

const TRIES = 1_000

/** `name`, or `name:role,role:permission,permission` */
async function authenticate(token: string): Promise<Principal | null> {
  const [id = '', roles = '', permissions = ''] = token.split(':')
  return { id, roles: roles.split(',').filter(Boolean), permissions: permissions.split(',').filter(Boolean) }
}

const as = (token: string): { headers: Record<string, string> } => ({
  headers: { authorization: `Bearer ${token}` },
})

type Server = Awaited<ReturnType<typeof serve>>

function connect(server: Server, token: string): Promise<WebSocketClient> {
  return connectWebSocket({ url: `${server.baseUrl.replace('http', 'ws')}/stream`, ...as(token) })
}

const open = (options: Partial<GatewayOptions> = {}): Promise<Server> =>
  serve([countingAgent(), waitingAgent, parkingAgent(), puppetAgent('puppet')], { authenticate, ...options })

/** Ada's, as she left it: a thread that has ended, one that goes on, and one that waits for approval. */
async function settle(ada: WebSocketClient): Promise<{ approvalId: string; lastEventId: string }> {
  await ada.request('thread.send', { message: '3', threadId: 'private', runId: 'done' })
  const finish = (await ada.inbox.until((frame) => frame.type === 'finish')).at(-1)
  await ada.request('thread.send', { message: 'x', threadId: 'going', runId: 'going', agent: 'puppet' })
  await ada.request('thread.send', { message: 'x', threadId: 'asking', runId: 'asking', agent: 'waiting' })
  const pending = (await ada.inbox.until((frame) => frame.type === 'approval-pending')).at(-1)
  if (pending?.type !== 'approval-pending' || finish?.type !== 'finish') throw new Error('Not settled.')
  return { approvalId: pending.approvalId, lastEventId: finish.id }
}

test('of a thousand tries to touch what is somebody else\u2019s, on both wires, none succeeds, and all are answered as unknown', async () => {
  await using server = await open({
    limits: { framesPerSecond: 1e6, frameBurst: 1e6, userCommandsPerMinute: 0 },
  })
  await using ada = await connect(server, 'ada')
  const { approvalId, lastEventId } = await settle(ada)
  await using eve = await connect(server, 'eve')
  const random = createRandom(Number(process.env['ACCESS_SEED'] ?? Date.now()))
  // Guesses go around the quotes and brackets with which the server joins an owner and an id.
  const guess = (id: string): string =>
    random.pick([
      id,
      id,
      id,
      `ada:${id}`,
      `["ada","${id}"]`,
      `ada","${id}`,
      `${id}"]`,
      `../ada/${id}`,
      `${id} `,
    ])
  const threadOf = (): string => guess(random.pick(['private', 'going', 'asking']))
  const runOf = (): string => guess(random.pick(['done', 'going', 'asking']))
  const overWebSocket: (() => [CommandName, PayloadOf<CommandName>])[] = [
    () => ['thread.subscribe', { threadId: threadOf() }],
    () => ['thread.subscribe', { threadId: threadOf(), lastEventId }],
    () => ['run.cancel', { runId: runOf() }],
    () => ['approval.resolve', { approvalId: guess(approvalId), approved: true }],
  ]
  const e = encodeURIComponent
  const overHttp: (() => [string, RequestInit])[] = [
    () => [`/threads/${e(threadOf())}/messages`, {}],
    () => [`/threads/${e(threadOf())}/events?after=${lastEventId}`, {}],
    () => [`/runs/${e(runOf())}/cancel`, { method: 'POST' }],
    () => [`/approvals/${e(guess(approvalId))}`, { method: 'POST', body: '{"approved":true}' }],
  ]
  const codes = new Map<string, number>()
  for (let n = 0; n < TRIES; n++) {
    let code: string
    if (random.int(0, 1) === 0) {
      const answer = await eve.request(...random.pick(overWebSocket)())
      code = answer.ok ? 'ok' : answer.error.code
    } else {
      const [path, init] = random.pick(overHttp)()
      const response = await fetch(server.baseUrl + path, { ...init, ...as('eve') })
      const body = (await response.json()) as { error?: { code: string } }
      code = response.status === 404 ? (body.error?.code ?? 'no code') : `${response.status}`
    }
    codes.set(code, (codes.get(code) ?? 0) + 1)
  }
  expect([...codes.keys()].toSorted()).toEqual(['unknown-approval', 'unknown-run', 'unknown-thread'])
  const listed = await fetch(`${server.baseUrl}/threads`, as('eve'))
  expect(await listed.json()).toEqual({ threads: [] })
  expect(eve.inbox.size).toBe(0)

  // A thread of the same name is a thread of her own, and a run of the same id another run.
  await eve.request('thread.send', { message: '2', threadId: 'private', runId: 'done' })
  await eve.inbox.until((frame) => frame.type === 'finish')
  const hers = await (await fetch(`${server.baseUrl}/threads/private/messages`, as('eve'))).json()
  expect(hers).toMatchObject({ messages: [{ parts: [{ text: '2' }] }, { parts: [{ text: '1 2 ' }] }] })

  // And nothing of it has harmed Ada.
  expect(await ada.request('approval.resolve', { approvalId, approved: true })).toMatchObject({ first: true })
  expect(await ada.request('run.cancel', { runId: 'going' })).toMatchObject({ status: 'cancelling' })
  const mine = await (await fetch(`${server.baseUrl}/threads/private/messages`, as('ada'))).json()
  expect(mine).toMatchObject({ messages: [{ parts: [{ text: '3' }] }, {}] })
}, 60_000)

/** Whoever is of the same team: `red-ada`, `red-bob`. */
const sameTeam: Authorize = (principal, _action, { owner }) =>
  principal.id.split('-')[0] === owner.split('-')[0]

test('a team shares threads where the hook says so: read, resume, send, cancel, approve', async () => {
  await using server = await open({ authorize: sameTeam })
  await using ada = await connect(server, 'red-ada')
  const { approvalId, lastEventId } = await settle(ada)
  await using bob = await connect(server, 'red-bob')
  await using eve = await connect(server, 'blue-eve')
  expect(await bob.request('thread.subscribe', { threadId: 'private', lastEventId })).toMatchObject({
    recovered: true,
  })
  expect(
    await bob.request('thread.send', { message: '4', threadId: 'private', runId: 'bobs' }),
  ).toMatchObject({
    ok: true,
  })
  for (const reader of [ada, bob]) {
    const finish = (await reader.inbox.until((frame) => frame.type === 'finish')).at(-1)
    expect(finish).toMatchObject({ runId: 'bobs', text: '1 2 3 4 ' })
  }
  // A run id is one run in a thread, whoever of them sent it.
  expect(
    await bob.request('thread.send', { message: 'x', threadId: 'private', runId: 'done' }),
  ).toMatchObject({
    error: { code: 'run-id-conflict' },
  })
  const resolution = { approvalId, approved: true }
  expect(await eve.request('approval.resolve', resolution)).toMatchObject({
    error: { code: 'unknown-approval' },
  })
  expect(await bob.request('approval.resolve', resolution)).toMatchObject({ first: true })
  const resolved = (await ada.inbox.until((frame) => frame.type === 'approval-resolved')).at(-1)
  expect(resolved).toMatchObject({ by: 'red-bob' })
  expect(await bob.request('run.cancel', { runId: 'going' })).toMatchObject({ status: 'cancelling' })
  expect(await eve.request('thread.subscribe', { threadId: 'private' })).toMatchObject({
    error: { code: 'unknown-thread' },
  })
  const read = await fetch(`${server.baseUrl}/threads/private/messages`, as('red-bob'))
  expect(((await read.json()) as { messages: unknown[] }).messages).toHaveLength(4)
})

test('what may be read and not written to is forbidden, not made anew', async () => {
  const authorize: Authorize = ({ id }, action, { owner }) => id === owner || action === 'thread.read'
  await using server = await open({ authorize })
  await using ada = await connect(server, 'ada')
  await ada.request('thread.send', { message: '1', threadId: 'notes' })
  await using bob = await connect(server, 'bob')
  expect(await bob.request('thread.send', { message: '1', threadId: 'notes' })).toMatchObject({
    error: { code: 'forbidden' },
  })
  expect(await bob.request('thread.send', { message: '1', threadId: 'others' })).toMatchObject({ ok: true })
})

test('roles and permissions: any of the roles, all of the permissions, of one\u2019s own things too', async () => {
  const requires = {
    'thread.send': { roles: ['writer', 'admin'] },
    'run.cancel': { permissions: ['runs', 'stop'] },
  } as const
  await using server = await open({ requires })
  await using writer = await connect(server, 'ada:writer:runs')
  expect(await writer.request('thread.send', { message: 'x', runId: 'r', agent: 'puppet' })).toMatchObject({
    ok: true,
  })
  expect(await writer.request('run.cancel', { runId: 'r' })).toMatchObject({ error: { code: 'forbidden' } })
  await using reader = await connect(server, 'ada:reader:runs,stop')
  expect(await reader.request('thread.send', { message: 'x' })).toMatchObject({
    error: { code: 'forbidden' },
  })
  expect(await reader.request('run.cancel', { runId: 'r' })).toMatchObject({ status: 'cancelling' })
  // With a new token come other roles.
  expect(await reader.request('auth', { token: 'ada:admin' })).toMatchObject({ ok: true })
  expect(await reader.request('thread.send', { message: '1' })).toMatchObject({ ok: true })
})

test.each<[string, Authorize]>([
  [
    'throws',
    () => {
      throw new Error('the directory is down')
    },
  ],
  ['rejects', () => Promise.reject(new Error('the directory is down'))],
  ['answers nonsense', () => 'yes' as never],
])('a hook that %s opens nothing', async (_title, authorize) => {
  await using server = await open({ authorize: (...asked) => asked[0].id === 'ada' || authorize(...asked) })
  await using ada = await connect(server, 'ada')
  await ada.request('thread.send', { message: '1', threadId: 'private' })
  await using eve = await connect(server, 'eve')
  const answer = await eve.request('thread.subscribe', { threadId: 'private' })
  expect(answer.ok).toBe(false)
  expect(await ada.request('thread.subscribe', { threadId: 'private' })).toMatchObject({ ok: true })
})

test('a user has so many runs going on at once, over all connections; what waits does not count', async () => {
  await using server = await open({ limits: { userRuns: 2 } })
  await using ada = await connect(server, 'ada')
  await using tablet = await connect(server, 'ada')
  const send = (client: WebSocketClient, threadId: string, agent = 'puppet'): Promise<object> =>
    client.request('thread.send', { message: 'x', threadId, runId: threadId, agent })
  expect(await send(ada, 'parked', 'parking')).toMatchObject({ ok: true })
  await ada.inbox.until((frame) => frame.type === 'approval-pending')
  await expect.poll(() => send(tablet, 'a')).toMatchObject({ ok: true })
  expect(await send(ada, 'b')).toMatchObject({ ok: true })
  expect(await send(tablet, 'c')).toMatchObject({
    error: { code: 'too-many-runs', retryAfterMs: expect.any(Number) },
  })
  expect(await ada.request('thread.send', { message: 'x', threadId: 'a', runId: 'a2' })).toMatchObject({
    status: 'queued',
  })
  await using bob = await connect(server, 'bob')
  expect(await send(bob, 'c')).toMatchObject({ ok: true })
  await ada.request('run.cancel', { runId: 'b' })
  await ada.inbox.until((frame) => frame.type === 'finish' && frame.runId === 'b')
  expect(await send(tablet, 'c')).toMatchObject({ ok: true })
})

test('a user has so many connections, whatever the wire; one more is told so and when to come back', async () => {
  await using server = await open({ limits: { userConnections: 2 } })
  await using first = await connect(server, 'ada')
  await first.request('thread.send', { message: '1', threadId: 't' })
  const stream = await fetch(`${server.baseUrl}/threads/t/events`, as('ada'))
  expect(stream.status).toBe(200)
  await using third = await connect(server, 'ada')
  expect(await third.inbox.next()).toMatchObject({ type: 'goodbye', code: 'too-many-connections' })
  expect((await third.closed).code).toBe(4513)
  const refused = await fetch(`${server.baseUrl}/threads/t/events`, as('ada'))
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
  await using bob = await connect(server, 'bob')
  expect(await bob.request('thread.send', { message: '1' })).toMatchObject({ ok: true })
  await stream.body?.cancel()
  await expect
    .poll(async () => {
      const again = await fetch(`${server.baseUrl}/threads/t/events`, as('ada'))
      await again.body?.cancel()
      return again.status
    })
    .toBe(200)
})

test('a user sends so many commands a minute, over all connections and wires', async () => {
  await using server = await open({ limits: { userCommandsPerMinute: 20 } })
  await using one = await connect(server, 'ada')
  await using other = await connect(server, 'ada')
  for (let n = 0; n < 9; n++) {
    expect(await one.request('run.cancel', { runId: 'x' })).toMatchObject({ error: { code: 'unknown-run' } })
    expect(await other.request('run.cancel', { runId: 'x' })).toMatchObject({
      error: { code: 'unknown-run' },
    })
  }
  for (let n = 0; n < 2; n++) expect((await fetch(`${server.baseUrl}/agents`, as('ada'))).status).toBe(200)
  const answer = await one.request('run.cancel', { runId: 'x' })
  expect(answer).toMatchObject({ error: { code: 'rate-limited', retryAfterMs: expect.any(Number) } })
  const refused = await fetch(`${server.baseUrl}/agents`, as('ada'))
  expect(refused.status).toBe(429)
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  expect((await fetch(`${server.baseUrl}/agents`, as('bob'))).status).toBe(200)
})
