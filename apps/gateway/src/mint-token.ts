import { LIMITS } from '@turnpike/protocol'
import { mintJwt } from '@turnpike/gateway/jwt'
import { namesFrom, secretFrom } from './authentication.ts'

const TTL_SECONDS = 3_600

export interface TokenRequest {
  readonly user: string
  readonly roles?: readonly string[]
  /** @default 3,600 */
  readonly ttlSeconds?: number
}

/**
 * Makes a token that a server with the same environment takes.
 *
 * @throws Error where there is no `TURNPIKE_TOKEN_SECRET`, or the request makes no sense
 */
export async function mintToken(
  env: Readonly<Record<string, string | undefined>>,
  { user, roles, ttlSeconds = TTL_SECONDS }: TokenRequest,
): Promise<string> {
  const secret = secretFrom(env)
  if (secret === undefined)
    throw new Error('TURNPIKE_TOKEN_SECRET is not set: there is nothing to sign with.')
  if (user === '' || user.length > LIMITS.idChars) {
    throw new Error(`A user has 1 to ${LIMITS.idChars} characters, got ${user.length}.`)
  }
  if (!Number.isSafeInteger(ttlSeconds) || ttlSeconds <= 0) {
    throw new Error(`A token lives for a whole number of seconds from 1, got ${ttlSeconds}.`)
  }
  return mintJwt({ id: user, ...(roles && { roles }) }, { secret, ttlSeconds, ...namesFrom(env) })
}
