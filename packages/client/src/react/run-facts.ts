import type { EventOf, ThreadEvent } from '@turnpike/protocol'

/** The latest that is known of a background operation. */
export type BackgroundUpdate = EventOf<'run-update'>['background'] & { readonly runId: string }

/** Something that an agent wrote to its memory, or found there. */
export type MemoryFact =
  | ({
      readonly kind: 'write'
      readonly eventId: string
      readonly runId: string
    } & EventOf<'memory-write'>['memory'])
  | {
      readonly kind: 'recall'
      readonly eventId: string
      readonly runId: string
      readonly query: string
      readonly memories: EventOf<'memory-recall-result'>['memories']
    }

const MOST_FACTS = 500

/** What the events of a thread tell beside its messages. Its lists are replaced, never changed. */
export class RunFacts {
  events: readonly ThreadEvent[] = []
  background: readonly BackgroundUpdate[] = []
  memories: readonly MemoryFact[] = []
  readonly #agents = new Map<string, string>()
  #fresh: ThreadEvent[] = []

  /** Which agent a run in progress is of, where its `start` was seen. */
  agentOf(runId: string): string | undefined {
    return this.#agents.get(runId)
  }

  take(event: ThreadEvent): void {
    const { runId, id: eventId } = event
    this.#fresh.push(event)
    if (event.type === 'start') this.#agents.set(runId, event.agent)
    else if (event.type === 'finish' || event.type === 'error') this.#agents.delete(runId)
    else if (event.type === 'run-update') this.#update({ ...event.background, runId })
    else if (event.type === 'memory-write') this.#remember({ kind: 'write', eventId, runId, ...event.memory })
    else if (event.type === 'memory-recall-result') {
      const { query, memories } = event
      this.#remember({ kind: 'recall', eventId, runId, query, memories })
    }
  }

  /** A history came in place of events: what goes on in the background is not known any more. */
  forget(): void {
    if (!this.background.some(({ status }) => status === 'running')) return
    this.background = this.background.filter(({ status }) => status !== 'running')
  }

  /** Puts what came since the last time into {@link events}, of which the latest `keep` stay. */
  settle(keep: number): void {
    if (this.#fresh.length > 0 && keep > 0) this.events = [...this.events, ...this.#fresh].slice(-keep)
    this.#fresh = []
  }

  #update(update: BackgroundUpdate): void {
    const index = this.background.findIndex(({ id }) => id === update.id)
    this.background =
      index < 0 ? [...this.background, update].slice(-MOST_FACTS) : this.background.with(index, update)
  }

  #remember(fact: MemoryFact): void {
    this.memories = [...this.memories, fact].slice(-MOST_FACTS)
  }
}
