/** `offline`: the network is gone; `online`: it is there again; `visible`: a page is looked at again. */
export type News = 'online' | 'offline' | 'visible'

/** What the machine tells about the network and about who is looking. */
export interface Surroundings {
  /** False only where it is certain that there is no network. */
  isOnline(): boolean
  /** Calls back with every piece of news; returns what stops it. */
  watch(listener: (news: News) => void): () => void
}

const LOOPBACK = /^(localhost|.+\.localhost|127\.[\d.]+|\[::1\])$/

interface Target {
  addEventListener?(type: string, listener: () => void): void
  removeEventListener?(type: string, listener: () => void): void
}

interface Scope extends Target {
  readonly navigator?: { readonly onLine?: boolean }
  readonly document?: Target & { readonly visibilityState?: string }
}

/**
 * The surroundings of a page or a worker; where there are none, such as in Node, always online and never news.
 *
 * @param url - Whom to reach: a gateway on this machine needs no network.
 */
export function surroundingsOf(url: string, scope: Scope = globalThis as Scope): Surroundings {
  const isHere = LOOPBACK.test(new URL(url).hostname)
  return {
    // Node has a navigator that does not say; only `false` is a fact.
    isOnline: () => isHere || scope.navigator?.onLine !== false,
    watch(listener) {
      const { document } = scope
      const onOnline = (): void => listener('online')
      const onOffline = (): void => listener('offline')
      const onVisibility = (): void => {
        if (document?.visibilityState === 'visible') listener('visible')
      }
      scope.addEventListener?.('online', onOnline)
      scope.addEventListener?.('offline', onOffline)
      document?.addEventListener?.('visibilitychange', onVisibility)
      return () => {
        scope.removeEventListener?.('online', onOnline)
        scope.removeEventListener?.('offline', onOffline)
        document?.removeEventListener?.('visibilitychange', onVisibility)
      }
    },
  }
}
