import { useCallback, useSyncExternalStore } from 'react'
import type { ConnectionState } from '../connection.ts'
import { useClient } from './provider.tsx'
import { NO_CONNECTION } from './thread-snapshot.ts'

/** Where the connection of the provider's client stands. */
export function useConnection(): ConnectionState {
  const { connection } = useClient()
  const subscribe = useCallback((listener: () => void) => connection.onChange(listener), [connection])
  return useSyncExternalStore(
    subscribe,
    () => connection.state,
    () => NO_CONNECTION,
  )
}
