import { type Surroundings } from '@turnpike/client'
import { Store } from '../app/store.ts'
import { CuttableSocket } from './cuttable-socket.ts'

/** The page's way to the network, with a switch in it. */
export interface Network {
  /** Whether the switch is open. */
  readonly isCut: Store<boolean>
  readonly fetch: (url: string, init?: RequestInit) => Promise<Response>
  readonly WebSocket: new (url: string, protocol?: string) => CuttableSocket
  readonly surroundings: Surroundings
  /** Ends everything that goes on, and refuses what is tried, until {@link restore}. */
  readonly cut: () => void
  readonly restore: () => void
}

/** Makes a network of the browser's own `fetch` and `WebSocket`. */
export function createNetwork(): Network {
  const isCut = new Store(false)
  const sockets = new Set<CuttableSocket>()
  const watchers = new Set<(news: 'online' | 'visible') => void>()
  let requests = new AbortController()

  class Socket extends CuttableSocket {
    constructor(url: string, protocol?: string) {
      super(isCut.get() ? undefined : new WebSocket(url, protocol))
      sockets.add(this)
      this.addEventListener('close', () => sockets.delete(this))
    }
  }

  return {
    isCut,
    WebSocket: Socket,
    async fetch(url, init = {}) {
      if (isCut.get()) throw new TypeError('The connection is cut.')
      const signal = init.signal ? AbortSignal.any([init.signal, requests.signal]) : requests.signal
      return fetch(url, { ...init, signal })
    },
    surroundings: {
      isOnline: () => navigator.onLine,
      watch(listener) {
        const stopWatching = watchBrowser(listener)
        watchers.add(listener)
        return () => {
          stopWatching()
          watchers.delete(listener)
        }
      },
    },
    cut() {
      isCut.set(true)
      requests.abort(new TypeError('The connection was cut.'))
      requests = new AbortController()
      for (const socket of [...sockets]) socket.cut()
    },
    restore() {
      isCut.set(false)
      for (const watcher of [...watchers]) watcher('online')
    },
  }
}

function watchBrowser(listener: (news: 'online' | 'visible') => void): () => void {
  const controller = new AbortController()
  const { signal } = controller
  window.addEventListener('online', () => listener('online'), { signal })
  const onVisibility = (): void => {
    if (document.visibilityState === 'visible') listener('visible')
  }
  document.addEventListener('visibilitychange', onVisibility, { signal })
  return () => controller.abort()
}

/** The network of this page. */
export const network = createNetwork()
