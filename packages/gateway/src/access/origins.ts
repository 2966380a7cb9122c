import { isIP } from 'node:net'
import { GatewayError } from '@turnpike/protocol'
import type { RequestHead } from './credentials.ts'

/**
 * Origins that a browser may come from, as `scheme://host[:port]`; `'*'` lets all in. Those of the web are compared as
 * browsers spell them: in small letters, without the port that goes without saying. All others are compared exactly.
 */
export type AllowedOrigins = readonly string[] | '*'

/** Where browsers may come from. */
export class Origins {
  readonly #allowed: AllowedOrigins
  readonly #isOpen: boolean

  /**
   * @param options - `isOpen`: nobody has to authenticate.
   * @throws TypeError where the list is none, since a text would let in whatever is a part of it; and where one on it is
   *   no whole origin, since nobody would ever come from there
   */
  constructor({ allowed = [], isOpen }: { allowed: AllowedOrigins | undefined; isOpen: boolean }) {
    const isList = Array.isArray(allowed) && allowed.every((origin) => typeof origin === 'string')
    if (allowed !== '*' && !isList)
      throw new TypeError('"allowedOrigins" has to be a list of origins, or "*".')
    this.#allowed = allowed === '*' ? allowed : allowed.map(spelledOrigin)
    this.#isOpen = isOpen
  }

  /**
   * Decides where a browser may come from. Who is no browser sends no `Origin` and is let in.
   *
   * Listed origins are in. So is the page's own server, where it is addressed by an IP address or a name without a
   * dot, such as localhost: those cannot be pointed here by somebody else's DNS. Where nobody has to authenticate,
   * other names are refused without an `Origin` too, since a page whose name was pointed here sends none with a GET.
   *
   * @throws GatewayError `origin-not-allowed`
   */
  assert(headers: RequestHead['headers']): void {
    const { origin, host } = textsOf(headers)
    const allowed = this.#allowed
    if (allowed === '*' || (origin !== undefined && allowed.includes(origin))) return
    const isOwn = origin === undefined || isPageOf(origin, host)
    if (isOwn && ((origin === undefined && !this.#isOpen) || this.#isOurs(host))) return
    throw new GatewayError('origin-not-allowed', 'This origin or host is not on the list of allowed origins.')
  }

  /**
   * Tells whether a request comes from a page that may speak for its user: a browser sends cookies along whatever page
   * asks it to. Where no `Origin` came, only the browser's own word for the same origin will do.
   */
  isTrusted(headers: RequestHead['headers']): boolean {
    const { origin, host } = textsOf(headers)
    if (origin === undefined) return headers['sec-fetch-site'] === 'same-origin'
    const isListed = this.#allowed !== '*' && this.#allowed.includes(origin)
    return isListed || (isPageOf(origin, host) && isLocalName(host))
  }

  /** Whether a `Host` header can only mean this server: an IP address, a name without a dot, or an allowed origin's. */
  #isOurs(host: string | undefined): boolean {
    if (host === undefined || isLocalName(host)) return true
    const allowed = this.#allowed
    return allowed !== '*' && allowed.some((origin) => hostOf(origin) === host)
  }
}

/** What pages say that are of no origin, such as sandboxed ones. */
const NO_ORIGIN = 'null'
/** What the pages of an app or an extension say. No page is of a WebSocket's address. */
const APP_ORIGIN = /^(?!https?:|wss?:)[a-z][a-z\d+.-]*:\/\/[^/?#@*\s]*$/

/** An origin as browsers spell it. @throws TypeError where there is none that browsers would say */
function spelledOrigin(given: string): string {
  if (given === NO_ORIGIN || APP_ORIGIN.test(given)) return given
  const url = URL.canParse(given) ? new URL(given) : undefined
  const isOfTheWeb = url?.protocol === 'http:' || url?.protocol === 'https:'
  // Addresses are copied with a slash; with more than that it is no origin.
  if (url && isOfTheWeb && url.href === `${url.origin}/` && !url.host.includes('*')) return url.origin
  throw new TypeError(
    `"allowedOrigins" has to be "*", or a list of origins such as "https://app.example", got "${given}" on it.`,
  )
}

function textsOf({ origin, host }: RequestHead['headers']): { origin?: string; host?: string } {
  return { ...(typeof origin === 'string' && { origin }), ...(typeof host === 'string' && { host }) }
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}

function isPageOf(origin: string, host: string | undefined): boolean {
  return host !== undefined && hostOf(origin) === host
}

function isLocalName(host: string | undefined): boolean {
  if (host === undefined || !URL.canParse(`http://${host}`)) return false
  const name = new URL(`http://${host}`).hostname.replace(/^\[|\]$/g, '')
  return !name.includes('.') || isIP(name) !== 0
}
