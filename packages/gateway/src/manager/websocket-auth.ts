import { GatewayError } from '@turnpike/protocol'
import { type Place, type RequestHead, credentialOf } from '../credentials.ts'
import type { Identity } from '../identity.ts'

/** Who may come in at a path, and how they show who they are. */
export interface WebSocketAuth {
  /** How a credential is written. `none`: nobody is asked. */
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
   * the client may try again. With `expiresAt`, the connection ends then.
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

const COOKIE_NAME = /^[\w!#$%&'*+.^`|~-]+$/

/** @throws TypeError where nothing could be read by these names */
export function assertAuth({ cookieName, headerName }: WebSocketAuth, allowsAll: boolean): void {
  for (const [name, value] of Object.entries({ cookieName, headerName })) {
    if (value === undefined || COOKIE_NAME.test(value)) continue
    throw new TypeError(`"auth.${name}" has to be a name, got "${value}".`)
  }
  if (cookieName !== undefined && allowsAll) {
    throw new TypeError(
      '"auth.cookieName" needs a list of "allowedOrigins": with "*", any page could use the cookie.',
    )
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
  if (found.place === header) return found.value ?? customIn(auth, request.headers[headerName.toLowerCase()])
  return found.value === null ? null : presentedAs(auth, found.value)
}

/** A credential that stands somewhere else than in a header. @param token - Anything that was sent as one. */
export function presentedAs({ strategy }: WebSocketAuth, token: unknown): Presented {
  if (typeof token !== 'string') return null
  if (strategy !== 'basic') return /^[\x21-\x7e]+$/.test(token) ? token : null
  // Base64 has no colon, so it is clear which of the two it is.
  const base64 = token.includes(':') ? Buffer.from(token).toString('base64') : token
  const head = { headers: { authorization: `Basic ${base64}` } }
  return credentialOf(head, [{ in: 'header', name: 'authorization', scheme: 'basic' }])?.value ?? null
}

/** @throws GatewayError `forbidden` */
export function assertRights({ roles, permissions }: WebSocketAuth, user: Identity | undefined): void {
  const hasRole = !roles?.length || roles.some((role) => user?.roles?.includes(role))
  const missing = permissions?.some((permission) => !user?.permissions?.includes(permission))
  if (!hasRole || missing) {
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
  return { headers: { ...headers, [name]: value.replace(/^(?:Bearer|ApiKey)(?: +|$)/i, '') }, url }
}

/** What is custom may have spaces, such as a signature of several fields. */
function customIn({ strategy }: WebSocketAuth, value: string | readonly string[] | undefined): Presented {
  if (strategy !== 'custom' || typeof value !== 'string') return null
  return /^(?!Bearer\b|ApiKey\b)[\x20-\x7e]+$/i.test(value) ? value : null
}
