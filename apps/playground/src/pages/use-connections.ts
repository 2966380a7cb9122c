import { useCallback, useEffect, useState } from 'react'
import { GatewayError } from '@turnpike/client'
import { api } from '../network/api.ts'

/** A live connection, as the gateway lists it. */
export interface ConnectionInfo {
  readonly id: string
  readonly user: string
  readonly wire: string
  readonly threads: readonly string[]
  readonly lagEvents: number
  readonly bufferedBytes: number
  readonly since: number
  /** It belongs to who asks. */
  readonly own?: boolean
}

const LOOK_MS = 2_000

export interface Connections {
  readonly connections: readonly ConnectionInfo[] | undefined
  readonly problem: GatewayError | undefined
  readonly reload: () => void
}

/** The live connections, looked at every now and then. */
export function useConnections(): Connections {
  const [connections, setConnections] = useState<readonly ConnectionInfo[]>()
  const [problem, setProblem] = useState<GatewayError>()
  const [looks, setLooks] = useState(0)
  const reload = useCallback(() => setLooks((count) => count + 1), [])
  useEffect(() => {
    const controller = new AbortController()
    const { signal } = controller
    const look = async (): Promise<void> => {
      try {
        const listed = await api<{ connections: readonly ConnectionInfo[] }>('/connections', { signal })
        setConnections(listed.connections)
        setProblem(undefined)
      } catch (error) {
        if (!signal.aborted && error instanceof GatewayError) setProblem(error)
      }
    }
    void look()
    const timer = setInterval(() => {
      if (document.visibilityState === 'visible') void look()
    }, LOOK_MS)
    return () => {
      controller.abort()
      clearInterval(timer)
    }
  }, [looks])
  return { connections, problem, reload }
}
