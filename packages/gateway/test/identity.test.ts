import { inspect } from 'node:util'
import { type Principal, defineAgent } from '@turnpike/agents'
import { GatewayError } from '@turnpike/protocol'
import { connectWebSocket, countingAgent } from '@turnpike/testkit'
import { expect, test } from 'vitest'
import type { Authenticate, Identity } from '@turnpike/gateway'
import { recordingLogger } from './harness.ts'
import { serve } from './server.ts'

const agents = [countingAgent()]
const wsOf = (baseUrl: string): string => `${baseUrl.replace('http', 'ws')}/stream`
const instant = async (token: string): Promise<Identity | null> =>
  token.startsWith('user:') ? { id: token.slice(5) } : null

test.each<[string, Authenticate]>([
  ['throws', () => Promise.reject(new Error('down'))],
  [
    'throws before it promises anything',
    () => {
      throw new Error('down')
    },
  ],
  ['throws an error of ours', () => Promise.reject(new GatewayError('unauthorized', 'Not today.'))],
])('a validator that %s is no verdict: the client may try again', async (_title, authenticate) => {
  await using server = await serve(agents, { authenticate })
  const headers = { authorization: 'Bearer user:ada' }
  await using byHeader = await connectWebSocket({ url: wsOf(server.baseUrl), headers })
  expect(await byHeader.inbox.next()).toMatchObject({ type: 'goodbye', code: 'internal' })
  expect((await byHeader.closed).code).toBe(4500)
  await using byMessage = await connectWebSocket({ url: wsOf(server.baseUrl) })
  expect(await byMessage.request('auth', { token: 'user:ada' })).toMatchObject({
    error: { code: 'internal' },
  })
  expect((await byMessage.closed).code).toBe(4500)
  expect((await fetch(`${server.baseUrl}/agents`, { headers })).status).toBe(500)
})

test('a validator that is too slow is no verdict either, and harms nobody else', async () => {
  await using server = await serve(agents, {
    authenticate: (token) => (token === 'user:slow' ? new Promise(() => {}) : instant(token)),
    limits: { earlyMs: 200 },
  })
  const headers = { authorization: 'Bearer user:slow' }
  await using slow = await connectWebSocket({ url: wsOf(server.baseUrl), headers })
  const response = fetch(`${server.baseUrl}/agents`, { headers })
  const fast = { authorization: 'Bearer user:ada' }
  expect((await fetch(`${server.baseUrl}/agents`, { headers: fast })).status).toBe(200)
  expect(await slow.inbox.next()).toMatchObject({ type: 'goodbye', code: 'auth-timeout' })
  expect((await slow.closed).code).toBe(4408)
  expect((await response).status).toBe(401)
  expect(await (await response).json()).toMatchObject({ error: { code: 'auth-timeout' } })
})

test.each<[string, unknown]>([
  ['nothing', undefined],
  ['a text', 'ada'],
  ['a list', [{ id: 'ada' }]],
  ['no id', { name: 'Ada' }],
  ['an empty id', { id: '' }],
  ['an id that is a number', { id: 7 }],
  ['an id of many characters', { id: 'x'.repeat(257) }],
  ['roles that are a text', { id: 'ada', roles: 'administrator' }],
  ['permissions that are numbers', { id: 'ada', permissions: [1] }],
  ['a name that is an object', { id: 'ada', name: {} }],
  ['metadata that is a list', { id: 'ada', metadata: [] }],
  ['an end that is a date', { id: 'ada', expiresAt: new Date() }],
  ['an end that is no number', { id: 'ada', expiresAt: NaN }],
])('a validator that tells %s lets nobody in, and the log says so', async (_title, told) => {
  const logger = recordingLogger()
  await using server = await serve(agents, { authenticate: async () => told as Identity, logger })
  const headers = { authorization: 'Bearer user:ada' }
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl), headers })
  expect((await client.closed).code).toBe(4401)
  expect((await fetch(`${server.baseUrl}/agents`, { headers })).status).toBe(401)
  expect(logger.errors).toHaveLength(2)
})

test('an identity that has expired already is refused', async () => {
  const authenticate = async (): Promise<Identity> => ({ id: 'ada', expiresAt: Date.now() })
  await using server = await serve(agents, { authenticate })
  const headers = { authorization: 'Bearer x' }
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl), headers })
  expect((await client.closed).code).toBe(4401)
  expect((await fetch(`${server.baseUrl}/agents`, { headers })).status).toBe(401)
})

test('of an identity only what a principal has reaches the agent', async () => {
  const seen = Promise.withResolvers<Principal>()
  const curious = defineAgent({
    name: 'curious',
    register: false,
    async *run(_input, { principal }) {
      seen.resolve(principal)
      yield 'seen'
    },
  })
  const row = { id: 'ada', email: null, name: 'Ada', roles: ['admin'], passwordHash: 'x', expiresAt: 9e15 }
  await using server = await serve([curious], { authenticate: async () => row as unknown as Identity })
  const headers = { authorization: 'Bearer x' }
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl), headers })
  await client.request('thread.send', { message: '1' })
  expect(await seen.promise).toEqual({ id: 'ada', name: 'Ada', roles: ['admin'] })
})

test('refusals are logged with their reason, and never with what was presented', async () => {
  const lines: string[] = []
  const logger = {
    error: (fields: object, message: string): void => void lines.push(`error ${inspect(fields)} ${message}`),
    info: (fields: object, message: string): void => void lines.push(`info ${inspect(fields)} ${message}`),
  }
  const authenticate = async (token: string): Promise<Identity | null> => {
    if (token === 'secret-expired') return { id: 'ada', expiresAt: 1 }
    return token === 'secret-nonsense' ? ({} as Identity) : null
  }
  await using server = await serve(agents, { authenticate, logger })
  for (const value of [
    'Bearer secret-wrong',
    'Basic secret',
    'Bearer secret-expired',
    'Bearer secret-nonsense',
  ]) {
    await fetch(`${server.baseUrl}/agents`, { headers: { authorization: value } })
  }
  await fetch(`${server.baseUrl}/agents?ticket=secret-ticket`)
  await fetch(`${server.baseUrl}/agents?ticket=${'secret'.padEnd(43, 'x')}`)
  const reasons = lines.flatMap((line) => /^info .*reason: '([^']*)'/.exec(line)?.[1] ?? [])
  expect(reasons).toEqual([
    'token not accepted',
    'malformed token',
    'expired credential',
    'no identity',
    'malformed ticket',
    'unknown ticket',
  ])
  expect(lines.join()).not.toContain('secret')
})
