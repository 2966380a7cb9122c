import { useEffect, useMemo, useSyncExternalStore } from 'react'
import { useClient } from './provider.tsx'
import { type ThreadListState, type ThreadQuery, ThreadList } from './thread-list.ts'

/** The user's threads, the latest first; it does not change by itself: `reload` asks again. */
export function useThreads(
  query: ThreadQuery = {},
): ThreadListState & Pick<ThreadList, 'loadMore' | 'reload'> {
  const client = useClient()
  const { search, limit } = query
  const list = useMemo(() => new ThreadList(client), [client])
  useEffect(
    () => list.show({ ...(search !== undefined && { search }), ...(limit !== undefined && { limit }) }),
    [list, search, limit],
  )
  const state = useSyncExternalStore(list.onChange, list.getState, list.getInitial)
  return useMemo(() => ({ ...state, loadMore: list.loadMore, reload: list.reload }), [list, state])
}
