import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ThreadEvent } from '@turnpike/protocol'
import { type EndedRun, storedEnd } from '../runs/run-stored-end.ts'
import type { Runs, Sent } from '../runs/runs.ts'
import type { Store } from '../stores/store.ts'

/** Events from behind one up to another one, by `seq`. */
export interface Span {
  readonly after: number
  readonly upTo: number
}

/** Runs that are known to have been told of, the latest ones. */
const TOLD = 256

interface AwaitedEnd {
  readonly run: EndedRun['run']
  endSeq: number | undefined
}

/**
 * The runs of one thread that a client waits to be told the end of.
 *
 * Where it is told a history in place of events, ends are among those: each is told once more, out of the store.
 */
export class AwaitedEnds {
  readonly #options: { readonly store: Store; readonly runs: Runs }
  readonly #awaited = new Map<string, AwaitedEnd>()
  readonly #told = new Set<string>()

  constructor(options: { readonly store: Store; readonly runs: Runs }) {
    this.#options = options
  }

  add({ thread, runId, ended }: Sent): void {
    if (this.has(runId)) return
    const end: AwaitedEnd = { run: { thread, id: runId }, endSeq: undefined }
    this.#awaited.set(runId, end)
    ended.then(
      (seq) => void (end.endSeq = seq),
      () => void this.#awaited.delete(runId),
    )
  }

  /** Whether the end of a run is awaited, or was told out of the store. */
  has(runId: string): boolean {
    return this.#awaited.has(runId) || this.#told.has(runId)
  }

  /** Forgets what has ended, since all of that was told. */
  forgetEnded(): void {
    for (const [runId, { endSeq }] of this.#awaited) if (endSeq !== undefined) this.#awaited.delete(runId)
  }

  /** The ends that are jumped over by what tells of a span in a history. */
  async within({ after, upTo }: Span): Promise<ThreadEvent[]> {
    // Who is told of an end, and who notes it, learn of it in the same turn.
    await nextTurn()
    const ends: Promise<ThreadEvent[]>[] = []
    for (const [runId, { run, endSeq = Infinity }] of this.#awaited) {
      if (endSeq > upTo) continue
      this.#awaited.delete(runId)
      if (endSeq > after) ends.push(this.#tell({ run, endSeq }))
    }
    return (await Promise.all(ends)).flat()
  }

  /** The end of a run that is over. */
  tell({ thread, runId }: Sent, endSeq: number): Promise<ThreadEvent[]> {
    return this.#tell({ run: { thread, id: runId }, endSeq })
  }

  #tell(ended: EndedRun): Promise<ThreadEvent[]> {
    this.#told.add(ended.run.id)
    const [oldest] = this.#told
    if (this.#told.size > TOLD && oldest !== undefined) this.#told.delete(oldest)
    return storedEnd(ended, this.#options)
  }
}
