import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CryptoKey, SignJWT, UnsecuredJWT, exportJWK, exportSPKI, generateKeyPair } from 'jose'
import { afterEach, expect, test, vi } from 'vitest'
import { jwtAuthenticator, mintJwt } from '@turnpike/gateway/jwt'

const secret = 'a secret of more than thirty-two bytes'
const nowSeconds = (): number => Math.floor(Date.now() / 1_000)

interface Signing {
  readonly alg?: string
  readonly kid?: string
  readonly key?: CryptoKey | Uint8Array
}

/** A token that is good but for what is changed; a claim set to undefined is left out. */
function sign(
  change: Record<string, unknown> = {},
  { alg = 'HS256', kid, key }: Signing = {},
): Promise<string> {
  const claims = { sub: 'ada', exp: nowSeconds() + 60, ...change }
  return new SignJWT(claims)
    .setProtectedHeader({ alg, ...(kid !== undefined && { kid }) })
    .sign(key ?? new TextEncoder().encode(secret))
}

/** An identity provider: its keys on a real address. */
async function keyServer(): Promise<
  AsyncDisposable & {
    url: string
    publish: (...keys: object[]) => void
    fail: (status: number, body: string) => void
    hits: number
  }
> {
  let [body, status] = ['{"keys":[]}', 200]
  const server = createServer((_request, response) => {
    provider.hits++
    response.writeHead(status, { 'content-type': 'application/json' }).end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const provider = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`,
    hits: 0,
    publish(...keys: object[]) {
      ;[body, status] = [JSON.stringify({ keys }), 200]
    },
    fail(code: number, text: string) {
      ;[body, status] = [text, code]
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return provider
}

async function keyPair(alg: string, kid: string): Promise<{ key: CryptoKey; jwk: object; pem: string }> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  return {
    key: privateKey,
    jwk: { ...(await exportJWK(publicKey)), kid, alg },
    pem: await exportSPKI(publicKey),
  }
}

afterEach(() => {
  vi.useRealTimers()
})

test('a good token names its principal, and when it ends', async () => {
  const exp = nowSeconds() + 60
  const claims = {
    exp,
    email: 'ada@example.com',
    name: 'Ada',
    roles: ['admin'],
    permissions: ['read', 'write'],
  }
  expect(await jwtAuthenticator({ secret })(await sign(claims))).toEqual({
    id: 'ada',
    email: 'ada@example.com',
    name: 'Ada',
    roles: ['admin'],
    permissions: ['read', 'write'],
    expiresAt: exp * 1_000,
  })
})

test('claims that are not of the right kind give nothing', async () => {
  const authenticate = jwtAuthenticator({ secret })
  const odd = await authenticate(
    await sign({ roles: 'administrator', permissions: [1], email: 7, name: null }),
  )
  expect(odd).toEqual({ id: 'ada', expiresAt: expect.any(Number) })
  expect(await authenticate(await sign({ scope: 'read  write' }))).toMatchObject({
    permissions: ['read', 'write'],
  })
  const both = await authenticate(await sign({ scope: 'read write', permissions: [] }))
  expect(both).toMatchObject({ permissions: [] })
})

test.each<[string, () => Promise<string> | string]>([
  ['an expired token', () => sign({ exp: nowSeconds() - 1 })],
  ['one that is not valid yet', () => sign({ nbf: nowSeconds() + 60 })],
  ['one of another secret', () => sign({}, { key: new TextEncoder().encode('x'.repeat(40)) })],
  [
    'one of another algorithm',
    () => sign({}, { alg: 'HS512', key: new TextEncoder().encode('x'.repeat(64)) }),
  ],
  ['one without a signature', () => new UnsecuredJWT({ sub: 'ada', exp: nowSeconds() + 60 }).encode()],
  ['one without a subject', () => sign({ sub: undefined })],
  ['one with an empty subject', () => sign({ sub: '' })],
  ['one whose subject is a number', () => sign({ sub: 7 })],
  ['one without an end', () => sign({ exp: undefined })],
  ['one whose end is a text', () => sign({ exp: '9999999999' })],
  ['one that is meant for somebody', () => sign({ aud: 'somebody' })],
  ['garbage', () => 'garbage'],
  ['garbage of three parts', () => 'a.b.c'],
  ['five parts', () => 'a.b.c.d.e'],
  ['nothing', () => ''],
  ['a header that is no object', () => `${Buffer.from('7').toString('base64url')}.e30.AA`],
  [
    'a body that was changed',
    async () => (await sign()).replace(/\.[^.]*\./, `.${base64url({ sub: 'root', exp: 9e9 })}.`),
  ],
  ['a huge token', () => sign({ padding: 'x'.repeat(20_000) })],
  ['unknown critical extensions', () => unknownCritical()],
])('%s is refused', async (_title, make) => {
  expect(await jwtAuthenticator({ secret })(await make())).toBeNull()
})

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function unknownCritical(): Promise<string> {
  const header = { alg: 'HS256', crit: ['x'], x: 1 }
  const key = new TextEncoder().encode(secret)
  return new SignJWT({ sub: 'ada' })
    .setExpirationTime('1m')
    .setProtectedHeader(header)
    .sign(key, { crit: { x: true } })
}

test('audience and issuer have to be the expected ones', async () => {
  const authenticate = jwtAuthenticator({
    secret,
    audience: ['gateway', 'api'],
    issuer: 'https://id.example',
  })
  const iss = 'https://id.example'
  expect(await authenticate(await sign({ iss, aud: 'gateway' }))).toMatchObject({ id: 'ada' })
  expect(await authenticate(await sign({ iss, aud: ['other', 'api'] }))).toMatchObject({ id: 'ada' })
  expect(await authenticate(await sign({ iss, aud: 'other' }))).toBeNull()
  expect(await authenticate(await sign({ iss }))).toBeNull()
  expect(await authenticate(await sign({ iss: 'https://evil.example', aud: 'gateway' }))).toBeNull()
  expect(await authenticate(await sign({ aud: 'gateway' }))).toBeNull()
})

test('clocks may differ by the tolerance, which the end includes; an age may be asked for', async () => {
  const exp = nowSeconds() - 5
  const tolerant = jwtAuthenticator({ secret, clockToleranceSeconds: 30 })
  expect(await tolerant(await sign({ exp }))).toMatchObject({ expiresAt: (exp + 30) * 1_000 })
  const fresh = jwtAuthenticator({ secret, maxTokenAgeSeconds: 60 })
  expect(await fresh(await sign({ iat: nowSeconds() - 30 }))).toMatchObject({ id: 'ada' })
  expect(await fresh(await sign({ iat: nowSeconds() - 90 }))).toBeNull()
  expect(await fresh(await sign())).toBeNull()
})

test('who is meant can be read from other claims, or be nobody', async () => {
  const authenticate = jwtAuthenticator({
    secret,
    principalOf: ({ tenant, sub }) => (typeof tenant === 'string' ? { id: `${tenant}/${sub}` } : null),
  })
  expect(await authenticate(await sign({ tenant: 't1' }))).toMatchObject({ id: 't1/ada' })
  expect(await authenticate(await sign())).toBeNull()
})

test('a minted token is good for the same secret, audience and issuer', async () => {
  const named = { audience: 'gateway', issuer: 'turnpike' }
  const token = await mintJwt({ id: 'ada', roles: ['admin'] }, { secret, ttlSeconds: 60, ...named })
  expect(await jwtAuthenticator({ secret, ...named })(token)).toMatchObject({ id: 'ada', roles: ['admin'] })
  expect(await jwtAuthenticator({ secret })(token)).toBeNull()
  expect(() => mintJwt({ id: 'ada' }, { secret: 'short', ttlSeconds: 60 })).toThrow('at least 32 bytes')
})

test.each<[string, object, string]>([
  ['a short secret', { secret: 'short' }, 'at least 32 bytes'],
  ['a secret too short for its algorithm', { secret, algorithms: ['HS256', 'HS512'] }, 'at least 64 bytes'],
  [
    'public algorithms with a secret',
    { secret, algorithms: ['HS256', 'RS256'] },
    'does not go with a secret',
  ],
  [
    'secret algorithms with public keys',
    { jwksUrl: 'https://x.example', audience: 'a', algorithms: ['HS256'] },
    'jwksUrl',
  ],
  ['no algorithm', { secret, algorithms: [] }, 'empty'],
  ['no signature', { secret, algorithms: ['none'] }, 'does not go with'],
  ['public keys without an audience', { jwksUrl: 'https://x.example' }, '"audience" is needed'],
  ['both', { secret, jwksUrl: 'https://x.example', audience: 'a' }, 'either'],
  ['neither', {}, 'either'],
  ['an address that is none', { jwksUrl: 'keys', audience: 'a' }, 'http or https'],
  ['a file', { jwksUrl: 'file:///keys', audience: 'a' }, 'http or https'],
])('%s cannot be configured', (_title, options, message) => {
  expect(() => jwtAuthenticator(options as Parameters<typeof jwtAuthenticator>[0])).toThrow(message)
})

const audience = 'gateway'

test.each(['RS256', 'PS256', 'ES256', 'EdDSA'])('public keys: a token signed with %s', async (alg) => {
  await using provider = await keyServer()
  const mine = await keyPair(alg, 'k1')
  const another = await keyPair(alg, 'k1')
  provider.publish(mine.jwk)
  const authenticate = jwtAuthenticator({ jwksUrl: provider.url, audience })
  expect(await authenticate(await sign({ aud: audience }, { alg, kid: 'k1', key: mine.key }))).toMatchObject({
    id: 'ada',
  })
  expect(await authenticate(await sign({ aud: audience }, { alg, kid: 'k1', key: another.key }))).toBeNull()
  expect(await authenticate(await sign({ aud: 'other' }, { alg, kid: 'k1', key: mine.key }))).toBeNull()
  expect(await authenticate(await sign({}, { alg, kid: 'k1', key: mine.key }))).toBeNull()
  expect(provider.hits).toBe(1)
})

test('a public key is no secret: a token signed with it is refused', async () => {
  await using provider = await keyServer()
  const { jwk, pem } = await keyPair('RS256', 'k1')
  provider.publish(jwk)
  const authenticate = jwtAuthenticator({ jwksUrl: provider.url, audience })
  const der = createPublicKey(pem).export({ type: 'spki', format: 'der' })
  for (const key of [new TextEncoder().encode(pem), new Uint8Array(der)]) {
    expect(await authenticate(await sign({ aud: audience }, { kid: 'k1', key }))).toBeNull()
  }
  expect(await authenticate(new UnsecuredJWT({ sub: 'ada', aud: audience, exp: 9e9 }).encode())).toBeNull()
})

test('a token that names no key is checked with each that fits', async () => {
  await using provider = await keyServer()
  const [first, second, stranger] = [
    await keyPair('ES256', 'k1'),
    await keyPair('ES256', 'k2'),
    await keyPair('ES256', 'x'),
  ]
  provider.publish(first.jwk, second.jwk)
  const authenticate = jwtAuthenticator({ jwksUrl: provider.url, audience })
  expect(await authenticate(await sign({ aud: audience }, { alg: 'ES256', key: second.key }))).toMatchObject({
    id: 'ada',
  })
  expect(await authenticate(await sign({ aud: audience }, { alg: 'ES256', key: stranger.key }))).toBeNull()
})

test('keys can be exchanged: a new one is found, an old one is not good any more', async () => {
  await using provider = await keyServer()
  const [old, young] = [await keyPair('ES256', 'k1'), await keyPair('ES256', 'k2')]
  provider.publish(old.jwk)
  const authenticate = jwtAuthenticator({ jwksUrl: provider.url, audience })
  const signed = (pair: typeof old, kid: string): Promise<string> =>
    sign({ aud: audience, exp: nowSeconds() + 3_600 }, { alg: 'ES256', kid, key: pair.key })
  expect(await authenticate(await signed(old, 'k1'))).toMatchObject({ id: 'ada' })
  provider.publish(young.jwk)
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 60_000 })
  expect(await authenticate(await signed(young, 'k2'))).toMatchObject({ id: 'ada' })
  expect(await authenticate(await signed(old, 'k1'))).toBeNull()
  expect(provider.hits).toBe(2)
})

test('unknown keys do not become a flood of requests to their provider', async () => {
  await using provider = await keyServer()
  const { jwk, key } = await keyPair('ES256', 'k1')
  provider.publish(jwk)
  const authenticate = jwtAuthenticator({ jwksUrl: provider.url, audience })
  for (let i = 0; i < 20; i++) {
    expect(await authenticate(await sign({ aud: audience }, { alg: 'ES256', kid: `x${i}`, key }))).toBeNull()
  }
  expect(provider.hits).toBe(1)
})

test('keys that cannot be had are no verdict', async () => {
  await using provider = await keyServer()
  const { jwk, key } = await keyPair('ES256', 'k1')
  provider.publish(jwk)
  const token = await sign({ aud: audience }, { alg: 'ES256', kid: 'k1', key })
  const authenticate = jwtAuthenticator({ jwksUrl: provider.url, audience })
  provider.fail(503, 'later')
  await expect(authenticate(token)).rejects.toThrow()
  provider.fail(200, '<html>')
  await expect(authenticate(token)).rejects.toThrow()
  provider.fail(200, '{"nonsense":true}')
  await expect(authenticate(token)).rejects.toThrow()
  provider.publish(jwk)
  expect(await authenticate(token)).toMatchObject({ id: 'ada' })
  const nowhere = jwtAuthenticator({ jwksUrl: 'http://127.0.0.1:1/keys', audience })
  await expect(nowhere(token)).rejects.toThrow()
})

test('a key that is too weak is no verdict, and lets nobody in', async () => {
  await using provider = await keyServer()
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
  provider.publish({ ...publicKey.export({ format: 'jwk' }), kid: 'weak', alg: 'RS256' })
  const body = `${base64url({ alg: 'RS256', kid: 'weak' })}.${base64url({ sub: 'ada', aud: audience, exp: 9e9 })}`
  const { sign: rawSign } = await import('node:crypto')
  const token = `${body}.${rawSign('sha256', Buffer.from(body), privateKey).toString('base64url')}`
  await expect(jwtAuthenticator({ jwksUrl: provider.url, audience })(token)).rejects.toThrow()
})
