import { expect, test } from 'vitest'
import { authenticatorFrom } from '../src/authentication.ts'
import { mintToken } from '../src/mint-token.ts'

const TURNPIKE_TOKEN_SECRET = 'a secret of more than thirty-two bytes'
const TURNPIKE_JWKS_URL = 'https://id.example/keys'

test('without variables nobody has to authenticate; empty ones count as none', () => {
  expect(authenticatorFrom({})).toBeUndefined()
  expect(authenticatorFrom({ TURNPIKE_TOKEN_SECRET: '', TURNPIKE_JWKS_URL: '' })).toBeUndefined()
})

test('a minted token names its user, its roles and its end', async () => {
  const env = { TURNPIKE_TOKEN_SECRET }
  const before = Date.now()
  const token = await mintToken(env, { user: 'ada', roles: ['admin'], ttlSeconds: 60 })
  const identity = await authenticatorFrom(env)?.(token)
  expect(identity).toMatchObject({ id: 'ada', roles: ['admin'] })
  expect(identity?.expiresAt).toBeGreaterThan(before + 58_000)
  expect(await authenticatorFrom({ TURNPIKE_TOKEN_SECRET: 'x'.repeat(32) })?.(token)).toBeNull()
})

test('audience and issuer are those of the environment', async () => {
  const names = { TURNPIKE_TOKEN_AUDIENCE: 'gateway', TURNPIKE_TOKEN_ISSUER: 'turnpike' }
  const env = { TURNPIKE_TOKEN_SECRET, ...names }
  const token = await mintToken(env, { user: 'ada' })
  expect(await authenticatorFrom(env)?.(token)).toMatchObject({ id: 'ada' })
  expect(await authenticatorFrom({ ...env, TURNPIKE_TOKEN_AUDIENCE: 'other' })?.(token)).toBeNull()
  expect(await authenticatorFrom({ ...env, TURNPIKE_TOKEN_ISSUER: 'other' })?.(token)).toBeNull()
  expect(await authenticatorFrom({ TURNPIKE_TOKEN_SECRET })?.(token)).toBeNull()
})

test('published keys need an audience', () => {
  expect(authenticatorFrom({ TURNPIKE_JWKS_URL, TURNPIKE_TOKEN_AUDIENCE: 'gateway' })).toBeTypeOf('function')
})

test.each([
  [
    'a short secret',
    { TURNPIKE_TOKEN_SECRET: 'short' },
    'TURNPIKE_TOKEN_SECRET must have at least 32 bytes, got 5',
  ],
  ['both', { TURNPIKE_TOKEN_SECRET, TURNPIKE_JWKS_URL }, 'either TURNPIKE_TOKEN_SECRET or TURNPIKE_JWKS_URL'],
  ['keys without an audience', { TURNPIKE_JWKS_URL }, 'TURNPIKE_JWKS_URL needs TURNPIKE_TOKEN_AUDIENCE'],
  [
    'keys at no address',
    { TURNPIKE_JWKS_URL: 'keys.json', TURNPIKE_TOKEN_AUDIENCE: 'a' },
    'TURNPIKE_JWKS_URL must be an http or https address, got "keys.json"',
  ],
  ['an audience alone', { TURNPIKE_TOKEN_AUDIENCE: 'a' }, 'need TURNPIKE_TOKEN_SECRET or TURNPIKE_JWKS_URL'],
  ['an issuer alone', { TURNPIKE_TOKEN_ISSUER: 'a' }, 'need TURNPIKE_TOKEN_SECRET or TURNPIKE_JWKS_URL'],
])('%s is an error that names the variable', (_title, env, message) => {
  expect(() => authenticatorFrom(env)).toThrow(message)
})

test.each([
  ['without a secret', {}, { user: 'ada' }, 'TURNPIKE_TOKEN_SECRET is not set'],
  ['for nobody', { TURNPIKE_TOKEN_SECRET }, { user: '' }, 'A user has 1 to 256 characters'],
  ['for a user of many characters', { TURNPIKE_TOKEN_SECRET }, { user: 'x'.repeat(257) }, 'got 257'],
  ['that ends before it begins', { TURNPIKE_TOKEN_SECRET }, { user: 'ada', ttlSeconds: 0 }, 'got 0'],
  ['that ends at no time', { TURNPIKE_TOKEN_SECRET }, { user: 'ada', ttlSeconds: NaN }, 'got NaN'],
])('no token is made %s', async (...row) => {
  const [, env, request, message] = row
  await expect(mintToken(env, request)).rejects.toThrow(message)
})
