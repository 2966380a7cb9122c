import type { ThreadEvent } from '@turnpike/protocol'
import { Store } from '../app/store.ts'
import { type Artifacts, foldArtifact } from './artifacts.ts'
import { type Runs, foldRun } from './run-facts.ts'

/** What this page knows of a thread beside its messages. */
export interface ThreadFacts {
  readonly runs: Runs
  readonly artifacts: Artifacts
}

const NOTHING: ThreadFacts = { runs: new Map(), artifacts: new Map() }

/** Gathers facts from the events of a thread. They stay while other threads are shown. */
export class FactGatherer {
  readonly facts = new Store<ThreadFacts>(NOTHING)
  #lastSeq = 0

  /** Takes the latest events; those that it has had before count once. */
  take(events: readonly ThreadEvent[]): void {
    const last = events.at(-1)
    if (!last || last.seq <= this.#lastSeq) return
    const from = events.findLastIndex(({ seq }) => seq <= this.#lastSeq) + 1
    const fresh = events.slice(from)
    this.#lastSeq = last.seq
    const before = this.facts.get()
    const runs = fresh.reduce(foldRun, before.runs)
    const artifacts = fresh.reduce(foldArtifact, before.artifacts)
    if (runs !== before.runs || artifacts !== before.artifacts) this.facts.set({ runs, artifacts })
  }
}

const gatherers = new Map<string, FactGatherer>()

/** The one gatherer of a thread; a new thread has one of its own. */
export function gathererOf(threadId: string | undefined): FactGatherer {
  const known = threadId === undefined ? undefined : gatherers.get(threadId)
  if (known) return known
  const made = new FactGatherer()
  if (threadId !== undefined) gatherers.set(threadId, made)
  return made
}
