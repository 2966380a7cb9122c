import type { Principal } from '@turnpike/agents'
import { LIMITS } from '@turnpike/protocol'
import { ANONYMOUS } from '../stores/thread-ref.ts'

/** Who a credential belongs to, as an authenticator tells. */
export interface Identity extends Principal {
  /** When the credential ends, in ms since the epoch; it never does where this is absent. */
  readonly expiresAt?: number
}

/** Tells who a token belongs to; null refuses it for good. One that throws lets the client try again later. */
export type Authenticate = (token: string) => Promise<Identity | null>

/** Somebody who was let in, and until when. */
export interface Admitted {
  readonly principal: Principal
  readonly expiresAt?: number
}

/** A longer token is refused before anybody looks at it. */
export const TOKEN_CHARS = 16_384

/**
 * Reads what an authenticator told, which may be anything: a row of a database, a parsed body.
 *
 * Only what a principal has is kept. What may give rights is checked, since a text has `includes` too: the roles
 * `"administrator"` would hold the role `"admin"`.
 *
 * @throws TypeError where it is not an identity
 */
export function admittedFrom(told: unknown): Admitted {
  if (!isObject(told)) throw new TypeError('An identity has to be an object.')
  const { id, email, name, roles, permissions, metadata, expiresAt } = told
  if (typeof id !== 'string' || id === '' || id.length > LIMITS.idChars) {
    throw new TypeError(`The "id" of an identity has to be a text of 1 to ${LIMITS.idChars} characters.`)
  }
  // Else what was written before there was authentication would be theirs.
  if (id === ANONYMOUS.id) throw new TypeError(`The "id" of an identity must not be "${id}".`)
  check({ email, name }, 'a text', (value) => typeof value === 'string')
  check({ roles, permissions }, 'a list of texts', isTexts)
  check({ metadata }, 'an object', isObject)
  check({ expiresAt }, 'a number', (value) => typeof value === 'number' && !Number.isNaN(value))
  const principal = present({ id, email, name, roles, permissions, metadata }) as unknown as Principal
  return typeof expiresAt === 'number' && expiresAt !== Infinity ? { principal, expiresAt } : { principal }
}

/** Whether a credential has ended. */
export function hasExpired({ expiresAt }: Admitted): boolean {
  return expiresAt !== undefined && expiresAt <= Date.now()
}

function check(fields: object, expected: string, isRight: (value: unknown) => boolean): void {
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || value === null || isRight(value)) continue
    throw new TypeError(`The "${name}" of an identity has to be ${expected}.`)
  }
}

function present(fields: object): object {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== null),
  )
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
