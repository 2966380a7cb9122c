import { useEffect, useMemo } from 'react'
import type { ThreadEvent } from '@turnpike/protocol'
import { useStore } from '../app/use-store.ts'
import { type ThreadFacts, gathererOf } from './thread-facts.ts'

/** What the events of a thread tell beside its messages. */
export function useThreadFacts(threadId: string | undefined, events: readonly ThreadEvent[]): ThreadFacts {
  const gatherer = useMemo(() => gathererOf(threadId), [threadId])
  useEffect(() => gatherer.take(events), [gatherer, events])
  return useStore(gatherer.facts)
}
