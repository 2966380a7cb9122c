import type { RunContext } from '@turnpike/agents'
import { type RemoteTools, createArtifacts, createMemories } from '@turnpike/agents/host'
import type { RunRecord, Store } from '../stores/store.ts'

export interface RunContextOptions extends Pick<RunContext, 'signal' | 'emit' | 'background' | 'approvals'> {
  readonly record: RunRecord
  readonly store: Store
  readonly apiKey: string | undefined
  readonly remoteTools?: RemoteTools
}

/** What an agent knows of its run, and how it reports. */
export function createRunContext(options: RunContextOptions): RunContext {
  const { record, store, apiKey, remoteTools, signal, emit, background, approvals } = options
  const { id, thread, principal } = record
  return {
    runId: id,
    threadId: thread.id,
    principal,
    signal,
    emit,
    background,
    approvals,
    artifacts: createArtifacts({ store: store.artifacts(thread), emit }),
    memories: createMemories({ store: store.memories(thread, principal.id), emit }),
    ...(remoteTools && { remoteTools }),
    ...(apiKey !== undefined && { apiKey }),
  }
}
