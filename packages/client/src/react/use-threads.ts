import { useEffect, useMemo, useSyncExternalStore } from 'react'
import { useRegistry } from './provider.tsx'
import { type ThreadListState, type ThreadQuery, ThreadList } from './thread-list.ts'

/**
 * The user's threads, the latest first.
 *
 * It is asked for again when hooks of this provider make a thread, or see a run begin or end. Of what happens elsewhere
 * it does not know: `reload` asks again.
 */
export function useThreads(
  query: ThreadQuery = {},
): ThreadListState & Pick<ThreadList, 'loadMore' | 'reload'> {
  const { client, activity } = useRegistry()
  const { search, limit } = query
  const list = useMemo(() => new ThreadList(client), [client])
  useEffect(() => activity.add(list.refreshSoon), [activity, list])
  useEffect(
    () => list.show({ ...(search !== undefined && { search }), ...(limit !== undefined && { limit }) }),
    [list, search, limit],
  )
  const state = useSyncExternalStore(list.onChange, list.getState, list.getInitial)
  return useMemo(() => ({ ...state, loadMore: list.loadMore, reload: list.reload }), [list, state])
}
