import { GatewayError } from '@turnpike/protocol'
import { meets } from '../access/access.ts'
import { type Place, type RequestHead, credentialOf, textAt } from '../access/credentials.ts'
import type { Identity } from '../access/identity.ts'

/** Who may come in at a path, and how they show who they are. */
export interface WebSocketAuth {
  /** How a credential is written. `none`: nobody is asked, and nothing can be required. */
  readonly strategy: 'bearer' | 'apiKey' | 'basic' | 'custom' | 'none'
  /**
   * False lets in who brings no credential, as nobody; a wrong one is refused all the same. Where roles or permissions
   * are asked for, somebody has to have them. @default true
   */
  readonly required?: boolean
  /** @default 'Authorization' */
  readonly headerName?: string
  /** The parameter of the query; false: none. @default `apiKey` and `token` */
  readonly queryParam?: string | false
  /** The cookie that holds a credential, for pages of the allowed origins and of this server. @default none is read */
  readonly cookieName?: string
  /**
   * Tells who a credential belongs to; null refuses it. One that throws, or takes longer than `timeoutMs`, is no verdict:
   * the client may try again. With `expiresAt`, the connection ends then. Every strategy but `none` needs one.
   */
  readonly validate?: (token: string) => Promise<Identity | null> | Identity | null
  /** Any of these will do. */
  readonly roles?: readonly string[]
  /** All of these are needed. */
  readonly permissions?: readonly string[]
  /** Time for a verdict. @default earlyMs */
  readonly timeoutMs?: number
}

/** A credential as its owner has it; null where it is empty or malformed. */
export type Presented = string | null

/** A credential is visible ASCII: nothing else can be part of a header. */
const WORD = /^[\x21-\x7e]+$/
const WORDS = /^[\x20-\x7e]+$/
const SCHEME = /^(?:Bearer|ApiKey)(?: +|$)/i
const COOKIE_NAME = /^[\w!#$%&'*+.^`|~-]+$/

const STRATEGIES: readonly string[] = ['bearer', 'apiKey', 'basic', 'custom', 'none']

/**
 * What holds at a path: what it names itself, and else what is usual.
 *
 * @throws TypeError where a path asks for something and nobody is asked who they are
 */
export function authAt(usual: WebSocketAuth, given: Partial<WebSocketAuth>): WebSocketAuth {
  const own: Partial<WebSocketAuth> = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  )
  const names = Object.keys(own)
  if (own.strategy === undefined && usual.strategy === 'none' && names.length > 0) {
    throw new TypeError(
      `"auth" has ${names.join(', ')} but no "strategy": nobody would be asked who they are.`,
    )
  }
  // Who asks nobody asks for none of the usual rights, either.
  return own.strategy === 'none' ? { ...own, strategy: 'none' } : { ...usual, ...own }
}

/** @throws TypeError where nobody could come in by it, or everybody could */
export function assertAuth(auth: WebSocketAuth, allowsAll: boolean): void {
  const { strategy, required, roles, permissions, timeoutMs, cookieName, headerName, validate } = auth
  if (!STRATEGIES.includes(strategy)) {
    throw new TypeError(`"auth.strategy" has to be one of ${STRATEGIES.join(', ')}, got "${strategy}".`)
  }
  for (const [name, list] of Object.entries({ roles, permissions })) {
    if (list !== undefined && !Array.isArray(list)) throw new TypeError(`"auth.${name}" has to be a list.`)
  }
  if (strategy === 'none' && (required === true || roles?.length || permissions?.length)) {
    throw new TypeError('"auth.strategy" is "none": where nobody is asked, nothing can be required.')
  }
  if (timeoutMs !== undefined && !(Number.isFinite(timeoutMs) && timeoutMs >= 0)) {
    throw new TypeError(`"auth.timeoutMs" has to be a number of at least 0, got ${String(timeoutMs)}.`)
  }
  for (const [name, value] of Object.entries({ cookieName, headerName })) {
    if (value === undefined || COOKIE_NAME.test(value)) continue
    throw new TypeError(`"auth.${name}" has to be a name, got "${value}".`)
  }
  if (cookieName !== undefined && allowsAll) {
    throw new TypeError(
      '"auth.cookieName" needs a list of "allowedOrigins": with "*", any page could use the cookie.',
    )
  }
  if (strategy !== 'none' && typeof validate !== 'function') {
    throw new TypeError(`"auth.validate" has to be a function: "${strategy}" lets in nobody without one.`)
  }
}

/** The credential that came with a request: undefined where there is nothing at any of its places. */
export function presentedWith(
  auth: WebSocketAuth,
  request: RequestHead,
  trustsCookies: boolean,
): Presented | undefined {
  const { strategy, headerName = 'Authorization', cookieName } = auth
  const scheme = hasPlainScheme(auth) ? (strategy === 'basic' ? 'basic' : 'bearer') : 'raw'
  const header: Place = { in: 'header', name: headerName, scheme }
  const places: Place[] = [header, ...queryNames(auth).map((name): Place => ({ in: 'query', name }))]
  if (cookieName !== undefined && trustsCookies) places.push({ in: 'cookie', name: cookieName })
  const found = credentialOf(scheme === 'raw' ? withoutScheme(request, headerName) : request, places)
  if (!found) return undefined
  if (found.place === header && strategy !== 'custom') return found.value
  return presentedAs(auth, textAt(request, found.place))
}

/** A credential that stands somewhere else than in a header. @param token - Anything that was sent as one. */
export function presentedAs({ strategy }: WebSocketAuth, token: unknown): Presented {
  if (typeof token !== 'string') return null
  if (strategy === 'custom') return customIn(token)
  if (strategy !== 'basic') return WORD.test(token) ? token : null
  // Base64 has no colon, so it is clear which of the two it is.
  const base64 = token.includes(':') ? Buffer.from(token).toString('base64') : token
  const head = { headers: { authorization: `Basic ${base64}` } }
  return credentialOf(head, [{ in: 'header', name: 'authorization', scheme: 'basic' }])?.value ?? null
}

const NOBODY = { id: 'anonymous' }

/** @throws GatewayError `forbidden` */
export function assertRights({ roles, permissions }: WebSocketAuth, user: Identity | undefined): void {
  // Of no roles to choose from, none is wanted.
  const wanted = { ...(roles?.length && { roles }), ...(permissions && { permissions }) }
  if (!meets(user ?? NOBODY, wanted)) {
    throw new GatewayError('forbidden', 'This path takes a role or a permission that you do not have.')
  }
}

/** Whether a credential is needed to come in. */
export function isRequired({ strategy, required, roles, permissions }: WebSocketAuth): boolean {
  if (strategy === 'none') return false
  return required !== false || Boolean(roles?.length) || Boolean(permissions?.length)
}

/** Whether the header has to say the scheme: in another header than the usual one a token stands for itself. */
function hasPlainScheme({ strategy, headerName = 'Authorization' }: WebSocketAuth): boolean {
  return strategy === 'basic' || (strategy === 'bearer' && headerName.toLowerCase() === 'authorization')
}

function queryNames({ strategy, queryParam }: WebSocketAuth): readonly string[] {
  if (queryParam === false) return []
  if (queryParam !== undefined) return [queryParam]
  return strategy === 'apiKey' ? ['apiKey', 'token'] : ['token', 'apiKey']
}

/** Keys are sent after a scheme as often as without one. */
function withoutScheme({ headers, url }: RequestHead, headerName: string): RequestHead {
  const name = headerName.toLowerCase()
  const value = headers[name]
  if (typeof value !== 'string') return { headers, url }
  return { headers: { ...headers, [name]: value.replace(SCHEME, '') }, url }
}

/** What is custom may have spaces, such as a signature of several fields; behind `Bearer` it is one word. */
function customIn(text: string): Presented {
  const token = text.trim()
  const word = token.replace(SCHEME, '')
  if (WORD.test(word)) return word
  return word === token && WORDS.test(token) ? token : null
}
