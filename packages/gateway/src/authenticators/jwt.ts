import {
  type CryptoKey,
  type JWTPayload,
  type JWTVerifyGetKey,
  SignJWT,
  createRemoteJWKSet,
  errors,
  jwtVerify,
} from 'jose'
import type { Principal } from '@turnpike/agents'
import { type Authenticate, TOKEN_CHARS } from '../access/identity.ts'

/** What tells good tokens from others: a secret that is shared with who makes them, or the public keys of that. */
export type JwtKey = { readonly secret: string | Uint8Array } | { readonly jwksUrl: string | URL }

export type JwtAuthenticatorOptions = JwtKey & {
  /** @default `['HS256']` with a secret; `['RS256', 'PS256', 'ES256', 'EdDSA']` with public keys */
  readonly algorithms?: readonly string[]
  /** Whom the token has to be for. Needed with public keys: whoever has them signs for many. */
  readonly audience?: string | readonly string[]
  readonly issuer?: string | readonly string[]
  /** How far the clocks may differ. @default 0 */
  readonly clockToleranceSeconds?: number
  /** Refuses tokens issued longer ago, and those that do not say when. */
  readonly maxTokenAgeSeconds?: number
  /** Who is meant by the claims of a good token; null for nobody. @default `sub`, and the claims of a {@link Principal} */
  readonly principalOf?: (claims: JWTPayload) => Principal | null
}

/** The algorithms that take a secret, and the bytes that it needs, RFC 7518 section 3.2. */
const SECRET_BYTES: ReadonlyMap<string, number> = new Map([
  ['HS256', 32],
  ['HS384', 48],
  ['HS512', 64],
])
const PUBLIC_ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA']

/** What makes a token a bad one. Anything else is no verdict: the keys could not be had. */
const REFUSALS = [
  errors.JOSEAlgNotAllowed,
  errors.JOSENotSupported,
  errors.JWSInvalid,
  errors.JWSSignatureVerificationFailed,
  errors.JWTClaimValidationFailed,
  errors.JWTExpired,
  errors.JWTInvalid,
  errors.JWKSNoMatchingKey,
]

/**
 * Makes an authenticator for JSON Web Tokens. `sub` and `exp` are required.
 *
 * @throws Error where the options would accept more than they say
 */
export function jwtAuthenticator(options: JwtAuthenticatorOptions): Authenticate {
  const {
    audience,
    issuer,
    clockToleranceSeconds = 0,
    maxTokenAgeSeconds,
    principalOf = principalIn,
  } = options
  const { key, algorithms } = verifierOf(options)
  const checks = {
    algorithms,
    requiredClaims: ['sub', 'exp'],
    clockTolerance: clockToleranceSeconds,
    ...(audience !== undefined && { audience: listOf(audience) }),
    ...(issuer !== undefined && { issuer: listOf(issuer) }),
    ...(maxTokenAgeSeconds !== undefined && { maxTokenAge: maxTokenAgeSeconds }),
  }
  return async (token) => {
    if (token.length > TOKEN_CHARS) return null
    const claims = await claimsOf(token, key, checks)
    // RFC 7519 section 4.1.3: one that is for somebody in particular is not for who is nobody in particular.
    if (!claims || (audience === undefined && claims.aud !== undefined)) return null
    const principal = principalOf(claims)
    return principal && { ...principal, expiresAt: ((claims.exp ?? 0) + clockToleranceSeconds) * 1_000 }
  }
}

/** Makes a token that {@link jwtAuthenticator} takes with the same secret, audience and issuer. */
export function mintJwt(
  { id, ...claims }: Principal,
  options: { secret: string | Uint8Array; ttlSeconds: number; audience?: string; issuer?: string },
): Promise<string> {
  const { secret, ttlSeconds, audience, issuer } = options
  const now = Math.floor(Date.now() / 1_000)
  const token = new SignJWT({ ...claims })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setSubject(id)
    .setIssuedAt(now)
    .setExpirationTime(now + ttlSeconds)
  if (audience !== undefined) token.setAudience(audience)
  if (issuer !== undefined) token.setIssuer(issuer)
  return token.sign(secretOf(secret, ['HS256']))
}

type Key = Uint8Array | CryptoKey | JWTVerifyGetKey

function verifierOf(options: JwtAuthenticatorOptions): { key: Key; algorithms: string[] } {
  const isShared = 'secret' in options
  if (isShared === 'jwksUrl' in options) throw new Error('Give either "secret" or "jwksUrl".')
  const algorithms = [...(options.algorithms ?? (isShared ? ['HS256'] : PUBLIC_ALGORITHMS))]
  if (algorithms.length === 0) throw new Error('"algorithms" is empty: no token would do.')
  for (const algorithm of algorithms) {
    // With a public key as its secret, anybody could sign.
    if (SECRET_BYTES.has(algorithm) === isShared) continue
    throw new Error(
      `"algorithms" has ${algorithm}, which does not go with ${isShared ? 'a secret' : '"jwksUrl"'}.`,
    )
  }
  if ('secret' in options) return { key: secretOf(options.secret, algorithms), algorithms }
  if (options.audience === undefined) throw new Error('"audience" is needed with "jwksUrl".')
  return { key: keysAt(options.jwksUrl), algorithms }
}

function secretOf(secret: string | Uint8Array, algorithms: readonly string[]): Uint8Array {
  const bytes = typeof secret === 'string' ? new TextEncoder().encode(secret) : secret
  const needed = Math.max(...algorithms.map((algorithm) => SECRET_BYTES.get(algorithm) ?? 0))
  if (bytes.length >= needed) return bytes
  throw new Error(`A secret for ${algorithms.join(', ')} has at least ${needed} bytes, got ${bytes.length}.`)
}

function keysAt(address: string | URL): JWTVerifyGetKey {
  if (!URL.canParse(String(address)) || !/^https?:$/.test(new URL(address).protocol)) {
    throw new Error('"jwksUrl" has to be an http or https address.')
  }
  return createRemoteJWKSet(new URL(address))
}

async function claimsOf(
  token: string,
  key: Key,
  checks: Parameters<typeof jwtVerify>[2],
): Promise<JWTPayload | null> {
  try {
    return (await (typeof key === 'function' ? jwtVerify(token, key, checks) : jwtVerify(token, key, checks)))
      .payload
  } catch (error) {
    if (error instanceof errors.JWKSMultipleMatchingKeys) return claimsByAny(token, error, checks)
    if (REFUSALS.some((refusal) => error instanceof refusal)) return null
    throw error
  }
}

/** A token need not name its key: then one of those that fit has to have signed it. */
async function claimsByAny(
  token: string,
  keys: AsyncIterable<CryptoKey>,
  checks: Parameters<typeof jwtVerify>[2],
): Promise<JWTPayload | null> {
  for await (const key of keys) {
    const claims = await claimsOf(token, key, checks)
    if (claims) return claims
  }
  return null
}

/** The claims that a principal has, as far as they are of the right kind. */
function principalIn(claims: JWTPayload): Principal | null {
  const { sub, email, name, roles, permissions, scope } = claims
  if (typeof sub !== 'string' || sub === '') return null
  const granted =
    permissions === undefined && typeof scope === 'string' ? scope.split(' ').filter(Boolean) : permissions
  return {
    id: sub,
    ...(typeof email === 'string' && { email }),
    ...(typeof name === 'string' && { name }),
    ...(isTexts(roles) && { roles }),
    ...(isTexts(granted) && { permissions: granted }),
  }
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

function listOf(value: string | readonly string[]): string[] {
  return typeof value === 'string' ? [value] : [...value]
}
