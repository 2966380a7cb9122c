import { parse } from 'hono/utils/cookie'

/** Where in a request a credential may be, and how it is written there. */
export type Place =
  | { readonly in: 'header'; readonly name: string; readonly scheme: Scheme }
  | { readonly in: 'query'; readonly name: string }
  | { readonly in: 'cookie'; readonly name: string }

/** How a header holds a credential: after `Bearer`, as the user and password of `Basic`, or as it is. */
export type Scheme = 'bearer' | 'basic' | 'raw'

/** What a request is read from: names of headers in lower case, and the target with its query. */
export interface RequestHead {
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly url?: string | undefined
}

/** A credential that came with a request. */
export interface Credential {
  readonly place: Place
  /** As its owner has it: a token, a key, `user:password`. Null where it is empty or malformed. */
  readonly value: string | null
}

/**
 * Finds the credential of a request: at the first of these places where there is anything.
 *
 * What is empty or malformed there counts as present, so that it is refused and not replaced by another one.
 */
export function credentialOf(request: RequestHead, places: readonly Place[]): Credential | undefined {
  for (const place of places) {
    const text = textAt(request, place)
    if (text !== undefined) return { place, value: text === null ? null : valueOf(text, place) }
  }
  return undefined
}

/** What stands at a place: undefined where there is nothing, null where it is not clear what. */
export function textAt({ headers, url }: RequestHead, { in: kind, name }: Place): string | null | undefined {
  switch (kind) {
    case 'header':
      return single(headers[name.toLowerCase()])
    case 'query': {
      const mark = url?.indexOf('?') ?? -1
      if (url === undefined || mark < 0) return undefined
      const values = new URLSearchParams(url.slice(mark)).getAll(name)
      return values.length === 0 ? undefined : single(values)
    }
    case 'cookie': {
      const header = headers['cookie']
      return typeof header === 'string' ? cookieIn(header, name) : undefined
    }
    default:
      return kind satisfies never
  }
}

function single(value: string | readonly string[] | undefined): string | null | undefined {
  if (typeof value !== 'object') return value
  return value.length === 1 ? value[0] : null
}

/** Of several cookies of one name the first is the most specific. One whose characters no cookie has is malformed. */
function cookieIn(header: string, name: string): string | null | undefined {
  const value = parse(header, name)[name]
  if (value !== undefined) return value
  const isNamed = header.split(';').some((pair) => pair.split('=', 1)[0]?.trim() === name)
  return isNamed ? null : undefined
}

function valueOf(text: string, place: Place): string | null {
  if (place.in !== 'header' || place.scheme === 'raw') return plain(text.trim())
  if (place.scheme === 'bearer') return plain(/^Bearer +(\S+) *$/i.exec(text)?.[1] ?? '')
  return passwordOf(/^Basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(text)?.[1] ?? '')
}

/** A credential is visible ASCII without spaces: nothing else can be part of a header. */
function plain(text: string): string | null {
  return /^[\x21-\x7e]+$/.test(text) ? text : null
}

/** `user:password` of RFC 7617. */
function passwordOf(base64: string): string | null {
  const text = Buffer.from(base64, 'base64').toString()
  // Neither control characters nor what stands for bytes that are no UTF-8.
  return text.includes(':') && text !== ':' && !/[\p{Cc}\ufffd]/u.test(text) ? text : null
}
