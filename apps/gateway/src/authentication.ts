import type { Authenticate } from '@turnpike/gateway'
import { jwtAuthenticator } from '@turnpike/gateway/jwt'

type Environment = Readonly<Record<string, string | undefined>>

const SECRET_BYTES = 32

/**
 * How `turnpike serve` tells who somebody is: JSON Web Tokens, signed with `TURNPIKE_TOKEN_SECRET` or with a key that
 * `TURNPIKE_JWKS_URL` publishes, for `TURNPIKE_TOKEN_AUDIENCE` and from `TURNPIKE_TOKEN_ISSUER` where these are set.
 * Undefined where nobody has to authenticate.
 *
 * @throws Error that names the variable where the environment is not complete, or says two things
 */
export function authenticatorFrom(env: Environment): Authenticate | undefined {
  const secret = secretFrom(env)
  const jwksUrl = env['TURNPIKE_JWKS_URL'] || undefined
  const named = namesFrom(env)
  if (secret !== undefined && jwksUrl !== undefined) {
    throw new Error('Set either TURNPIKE_TOKEN_SECRET or TURNPIKE_JWKS_URL, not both.')
  }
  if (secret !== undefined) return jwtAuthenticator({ secret, ...named })
  if (jwksUrl !== undefined)
    return jwtAuthenticator({ jwksUrl: addressFrom(jwksUrl, named.audience), ...named })
  if (named.audience === undefined && named.issuer === undefined) return undefined
  // Whoever sets these expects that tokens are asked for.
  throw new Error(
    'TURNPIKE_TOKEN_AUDIENCE and TURNPIKE_TOKEN_ISSUER need TURNPIKE_TOKEN_SECRET or TURNPIKE_JWKS_URL.',
  )
}

/** `TURNPIKE_TOKEN_SECRET`, where it is set. @throws Error where it is too short */
export function secretFrom(env: Environment): string | undefined {
  const secret = env['TURNPIKE_TOKEN_SECRET'] || undefined
  const bytes = Buffer.byteLength(secret ?? '')
  if (secret === undefined || bytes >= SECRET_BYTES) return secret
  throw new Error(`TURNPIKE_TOKEN_SECRET must have at least ${SECRET_BYTES} bytes, got ${bytes}.`)
}

/** `TURNPIKE_TOKEN_AUDIENCE` and `TURNPIKE_TOKEN_ISSUER`, where they are set. */
export function namesFrom(env: Environment): { readonly audience?: string; readonly issuer?: string } {
  const audience = env['TURNPIKE_TOKEN_AUDIENCE']
  const issuer = env['TURNPIKE_TOKEN_ISSUER']
  return { ...(audience && { audience }), ...(issuer && { issuer }) }
}

function addressFrom(text: string, audience: string | undefined): URL {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new Error(`TURNPIKE_JWKS_URL must be an http or https address, got "${text}".`)
  }
  if (audience !== undefined) return new URL(text)
  throw new Error('TURNPIKE_JWKS_URL needs TURNPIKE_TOKEN_AUDIENCE: whom the tokens have to be for.')
}
