import type { Client } from '../client.ts'
import { newId } from '../new-id.ts'
import { AgentList } from './agent-list.ts'
import { Listeners } from './listeners.ts'
import { PendingApprovals } from './pending-approvals.ts'
import { ThreadStore } from './thread-store.ts'

/** Threads that nobody shows, but that are kept for who comes back to them. */
const MOST_IDLE = 20

/** Everything that the hooks of one client share. */
export class ThreadRegistry {
  readonly client: Client
  readonly approvals = new PendingApprovals()
  readonly agents: AgentList
  /** Who wants to know when a thread is made here, or a run begins or ends in one. */
  readonly activity = new Listeners()
  /** In the order of their last use. */
  readonly #stores = new Map<string, ThreadStore>()
  /** Made by renders that may never be shown, on a server none is: nothing here keeps them. */
  readonly #rendered = new Map<string, WeakRef<ThreadStore>>()
  readonly #collected = new FinalizationRegistry<string>((key) => {
    if (!this.#rendered.get(key)?.deref()) this.#rendered.delete(key)
  })

  constructor(client: Client) {
    this.client = client
    this.agents = new AgentList(client)
  }

  /** The store of a thread; the same one for everybody who shows it. */
  thread(threadId: string, reasoning: boolean): ThreadStore {
    const key = keyOf(threadId, reasoning)
    const known = this.#stores.get(key) ?? this.#rendered.get(key)?.deref()
    if (known) return known
    const store = this.#make(threadId, reasoning, false)
    this.#rendered.set(key, new WeakRef(store))
    this.#collected.register(store, key)
    return store
  }

  /** A store of a thread that its first message makes; others get to know it then. */
  draft(reasoning: boolean): ThreadStore {
    return this.#make(newId(), reasoning, true)
  }

  #make(threadId: string, reasoning: boolean, isDraft: boolean): ThreadStore {
    const { client } = this
    return new ThreadStore({
      client,
      threadId,
      reasoning,
      isDraft,
      onUpdate: (store) => this.#updated(store, reasoning),
      onActivity: () => this.activity.tell(),
    })
  }

  #updated(store: ThreadStore, reasoning: boolean): void {
    if (store.getSnapshot().threadId !== undefined) this.#keep(store, reasoning)
    if (!store.isFollowed) this.#tidy()
    this.approvals.update(this.#stores.values())
  }

  #keep(store: ThreadStore, reasoning: boolean): void {
    const key = keyOf(store.threadId, reasoning)
    // Who is followed by somebody stays the one that others get.
    const known = this.#stores.get(key)
    if (known && known !== store && known.isFollowed) return
    if (known === store && store.isFollowed) return
    this.#rendered.delete(key)
    this.#stores.delete(key)
    this.#stores.set(key, store)
  }

  #tidy(): void {
    const idle = [...this.#stores].filter(([, store]) => !store.isFollowed)
    for (const [key] of idle.slice(0, -MOST_IDLE)) this.#stores.delete(key)
  }
}

const registries = new WeakMap<Client, ThreadRegistry>()

/** What the hooks of this client share. */
export function registryOf(client: Client): ThreadRegistry {
  const known = registries.get(client)
  if (known) return known
  const registry = new ThreadRegistry(client)
  registries.set(client, registry)
  return registry
}

function keyOf(threadId: string, reasoning: boolean): string {
  return `${reasoning ? 1 : 0}${threadId}`
}
