/** What the machine tells about the network and about who is looking. */
export interface Surroundings {
  /** False only where it is certain that there is no network. */
  isOnline(): boolean
  /** Calls back when the network is there again, and when a page is looked at again; returns what stops it. */
  watch(listener: (news: 'online' | 'visible') => void): () => void
}

interface Target {
  addEventListener?(type: string, listener: () => void): void
  removeEventListener?(type: string, listener: () => void): void
}

interface Scope extends Target {
  readonly navigator?: { readonly onLine?: boolean }
  readonly document?: Target & { readonly visibilityState?: string }
}

/** The surroundings of a page or a worker; where there are none, such as in Node, always online and never news. */
export function surroundingsOf(scope: Scope = globalThis as Scope): Surroundings {
  return {
    // Node has a navigator that does not say; only `false` is a fact.
    isOnline: () => scope.navigator?.onLine !== false,
    watch(listener) {
      const { document } = scope
      const onOnline = (): void => listener('online')
      const onVisibility = (): void => {
        if (document?.visibilityState === 'visible') listener('visible')
      }
      scope.addEventListener?.('online', onOnline)
      document?.addEventListener?.('visibilitychange', onVisibility)
      return () => {
        scope.removeEventListener?.('online', onOnline)
        document?.removeEventListener?.('visibilitychange', onVisibility)
      }
    },
  }
}
