import { useMemo, useSyncExternalStore } from 'react'

/** Where the reader is: a page, told by what stands behind the `#` of the address. */
export type Route =
  | { readonly page: 'conversation'; readonly threadId: string | undefined }
  | { readonly page: 'connections' | 'wires' | 'settings' }

/** The address of a new thread. */
export const NEW_THREAD = '#/'

/** The address of a thread. */
export function threadAddress(threadId: string): string {
  return `#/t/${encodeURIComponent(threadId)}`
}

/** Reads what stands behind the `#`; whatever it does not know is a new thread. */
export function readRoute(hash: string): Route {
  const [, page, id] = /^#\/([a-z]+)(?:\/(.+))?$/.exec(hash) ?? []
  if (page === 'connections' || page === 'wires' || page === 'settings') return { page }
  if (page !== 't' || id === undefined) return { page: 'conversation', threadId: undefined }
  try {
    return { page: 'conversation', threadId: decodeURIComponent(id) }
  } catch {
    return { page: 'conversation', threadId: undefined }
  }
}

/** Takes the place of the present address: "back" leads to what was before. */
export function replaceAddress(address: string): void {
  history.replaceState(null, '', address)
  window.dispatchEvent(new HashChangeEvent('hashchange'))
}

/** The present route. */
export function useRoute(): Route {
  const hash = useSyncExternalStore(subscribe, () => location.hash)
  return useMemo(() => readRoute(hash), [hash])
}

function subscribe(listener: () => void): () => void {
  window.addEventListener('hashchange', listener)
  return () => window.removeEventListener('hashchange', listener)
}
