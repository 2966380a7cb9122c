import { type WebSocketClient, connectWebSocket, countingAgent, openEventStream } from '@turnpike/testkit'
import { SignJWT, UnsecuredJWT } from 'jose'
import { expect, test } from 'vitest'
import { Gateway } from '@turnpike/gateway'
import { jwtAuthenticator } from '@turnpike/gateway/jwt'
import { MemoryLog } from '@turnpike/gateway/memory-log'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { type Place, type RequestHead, credentialOf } from '../src/access/credentials.ts'
import { serve } from './server.ts'

const BEARER: Place = { in: 'header', name: 'Authorization', scheme: 'bearer' }
const BASIC: Place = { in: 'header', name: 'Authorization', scheme: 'basic' }
const KEY: Place = { in: 'header', name: 'X-Api-Key', scheme: 'raw' }
const QUERY: Place = { in: 'query', name: 'token' }
const COOKIE: Place = { in: 'cookie', name: 'session' }

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const request = (headers: RequestHead['headers'], url = '/stream'): RequestHead => ({ headers, url })

test.each<[string, RequestHead, Place, string | null | undefined]>([
  ['a bearer token', request({ authorization: 'Bearer abc.def' }), BEARER, 'abc.def'],
  ['any case and spaces', request({ authorization: 'bEaReR   abc ' }), BEARER, 'abc'],
  ['no header', request({}), BEARER, undefined],
  ['an empty header', request({ authorization: '' }), BEARER, null],
  ['a scheme without a token', request({ authorization: 'Bearer ' }), BEARER, null],
  ['another scheme', request({ authorization: 'Basic abc' }), BEARER, null],
  ['two tokens', request({ authorization: 'Bearer a b' }), BEARER, null],
  ['characters that no header has', request({ authorization: 'Bearer ä\u0000' }), BEARER, null],
  ['a header that came twice', request({ authorization: ['Bearer a', 'Bearer b'] }), BEARER, null],
  ['a user and password', request({ authorization: `Basic ${base64('ada:s3cret')}` }), BASIC, 'ada:s3cret'],
  ['a password with colons', request({ authorization: `Basic ${base64('ada:a:b')}` }), BASIC, 'ada:a:b'],
  ['a user of another script', request({ authorization: `Basic ${base64('añà:ü')}` }), BASIC, 'añà:ü'],
  ['an empty password', request({ authorization: `Basic ${base64('ada:')}` }), BASIC, 'ada:'],
  ['neither user nor password', request({ authorization: `Basic ${base64(':')}` }), BASIC, null],
  ['no colon', request({ authorization: `Basic ${base64('ada')}` }), BASIC, null],
  ['a line break in a user', request({ authorization: `Basic ${base64('a\nb:c')}` }), BASIC, null],
  ['what is no UTF-8', request({ authorization: 'Basic /zov' }), BASIC, null],
  ['what is no base64', request({ authorization: 'Basic !!!' }), BASIC, null],
  ['a key as it is', request({ 'x-api-key': ' k-1 ' }), KEY, 'k-1'],
  ['two keys in one header', request({ 'x-api-key': 'k-1, k-2' }), KEY, null],
  ['a query parameter', request({}, '/stream?a=b&token=abc'), QUERY, 'abc'],
  ['an escaped query parameter', request({}, '/stream?token=a%2Bb'), QUERY, 'a+b'],
  ['no query', request({}, '/stream'), QUERY, undefined],
  ['another parameter', request({}, '/stream?tokens=abc'), QUERY, undefined],
  ['an empty parameter', request({}, '/stream?token='), QUERY, null],
  ['a parameter that came twice', request({}, '/stream?token=a&token=b'), QUERY, null],
  ['a parameter that cannot be decoded', request({}, '/stream?token=%ff'), QUERY, null],
  ['no target', { headers: {} }, QUERY, undefined],
  ['a cookie', request({ cookie: 'a=1; session=abc; b=2' }), COOKIE, 'abc'],
  ['a quoted cookie', request({ cookie: 'session="abc"' }), COOKIE, 'abc'],
  ['an escaped cookie', request({ cookie: 'session=s%3Aabc' }), COOKIE, 's:abc'],
  ['the most specific of two', request({ cookie: 'session=near; session=far' }), COOKIE, 'near'],
  ['another cookie', request({ cookie: 'xsession=abc; sessions=abc' }), COOKIE, undefined],
  ['a cookie named like a part of every object', request({ cookie: '__proto__=abc' }), COOKIE, undefined],
  ['an empty cookie', request({ cookie: 'session=' }), COOKIE, null],
  ['a cookie without a value', request({ cookie: 'session' }), COOKIE, null],
  ['a cookie of characters that no cookie has', request({ cookie: 'session=a b' }), COOKIE, null],
])('%s', (...row) => {
  const [, head, place, value] = row
  expect(credentialOf(head, [place])).toEqual(value === undefined ? undefined : { place, value })
})

test('the first place where there is anything counts, even if that is no good', () => {
  const all = request({ authorization: 'Bearer a', cookie: 'session=c' }, '/?token=b')
  expect(credentialOf(all, [COOKIE, QUERY, BEARER])).toEqual({ place: COOKIE, value: 'c' })
  expect(credentialOf(all, [BEARER, QUERY, COOKIE])).toEqual({ place: BEARER, value: 'a' })
  const broken = request({ authorization: 'Bearer', cookie: 'session=c' }, '/?token=b')
  expect(credentialOf(broken, [BEARER, QUERY, COOKIE])).toEqual({ place: BEARER, value: null })
  expect(credentialOf(request({ cookie: 'session=c' }), [BEARER, QUERY, COOKIE])?.value).toBe('c')
  expect(credentialOf(all, [])).toBeUndefined()
})

const SECRET = 'a secret of more than thirty-two bytes'
const agents = [countingAgent()]
const options = {
  authenticate: jwtAuthenticator({ secret: SECRET, audience: 'gateway', issuer: 'turnpike' }),
  cookieName: 'session',
  allowedOrigins: ['https://app.example'],
}
const wsOf = (baseUrl: string): string => `${baseUrl.replace('http', 'ws')}/stream`

/** A token that is good but for what is changed. */
function sign(change: object = {}, secret = SECRET): Promise<string> {
  const exp = Math.floor(Date.now() / 1_000) + 60
  return new SignJWT({ sub: 'ada', aud: 'gateway', iss: 'turnpike', exp, ...change })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(new TextEncoder().encode(secret))
}

const PLACES: readonly [string, (token: string) => Record<string, string>][] = [
  ['the header', (token) => ({ authorization: `Bearer ${token}` })],
  ['the cookie', (token) => ({ cookie: `session=${token}`, origin: 'https://app.example' })],
]

test.each(PLACES)('a good token lets in from %s, on every wire', async (_title, headersOf) => {
  await using server = await serve(agents, options)
  const headers = headersOf(await sign())
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl), headers })
  expect(await client.request('thread.send', { message: '1', threadId: 't' })).toMatchObject({ ok: true })
  expect((await fetch(`${server.baseUrl}/threads`, { headers })).status).toBe(200)
  await using stream = await openEventStream({ url: `${server.baseUrl}/threads/t/events`, headers })
  expect(stream.status).toBe(200)
  const bought = await fetch(`${server.baseUrl}/tickets`, { method: 'POST', headers })
  expect(bought.status).toBe(200)
})

test.each<[string, () => Promise<string> | string]>([
  ['an expired token', () => sign({ exp: 1 })],
  ['one that is not valid yet', () => sign({ nbf: 9e9 })],
  ['one of another secret', () => sign({}, 'x'.repeat(40))],
  ['one without a signature', () => new UnsecuredJWT({ sub: 'ada', aud: 'gateway', exp: 9e9 }).encode()],
  ['one for somebody else', () => sign({ aud: 'other' })],
  ['one from somebody else', () => sign({ iss: 'other' })],
  ['one without a subject', () => sign({ sub: undefined })],
  ['one with a subject of many characters', () => sign({ sub: 'x'.repeat(257) })],
  ['one without an end', () => sign({ exp: undefined })],
  ['garbage', () => 'garbage'],
  ['nothing', () => ''],
])('%s is refused from every place and on every wire', async (_title, make) => {
  await using server = await serve(agents, options)
  const token = await make()
  for (const [, headersOf] of PLACES) {
    const headers = headersOf(token)
    await using client = await connectWebSocket({ url: wsOf(server.baseUrl), headers })
    expect(await client.inbox.next()).toEqual({ type: 'goodbye', code: 'unauthorized' })
    expect((await client.closed).code).toBe(4401)
    const posted = { method: 'POST', headers, body: '{"message":"1"}' }
    for (const [path, init] of [
      ['/agents', { headers }],
      ['/threads/t/events', { headers }],
      ['/agents/counter/chat/stream', posted],
      ['/tickets', posted],
    ] as const) {
      const response = await fetch(server.baseUrl + path, init)
      expect([response.status, response.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
      expect(await response.json()).toMatchObject({ error: { code: 'unauthorized' } })
    }
  }
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl) })
  expect(await client.request('auth', { token })).toMatchObject({
    ok: false,
    error: { code: 'unauthorized' },
  })
  expect((await client.closed).code).toBe(4401)
})

test('a token of many characters is refused without being looked at', async () => {
  const seen: string[] = []
  await using server = await serve(agents, {
    authenticate: async (token) => {
      seen.push(token)
      return { id: token }
    },
  })
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl) })
  const answer = await client.request('auth', { token: 'x'.repeat(16_385) })
  expect(answer).toMatchObject({ ok: false, error: { code: 'unauthorized' } })
  expect((await client.closed).code).toBe(4401)
  expect(seen).toEqual([])
})

test('a header wins over a ticket, and both over a cookie; what is broken is not made good by another', async () => {
  await using server = await serve(agents, options)
  const good = await sign()
  const cookie = { cookie: `session=${good}`, origin: 'https://app.example' }
  const statusOf = async (path: string, headers: Record<string, string>): Promise<number> =>
    (await fetch(server.baseUrl + path, { headers })).status
  expect(await statusOf('/agents', cookie)).toBe(200)
  expect(await statusOf('/agents?ticket=x', cookie)).toBe(401)
  expect(await statusOf('/agents', { ...cookie, authorization: 'Bearer bad' })).toBe(401)
  expect(await statusOf('/agents?ticket=x', { authorization: `Bearer ${good}` })).toBe(200)
})

/** Tells that no credential was seen: the connection waits for its first message. */
async function expectUnknown(client: WebSocketClient): Promise<void> {
  expect(await client.request('thread.send', { message: '1' })).toMatchObject({
    error: { code: 'unauthorized', message: expect.stringContaining('first message') },
  })
  expect((await client.closed).code).toBe(4401)
}

test.each([
  ['a listed origin', { origin: 'https://app.example' }, true],
  ['the page itself', { origin: 'self' }, true],
  ['the page itself, which names no origin with a GET', { 'sec-fetch-site': 'same-origin' }, true],
  ['nowhere', {}, false],
  ['another site', { 'sec-fetch-site': 'cross-site' }, false],
  ['a sibling', { 'sec-fetch-site': 'same-site' }, false],
  ['the bar of the browser', { 'sec-fetch-site': 'none' }, false],
])('a cookie that comes from %s', async (_title, from, counts) => {
  await using server = await serve(agents, options)
  const cookie = `session=${await sign()}`
  const headers: Record<string, string> = { cookie, ...from }
  if (headers['origin'] === 'self') headers['origin'] = server.baseUrl
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl), headers })
  if (counts) expect(await client.request('thread.send', { message: '1' })).toMatchObject({ ok: true })
  else await expectUnknown(client)
  const response = await fetch(`${server.baseUrl}/agents`, { headers })
  expect(response.status).toBe(counts ? 200 : 401)
})

test.each(['https://evil.example', 'http://app.example', 'https://app.example.evil.example', 'null'])(
  'a page of %s cannot use the cookie of its visitor',
  async (origin) => {
    await using server = await serve(agents, options)
    const headers = { cookie: `session=${await sign()}`, origin }
    const opened = connectWebSocket({ url: wsOf(server.baseUrl), headers })
    await expect(opened).rejects.toMatchObject({ status: 403 })
    const response = await fetch(`${server.baseUrl}/agents`, { headers })
    expect(response.status).toBe(403)
    expect(response.headers.get('access-control-allow-origin')).toBeNull()
  },
)

test('a page that was read on its way, by plain HTTP, cannot use the cookie of the secure one', async () => {
  const host = 'app.example'
  await using server = await serve(agents, options)
  const headers = { cookie: `session=${await sign()}`, host, origin: `http://${host}` }
  await using client = await connectWebSocket({ url: wsOf(server.baseUrl), headers })
  await expectUnknown(client)
})

test('where no cookie was configured none is read', async () => {
  await using server = await serve(agents, { authenticate: options.authenticate })
  const headers = { cookie: `session=${await sign()}`, 'sec-fetch-site': 'same-origin' }
  expect((await fetch(`${server.baseUrl}/agents`, { headers })).status).toBe(401)
})

test('pages are allowed to send credentials where cookies are read, and only there', async () => {
  for (const cookieName of ['session', undefined]) {
    const { authenticate, allowedOrigins } = options
    const base = { authenticate, allowedOrigins }
    await using server = await serve(agents, cookieName === undefined ? base : { ...base, cookieName })
    const headers = { authorization: `Bearer ${await sign()}`, origin: 'https://app.example' }
    await using client = await connectWebSocket({ url: wsOf(server.baseUrl), headers })
    await client.request('thread.send', { message: '1', threadId: 't' })
    await using stream = await openEventStream({ url: `${server.baseUrl}/threads/t/events`, headers })
    const preflight = { method: 'OPTIONS', headers: { ...headers, 'access-control-request-method': 'POST' } }
    const answered = [
      (await fetch(`${server.baseUrl}/agents`, { headers })).headers,
      (await fetch(`${server.baseUrl}/tickets`, preflight)).headers,
      stream.headers,
    ]
    for (const head of answered) {
      expect(head.get('access-control-allow-origin')).toBe('https://app.example')
      expect(head.get('access-control-allow-credentials')).toBe(cookieName === undefined ? null : 'true')
    }
  }
})

test.each([
  ['with every origin allowed', { allowedOrigins: '*' as const, cookieName: 'session' }, 'allowedOrigins'],
  ['of no name', { cookieName: '' }, 'name of a cookie'],
  ['of a name that no cookie has', { cookieName: 'a b' }, 'name of a cookie'],
])('a cookie %s cannot be configured', (_title, wrong, message) => {
  const parts = { log: new MemoryLog(), store: sqliteStore(), agents }
  expect(() => new Gateway({ ...parts, authenticate: options.authenticate, ...wrong })).toThrow(message)
})
