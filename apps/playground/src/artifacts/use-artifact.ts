import { useEffect, useState } from 'react'
import type { Artifact, GatewayError } from '@turnpike/client'
import { useClient } from '@turnpike/client/react'
import type { SeenArtifact } from '../facts/artifacts.ts'

export interface LoadedArtifact {
  readonly artifact: SeenArtifact | undefined
  readonly error?: GatewayError
}

/** An artifact with its content: as this page saw it come, or else as the gateway has it. */
export function useArtifact(threadId: string, id: string, seen: SeenArtifact | undefined): LoadedArtifact {
  const client = useClient()
  const [loaded, setLoaded] = useState<{ id: string; artifact?: Artifact; error?: GatewayError }>()
  const isSeen = seen?.content !== undefined
  const version = seen?.version
  useEffect(() => {
    if (isSeen) return
    const abort = new AbortController()
    client.threads.artifact(threadId, id, { signal: abort.signal }).then(
      (artifact) => setLoaded({ id, artifact }),
      (error: GatewayError) => {
        if (!abort.signal.aborted) setLoaded({ id, error })
      },
    )
    return () => abort.abort()
  }, [client, threadId, id, isSeen, version])
  if (isSeen || loaded?.id !== id) return { artifact: seen }
  return { artifact: loaded.artifact ?? seen, ...(loaded.error && { error: loaded.error }) }
}
