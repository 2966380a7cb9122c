import { Inbox } from '@turnpike/testkit'
import { expect, test, vi } from 'vitest'
import type { Identity } from '@turnpike/gateway'
import {
  type AuthenticatedUser,
  type WebSocketAuth,
  WebSocketConnectionError,
  WebSocketConnectionManager,
} from '../src/manager/index.ts'
import { recordingLogger } from './harness.ts'
import { type Client, frame, framesIn, openClient, rawSocket, serveManager } from './manager-server.ts'

type Strategy = WebSocketAuth['strategy']

const base64 = (text: string): string => Buffer.from(text).toString('base64')

/** Who is known, by what `validate` gets to see. */
const KEYS: Record<Exclude<Strategy, 'none'>, string> = {
  bearer: 'good.token',
  apiKey: 'k-good',
  basic: 'ada:s3cret',
  custom: 'anything',
}

type Verdict = (token: string) => Promise<Identity | null>

const verdictOf =
  (strategy: Exclude<Strategy, 'none'>): Verdict =>
  async (token) => {
    if (token !== KEYS[strategy]) return token.startsWith('old') ? { id: 'ada', expiresAt: 1 } : null
    return { id: 'ada', roles: ['editor'], permissions: ['read', 'write'] }
  }

interface Attempt {
  readonly query?: string
  readonly headers?: Readonly<Record<string, string>>
  /** What is sent as the first message. */
  readonly first?: unknown
}

/** How a credential is brought to each place. */
const PLACES: Record<string, (strategy: Strategy, credential: string) => Attempt> = {
  header: (strategy, credential) => ({ headers: { authorization: headerOf(strategy, credential) } }),
  query: (strategy, credential) => ({
    query: `?${strategy === 'apiKey' ? 'apiKey' : 'token'}=${encodeURIComponent(credential)}`,
  }),
  cookie: (_strategy, credential) => ({ headers: { cookie: `session=${encodeURIComponent(credential)}` } }),
  'first message': (_strategy, token) => ({ first: { type: 'auth', token } }),
}

function headerOf(strategy: Strategy, credential: string): string {
  if (strategy === 'bearer') return `Bearer ${credential}`
  return strategy === 'basic' ? `Basic ${base64(credential)}` : credential
}

const STRATEGIES = ['bearer', 'apiKey', 'basic', 'custom'] as const
const MATRIX = STRATEGIES.flatMap((strategy) =>
  Object.keys(PLACES).map((place) => [strategy, place] as const),
)

/** Comes with a credential, tells "data" behind it, and learns what became of that. */
async function attempt(
  auth: WebSocketAuth,
  { query = '', headers = {}, first }: Attempt,
): Promise<string | number> {
  await using server = await serveManager({ auth })
  await using client = await openClient(server.url + query, { headers })
  if (first !== undefined) client.send(first)
  client.send('data')
  const outcome = await Promise.race([server.told.next(), client.closed])
  if ('code' in outcome) return outcome.code
  expect(outcome.what).toBe('open')
  // Nothing of the credential gets to the handler.
  expect(await server.told.next()).toMatchObject({ what: 'message', data: 'data' })
  return outcome.connection.user?.id ?? 'nobody'
}

const authOf = (strategy: Exclude<Strategy, 'none'>, more: Partial<WebSocketAuth> = {}): WebSocketAuth => ({
  strategy,
  cookieName: 'session',
  validate: verdictOf(strategy),
  ...more,
})

const broughtTo = (place: string, strategy: Strategy, credential: string): Attempt =>
  PLACES[place]?.(strategy, credential) ?? {}

test.each(MATRIX)('%s lets in who brings a good credential by %s', async (strategy, place) => {
  expect(await attempt(authOf(strategy), broughtTo(place, strategy, KEYS[strategy]))).toBe('ada')
})

test.each(MATRIX)('%s refuses a wrong, an expired and an empty credential by %s at once', async (...row) => {
  const [strategy, place] = row
  const [wrong, expired] = strategy === 'basic' ? ['eve:x', 'old:x'] : ['wrong', 'old']
  for (const credential of [wrong, expired, '']) {
    expect(await attempt(authOf(strategy), broughtTo(place, strategy, credential))).toBe(4_401)
  }
})

test.each(MATRIX)('%s is no refusal by %s where the validator throws or hangs', async (strategy, place) => {
  const brought = broughtTo(place, strategy, KEYS[strategy])
  const failing: [Verdict, number][] = [
    [() => Promise.reject(new Error('down')), 4_500],
    [
      () => {
        throw new Error('down')
      },
      4_500,
    ],
    [() => new Promise(() => {}), 4_408],
  ]
  for (const [validate, code] of failing) {
    expect(await attempt(authOf(strategy, { validate, timeoutMs: 50 }), brought)).toBe(code)
  }
})

test.each(MATRIX)(
  '%s keeps what comes behind a credential by %s while the verdict is out',
  async (...row) => {
    const [strategy, place] = row
    const gate = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<void>()
    const validate: Verdict = async (token) => {
      asked.resolve()
      await gate.promise
      return verdictOf(strategy)(token)
    }
    await using server = await serveManager({ auth: authOf(strategy, { validate }) })
    const { query = '', headers = {}, first } = broughtTo(place, strategy, KEYS[strategy])
    await using client = await openClient(server.url + query, { headers })
    if (first !== undefined) client.send(first)
    for (let i = 0; i < 50; i++) client.send(`${i}`)
    await asked.promise
    // Another one is served meanwhile: the server had its time.
    await expect(openClient(`${server.url}/none`)).rejects.toThrow('404')
    expect([server.told.size, client.inbox.size, server.manager.getConnectionCount()]).toEqual([0, 0, 0])
    gate.resolve()
    expect(await server.told.next()).toMatchObject({ what: 'open', connection: { user: { id: 'ada' } } })
    for (let i = 0; i < 50; i++) expect(await server.told.next()).toMatchObject({ data: `${i}` })
  },
)

test('none asks nobody, and a credential is nothing to it', async () => {
  const validate = vi.fn<Verdict>()
  for (const headers of [{}, { authorization: 'Bearer x' }]) {
    expect(await attempt({ strategy: 'none', validate }, { headers })).toBe('nobody')
  }
  expect(validate).not.toHaveBeenCalled()
})

const bearer = authOf('bearer')
const good = KEYS.bearer

/** With what is to be taken away, too. */
type Change = { readonly [Field in keyof WebSocketAuth]?: WebSocketAuth[Field] | undefined }

test.each<[string, Change, Attempt, string | number]>([
  ['another scheme', {}, { headers: { authorization: `Basic ${base64('ada:s3cret')}` } }, 4_401],
  ['a scheme alone', {}, { headers: { authorization: 'Bearer' } }, 4_401],
  ['an empty header', {}, { headers: { authorization: '' } }, 4_401],
  ['two tokens in the query', {}, { query: `?token=${good}&token=${good}` }, 4_401],
  [
    'a bad header and a good query',
    {},
    { headers: { authorization: 'Bearer x' }, query: `?token=${good}` },
    4_401,
  ],
  [
    'a good header and a bad query',
    {},
    { headers: { authorization: `Bearer ${good}` }, query: '?token=x' },
    'ada',
  ],
  ['another header', { headerName: 'X-Token' }, { headers: { 'x-token': good } }, 'ada'],
  [
    'another header with a scheme',
    { headerName: 'X-Token' },
    { headers: { 'x-token': `Bearer ${good}` } },
    'ada',
  ],
  ['another header, scheme alone', { headerName: 'X-Token' }, { headers: { 'x-token': 'Bearer' } }, 4_401],
  ['another parameter', { queryParam: 'key' }, { query: `?key=${good}` }, 'ada'],
  [
    'the usual one, where it is another',
    { queryParam: 'key' },
    { query: `?token=${good}`, first: 'x' },
    4_401,
  ],
  ['the query, where it is off', { queryParam: false }, { query: `?token=${good}`, first: 'x' }, 4_401],
  [
    'the cookie, where none is read',
    { cookieName: undefined },
    { headers: { cookie: `session=${good}` }, first: 'x' },
    4_401,
  ],
  ['a first message that is no auth', {}, { first: { type: 'chat', token: good } }, 4_401],
  ['a first message without a token', {}, { first: { type: 'auth' } }, 4_401],
  ['a first message whose token is no text', {}, { first: { type: 'auth', token: { toString: 1 } } }, 4_401],
  ['a first message in bytes', {}, { first: Buffer.from(`{"type":"auth","token":"${good}"}`) }, 4_401],
  ['a first message that is no JSON', {}, { first: '{"type":"auth"' }, 4_401],
  ['a first message that is too deep', {}, { first: '['.repeat(10_000) }, 4_401],
  ['a token of many characters', {}, { first: { type: 'auth', token: 'x'.repeat(16_385) } }, 4_401],
  ['nothing, where it is not required', { required: false }, {}, 'nobody'],
  ['a good one, where it is not required', { required: false }, { query: `?token=${good}` }, 'ada'],
  ['a bad one, where it is not required', { required: false }, { query: '?token=x' }, 4_401],
  ['an empty one, where it is not required', { required: false }, { query: '?token=' }, 4_401],
  ['a role', { roles: ['admin', 'editor'] }, { query: `?token=${good}` }, 'ada'],
  ['none of the roles', { roles: ['admin'] }, { query: `?token=${good}` }, 4_403],
  ['a part of a role', { roles: ['edit'] }, { query: `?token=${good}` }, 4_403],
  ['all permissions', { permissions: ['read', 'write'] }, { query: `?token=${good}` }, 'ada'],
  ['some of the permissions', { permissions: ['read', 'delete'] }, { query: `?token=${good}` }, 4_403],
  ['nobody for a role, though not required', { required: false, roles: ['editor'] }, { first: 'x' }, 4_401],
])('bearer: %s', async (...row) => {
  const [, more, brought, expected] = row
  const auth = Object.fromEntries(
    Object.entries({ ...bearer, ...more }).filter(([, value]) => value !== undefined),
  )
  expect(await attempt({ strategy: 'bearer', ...auth }, brought)).toBe(expected)
})

test.each<[string, Strategy, Attempt, string]>([
  ['a key in a header of its own', 'apiKey', { headers: { 'x-api-key': 'k 1' } }, 'refused'],
  ['a key after Bearer', 'apiKey', { headers: { authorization: 'Bearer k-1' } }, 'k-1'],
  ['a key after ApiKey', 'apiKey', { headers: { authorization: 'ApiKey k-1' } }, 'k-1'],
  ['a key as token', 'apiKey', { query: '?token=k-1' }, 'k-1'],
  [
    'a user and password in base64',
    'basic',
    { query: `?token=${encodeURIComponent(base64('ada:ü'))}` },
    'ada:ü',
  ],
  ['a user and password in a message', 'basic', { first: { type: 'auth', token: base64('ada:p') } }, 'ada:p'],
  ['a user without a password', 'basic', { first: { type: 'auth', token: 'ada' } }, 'refused'],
  ['a signature of several fields', 'custom', { headers: { authorization: 'Sig a=1, b=2' } }, 'Sig a=1, b=2'],
  ['a custom token after Bearer', 'custom', { headers: { authorization: 'Bearer t' } }, 't'],
  ['two tokens after Bearer', 'custom', { headers: { authorization: 'Bearer t u' } }, 'refused'],
])('%s is told as its owner has it', async (...row) => {
  const [, strategy, brought, expected] = row
  const seen: string[] = []
  const validate: Verdict = async (token) => {
    seen.push(token)
    return { id: 'ada' }
  }
  const headerName = 'x-api-key' in (brought.headers ?? {}) ? { headerName: 'X-Api-Key' } : {}
  const outcome = await attempt({ strategy, validate, ...headerName }, brought)
  expect(outcome === 'ada' ? seen : 'refused').toEqual(expected === 'refused' ? 'refused' : [expected])
})

test.each([
  ['a row with roles as text', { id: 'ada', roles: 'editor' }, 4_401],
  ['no id', {}, 4_401],
  ['true', true, 4_401],
  ['undefined', undefined, 4_401],
  [
    'more than a user has',
    { id: 'ada', email: 'a@b.c', password: 'x', roles: ['r'] },
    { id: 'ada', email: 'a@b.c', roles: ['r'] },
  ],
])('a validator that tells %s', async (_title, told, expected) => {
  await using server = await serveManager({
    auth: { strategy: 'bearer', validate: () => told as unknown as Identity },
  })
  await using client = await openClient(`${server.url}?token=x`)
  const outcome = await Promise.race([server.told.next(), client.closed])
  expect('code' in outcome ? outcome.code : outcome.connection.user).toEqual(expected)
})

test('who is refused is told why in one frame of JSON, and nothing before that', async () => {
  await using server = await serveManager({ auth: bearer })
  const { ended } = await rawSocket(server.port, { headers: 'Authorization: Bearer wrong\r\n' })
  expect(framesIn(await ended)).toEqual([
    `text:${JSON.stringify({ type: 'error', error: 'The credential was not accepted.', code: 'unauthorized' })}`,
    'close:4401',
  ])
})

test('who says nothing is cut at the deadline, and no traffic makes it later', async () => {
  await using server = await serveManager({ auth: bearer, limits: { earlyMs: 200 } })
  await using silent = await openClient(server.url)
  await using pinging = await openClient(server.url)
  const pings = setInterval(() => pinging.socket.ping(), 20)
  const half = await rawSocket(server.port)
  half.socket.write(frame({ fin: false }))
  const dripping = setInterval(() => half.socket.write(frame({ fin: false, opcode: 0 })), 20)
  expect(await silent.closed).toEqual({ code: 4_408, reason: 'auth-timeout' })
  expect((await pinging.closed).code).toBe(4_408)
  expect(framesIn(await half.ended).at(-1)).toBe('close:4408')
  clearInterval(pings)
  clearInterval(dripping)
  expect(server.told.size).toBe(0)
})

test('not required: the first message may still say who it is, and what follows waits for the verdict', async () => {
  const gate = Promise.withResolvers<void>()
  const validate: Verdict = async (token) => {
    await gate.promise
    return verdictOf('bearer')(token)
  }
  await using server = await serveManager({ auth: { strategy: 'bearer', required: false, validate } })
  await using client = await openClient(server.url)
  const { connection } = await server.told.next()
  expect(connection.user).toBeUndefined()
  client.send({ type: 'auth', token: good })
  for (const text of ['a', 'b']) client.send(text)
  gate.resolve()
  expect(await server.told.next()).toMatchObject({
    what: 'message',
    data: 'a',
    connection: { user: { id: 'ada' } },
  })
  expect(await server.told.next()).toMatchObject({ data: 'b' })
  expect(server.manager.getConnectionsByUser('ada')).toEqual([connection])
  // Only the first message is one to the manager.
  client.send('{"type":"auth","token":"wrong"}')
  expect(await server.told.next()).toMatchObject({ what: 'message' })

  await using wrong = await openClient(server.url)
  await server.told.next()
  wrong.send({ type: 'auth', token: 'wrong' })
  expect((await wrong.closed).code).toBe(4_401)
  expect(await server.told.next()).toMatchObject({ what: 'close' })
})

test('a path may ask for other credentials, more rights, or none', async () => {
  await using server = await serveManager({ auth: { ...bearer, roles: ['editor'] } })
  const users = new Inbox<AuthenticatedUser | undefined>()
  const handler = { onOpen: ({ user }: { user?: AuthenticatedUser }) => users.push(user) }
  const { manager } = server
  manager.registerHandler('/open', handler, { auth: { strategy: 'none' } })
  manager.registerHandler('/admin', handler, { auth: { roles: ['admin'] } })
  manager.registerHandler('/keys', handler, {
    auth: { strategy: 'apiKey', roles: [], validate: async (key) => ({ id: key }) },
  })
  const base = server.url.replace('/ws', '')
  const opened: Client[] = []
  opened.push(await openClient(`${base}/open`))
  expect(await users.next()).toBeUndefined()
  opened.push(await openClient(`${base}/keys?apiKey=k-7`))
  expect(await users.next()).toEqual({ id: 'k-7' })
  opened.push(await openClient(`${base}/admin?token=${good}`))
  expect((await opened.at(-1)?.closed)?.code).toBe(4_403)
  opened.push(await openClient(`${server.url}?token=${good}`))
  expect(await server.told.next()).toMatchObject({ what: 'open', connection: { user: { id: 'ada' } } })
  for (const client of opened) await client[Symbol.asyncDispose]()
})

test('a connection ends with its credential', async () => {
  const validate = async (): Promise<Identity> => ({ id: 'ada', expiresAt: Date.now() + 50 })
  await using server = await serveManager({ auth: { strategy: 'bearer', validate }, pingInterval: 100 })
  await using client = await openClient(`${server.url}?token=x`)
  await server.told.next()
  expect(await client.closed).toEqual({ code: 4_501, reason: 'token-expired' })
})

test.each([
  ['no origin', undefined, true],
  ['a listed origin', 'https://app.example', true],
  ['a page of another site', 'https://evil.example', false],
  ['a sandboxed page', 'null', false],
])('a handshake from %s', async (_title, origin, isIn) => {
  for (const auth of [bearer, { strategy: 'none' } as const]) {
    await using server = await serveManager({ auth, allowedOrigins: ['https://app.example'] })
    const headers = { cookie: `session=${good}`, ...(origin !== undefined && { origin }) }
    const opened = openClient(server.url, { headers })
    if (!isIn) {
      await expect(opened).rejects.toThrow('403')
      continue
    }
    await using client = await opened
    expect(await server.told.next()).toMatchObject({ what: 'open' })
    client.send('x')
    expect(await server.told.next()).toMatchObject({ data: 'x' })
  }
})

test('a cookie that a page of another site sends along is as if there was none', async () => {
  await using server = await serveManager({ auth: bearer, limits: { earlyMs: 100 } })
  const headers = { cookie: `session=${good}`, 'sec-fetch-site': 'cross-site' }
  await using client = await openClient(server.url, { headers })
  expect((await client.closed).code).toBe(4_408)
})

test('a name that points here by somebody else\u2019s DNS is refused where nobody is asked', async () => {
  await using server = await serveManager()
  const host = `evil.example:${server.port}`
  await expect(openClient(server.url, { headers: { host } })).rejects.toThrow('403')
  await expect(openClient(server.url, { headers: { host, origin: `http://${host}` } })).rejects.toThrow('403')
})

test('a socket of another framework waits for its first message, too', async () => {
  const manager = new WebSocketConnectionManager({ auth: bearer, logger: recordingLogger() })
  const told = new Inbox<unknown>()
  manager.registerHandler('/', {
    onOpen: ({ user }) => told.push(user?.id),
    onMessage: (_connection, { data }) => told.push(data),
  })
  const closed: unknown[] = []
  const socket = { send: () => {}, close: (code?: number) => closed.push(code) }
  const { id } = manager.handleConnection(socket, '/')
  expect(manager.getConnection(id)).toBeUndefined()
  manager.handleMessage(id, JSON.stringify({ type: 'auth', token: good }), false)
  manager.handleMessage(id, 'early', false)
  expect([await told.next(), await told.next()]).toEqual(['ada', 'early'])
  const other = manager.handleConnection(socket, '/')
  manager.handleMessage(other.id, 'data', false)
  expect(closed).toEqual([4_401])
  expect(told.size).toBe(0)
})

test('a user that another framework brings has to have the rights of the path', () => {
  const manager = new WebSocketConnectionManager({ auth: { ...bearer, permissions: ['read'] } })
  const socket = { send: () => {}, close: () => {} }
  expect(() => manager.handleConnection(socket, '/', { id: 'eve' })).toThrow(WebSocketConnectionError)
  const { user } = manager.handleConnection(socket, '/', { id: 'ada', permissions: ['read'] })
  expect(user).toEqual({ id: 'ada', permissions: ['read'] })
})
