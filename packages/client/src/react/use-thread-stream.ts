import { useCallback, useMemo, useState, useSyncExternalStore } from 'react'
import type { MessageInput } from '@turnpike/protocol'
import { useRegistry } from './provider.tsx'
import type { ThreadRegistry } from './thread-registry.ts'
import type { ThreadSnapshot } from './thread-snapshot.ts'
import type { SendMessageOptions, ThreadStore } from './thread-store.ts'

export interface ThreadStreamOptions {
  /** @default a new thread, which the first message makes */
  readonly threadId?: string | undefined
  /** The agent that messages go to. @default the gateway's first one */
  readonly agent?: string | undefined
  /** With the model's reasoning. @default false */
  readonly reasoning?: boolean
  /** How many of the latest events to keep. @default 500 */
  readonly keepEvents?: number
}

/** A thread as it goes on, and what can be done with it. */
export interface LiveThread extends ThreadSnapshot {
  /** Sends a message, which is shown at once. Resolves when the server has taken it. @throws GatewayError what it refuses with */
  readonly send: (
    message: MessageInput,
    options?: SendMessageOptions,
  ) => Promise<{ threadId: string; runId: string }>
  /** Stops the active run. */
  readonly cancel: () => Promise<void>
  /** Decides what an `approval-pending` asked for. @throws GatewayError `unknown-approval` */
  readonly approve: (approvalId: string, approved: boolean, reason?: string) => Promise<void>
  /** Loads a page of older messages. */
  readonly loadMore: () => Promise<void>
}

/**
 * Follows a thread, and talks to it.
 *
 * All hooks of a provider on one thread share one subscription, and see the same objects. Changes from the server
 * cost one render a frame at most. A message that did not change stays the same object.
 *
 * @example
 * const { messages, send, status, cancel } = useThreadStream({ threadId })
 */
export function useThreadStream(options: ThreadStreamOptions = {}): LiveThread {
  const { threadId, agent, reasoning = false, keepEvents = 500 } = options
  const registry = useRegistry()
  const store = useThreadStore({ registry, threadId, reasoning })
  const subscribe = useCallback(
    (listener: () => void) => store.onChange(listener, keepEvents),
    [store, keepEvents],
  )
  const snapshot = useSyncExternalStore(subscribe, store.getSnapshot, store.getInitialSnapshot)
  const actions = useMemo(
    () => ({
      send: (message: MessageInput, given: SendMessageOptions = {}) =>
        store.send(message, { ...(agent !== undefined && { agent }), ...given }),
      cancel: () => store.cancel(),
      approve: (approvalId: string, approved: boolean, reason?: string) =>
        store.approve(approvalId, approved, reason),
      loadMore: () => store.loadMore(),
    }),
    [store, agent],
  )
  return useMemo(() => {
    const { events } = snapshot
    const isLonger = events.length > keepEvents
    return { ...snapshot, ...actions, ...(isLonger && { events: events.slice(events.length - keepEvents) }) }
  }, [snapshot, actions, keepEvents])
}

interface Choice {
  readonly registry: ThreadRegistry
  readonly threadId: string | undefined
  readonly reasoning: boolean
}

/** The store of the thread that is asked for. Without an id it is a draft, until something else is asked for. */
function useThreadStore(choice: Choice): ThreadStore {
  const { registry, threadId, reasoning } = choice
  const [chosen, choose] = useState(() => ({ choice, store: storeOf(choice) }))
  const before = chosen.choice
  if (before.registry === registry && before.threadId === threadId && before.reasoning === reasoning) {
    return chosen.store
  }
  const next = { choice, store: storeOf(choice) }
  choose(next)
  return next.store
}

function storeOf({ registry, threadId, reasoning }: Choice): ThreadStore {
  return threadId === undefined ? registry.draft(reasoning) : registry.thread(threadId, reasoning)
}
