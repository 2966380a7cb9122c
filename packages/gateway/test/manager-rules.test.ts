import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Identity } from '@turnpike/gateway'
import {
  type ConnectionManagerConfig,
  type WebSocketAuth,
  WebSocketConnectionManager,
} from '../src/manager/index.ts'
import { openClient, serveManager } from './manager-server.ts'

const validate = (): Identity => ({ id: 'ada' })

test.each<[string, Partial<WebSocketAuth>]>([
  ['roles', { roles: ['admin'] }],
  ['permissions', { permissions: ['write'] }],
  ['that somebody is required', { required: true }],
  ['a validator', { validate }],
  ['all of it', { roles: ['admin'], required: true, validate }],
])('a path that names %s is refused where the manager asks nobody who they are', (_title, auth) => {
  const manager = new WebSocketConnectionManager()
  expect(() => manager.registerHandler('/admin', {}, { auth })).toThrow(TypeError)
  expect(manager.getHandler('/admin')).toBeUndefined()
})

test.each<[string, WebSocketAuth]>([
  ['roles', { strategy: 'none', roles: ['admin'] }],
  ['permissions', { strategy: 'none', permissions: ['write'] }],
  ['that somebody is required', { strategy: 'none', required: true }],
])('asking nobody and wanting %s is refused', (_title, auth) => {
  expect(() => new WebSocketConnectionManager({ auth })).toThrow(TypeError)
  const manager = new WebSocketConnectionManager({ auth: { strategy: 'bearer', validate } })
  expect(() => manager.registerHandler('/x', {}, { auth })).toThrow(TypeError)
})

test('a path may ask nobody where the manager wants roles; what is undefined is as the manager has it', async () => {
  await using server = await serveManager({ auth: { strategy: 'bearer', roles: ['admin'], validate } })
  const handler = { onOpen: ({ socket }: { socket: { send: (text: string) => void } }) => socket.send('in') }
  server.manager.registerHandler('/open', handler, { auth: { strategy: 'none' } })
  const unsaid = { roles: undefined, strategy: undefined, timeoutMs: 5_000 } as object
  server.manager.registerHandler('/admin', handler, { auth: unsaid })
  await using open = await openClient(server.url.replace('/ws', '/open'))
  expect(await open.inbox.next()).toBe('in')
  await using admin = await openClient(`${server.url.replace('/ws', '/admin')}?token=t`)
  expect((await admin.closed).code).toBe(4_403)
})

const auth = (more: object): ConnectionManagerConfig => ({ auth: { strategy: 'bearer', validate, ...more } })

test.each<[string, object]>([
  ['origins as one text', { allowedOrigins: 'https://app.example.com' }],
  ['an origin that is no text', { allowedOrigins: [/example/] }],
  ['a path without a slash', { path: 'ws' }],
  ['a word in the wrong case', { whenSlow: 'Close' }],
  ['a word that is not there', { whenUserFull: 'oldest' }],
  ['a message of more bytes than the parser can count', { maxMessageSize: 2 ** 31 }],
  ['work that is no number', { maxPending: Number.NaN }],
  ['a time for verdicts that is none', auth({ timeoutMs: Number.NaN })],
  ['a time for verdicts in the past', auth({ timeoutMs: -5 })],
  ['a time for verdicts as text', auth({ timeoutMs: '500' })],
  ['a time without an end', { limits: { earlyMs: Infinity } }],
  ['pings without an end', { pingInterval: Infinity }],
  ['a time for verdicts without an end', auth({ timeoutMs: Infinity })],
  ['a strategy that is not there', auth({ strategy: 'Bearer' })],
  ['no strategy', auth({ strategy: undefined })],
  ['roles as text', auth({ roles: 'admin' })],
  ['a validator that is none', auth({ validate: 'secret' })],
])('a configuration with %s is refused', (_title, config) => {
  expect(() => new WebSocketConnectionManager(config)).toThrow(TypeError)
})

test.each(['bearer', 'apiKey', 'basic', 'custom'] as const)(
  'whoever asks for a credential by "%s" has a validator, the path or else the manager',
  (strategy) => {
    expect(() => new WebSocketConnectionManager({ auth: { strategy } })).toThrow('"auth.validate"')
    const open = new WebSocketConnectionManager()
    const register = (): void => open.registerHandler('/x', {}, { auth: { strategy } })
    expect(register).toThrow(TypeError)
    expect(open.getHandler('/x')).toBeUndefined()
    open.registerHandler('/x', {}, { auth: { strategy, validate } })
    const asking = new WebSocketConnectionManager({ auth: { strategy: 'bearer', validate } })
    asking.registerHandler('/x', {}, { auth: { strategy } })
  },
)

test('a list of origins holds whole ones', async () => {
  await using server = await serveManager({ allowedOrigins: ['https://app.example.com'] })
  for (const origin of ['https://app.example.co', 'https://app.example', 'https://app.example.com.evil']) {
    await expect(openClient(server.url, { origin })).rejects.toThrow('403')
  }
  await using client = await openClient(server.url, { origin: 'https://app.example.com' })
  expect(client.socket.readyState).toBe(1)
})

test('who is no browser needs an Origin where nobody has to authenticate and the host has a dot', async () => {
  const headers = { host: 'api.example.com' }
  await using open = await serveManager({ allowedOrigins: ['https://app.example.com'] })
  await expect(openClient(open.url, { headers })).rejects.toThrow('403')
  await using listed = await openClient(open.url, { headers, origin: 'https://app.example.com' })
  await using asking = await serveManager(auth({}))
  await using known = await openClient(`${asking.url}?token=t`, { headers })
  expect([listed, known].map(({ socket }) => socket.readyState)).toEqual([1, 1])
})

/** The same credential, at each of its places. */
const PLACES: Record<string, (token: string) => { query?: string; first?: object; headers?: object }> = {
  header: (token) => ({ headers: { authorization: token } }),
  query: (token) => ({ query: `?token=${encodeURIComponent(token)}` }),
  cookie: (token) => ({ headers: { cookie: `session=${encodeURIComponent(token)}` } }),
  'first message': (token) => ({ first: { type: 'auth', token } }),
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')

test.each(
  Object.keys(PLACES).flatMap((place) => [
    ['custom', place, 'Sig a=1, b=2', 'Sig a=1, b=2'] as const,
    ['custom', place, 'Bearer word', 'word'] as const,
    ['custom', place, 'Bearer two words', 'refused'] as const,
    ['custom', place, 'pä', 'refused'] as const,
    ['basic', place, place === 'header' ? `Basic ${base64('u:pä s')}` : base64('u:pä s'), 'u:pä s'] as const,
    ['basic', place, place === 'header' ? `Basic ${base64('u:pä')}` : 'u:pä', 'u:pä'] as const,
    ['apiKey', place, 'k 1', 'refused'] as const,
  ]),
)('%s by %s: "%s" is "%s"', async (...row) => {
  const [strategy, place, token, expected] = row
  const { query = '', headers = {}, first } = PLACES[place]?.(token) ?? {}
  const seen: string[] = []
  const look = (credential: string): Identity => {
    seen.push(credential)
    return { id: 'ada' }
  }
  await using server = await serveManager({ auth: { strategy, cookieName: 'session', validate: look } })
  // The bytes of an umlaut in a header are Latin-1.
  await using client = await openClient(server.url + query, { headers: { ...headers } })
  if (first) client.send(first)
  const outcome = await Promise.race([server.told.next(), client.closed])
  expect('code' in outcome ? [outcome.code] : seen).toEqual([expected === 'refused' ? 4_401 : expected])
})

test('the time for a verdict begins with the question, and may be longer than what comes before', async () => {
  const slow = async (token: string): Promise<Identity> => {
    await delay(500)
    return { id: token }
  }
  await using server = await serveManager({
    auth: { strategy: 'bearer', timeoutMs: 5_000, validate: slow },
    limits: { earlyMs: 200 },
  })
  await using quick = await openClient(`${server.url}?token=ada`)
  await using later = await openClient(server.url)
  later.send({ type: 'auth', token: 'bob' })
  const users = [await server.told.next(), await server.told.next()].map(
    ({ connection }) => connection.user?.id,
  )
  expect(new Set(users)).toEqual(new Set(['ada', 'bob']))
  expect([quick, later].map(({ socket }) => socket.readyState)).toEqual([1, 1])
})
