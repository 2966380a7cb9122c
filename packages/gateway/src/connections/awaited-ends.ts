import type { ThreadEvent } from '@turnpike/protocol'
import { type EndedRun, storedEnd } from '../runs/run-stored-end.ts'
import type { Runs, Sent } from '../runs/runs.ts'
import type { Store } from '../stores/store.ts'

/** Ends that are awaited at once, and runs that are known to have been told of: the latest ones. */
const MOST = 1_000

/**
 * The runs of one thread that a client waits to be told the end of.
 *
 * Where it is told a history in place of events, ends are among those. They become due: each is told once more, out of
 * the store.
 */
export class AwaitedEnds {
  readonly #options: { readonly store: Store; readonly runs: Runs }
  readonly #awaited = new Map<string, EndedRun>()
  readonly #due: EndedRun[] = []
  readonly #told = new Set<string>()

  constructor(options: { readonly store: Store; readonly runs: Runs }) {
    this.#options = options
  }

  /** Whether something is to be told. */
  get isDue(): boolean {
    return this.#due.length > 0
  }

  /** @param onEnd - Called when it is known where the run ends; the log may have told of that before. */
  add({ thread, runId, ended }: Sent, onEnd: () => void): void {
    if (this.has(runId)) return
    const end: EndedRun = { thread, runId, endSeq: undefined }
    this.#awaited.set(runId, end)
    dropOldest(this.#awaited)
    ended.then(
      (endSeq) => {
        if (this.#awaited.has(runId)) this.#awaited.set(runId, { ...end, endSeq })
        onEnd()
      },
      () => {
        // It came to nothing that could be logged.
        if (this.#awaited.has(runId)) this.#makeDue(end)
        onEnd()
      },
    )
  }

  /** Whether the end of a run is awaited, or was told otherwise than by its event. */
  has(runId: string): boolean {
    return this.#awaited.has(runId) || this.#told.has(runId)
  }

  /** The run is told of elsewhere. */
  noteTold(runId: string): void {
    this.#told.add(runId)
    dropOldest(this.#told)
  }

  /** Forgets what has ended by then, since all of that was told. */
  forgetEnded(upTo: number): void {
    for (const [runId, { endSeq = Infinity }] of this.#awaited)
      if (endSeq <= upTo) this.#awaited.delete(runId)
  }

  /** The end of a run that is over is to be told. */
  tell({ thread, runId }: Sent, endSeq: number): void {
    this.#makeDue({ thread, runId, endSeq })
  }

  /** What is awaited and was jumped is to be told. */
  tellJumped(isJumped: (seq: number) => boolean): void {
    for (const end of this.#awaited.values()) {
      if (end.endSeq !== undefined && isJumped(end.endSeq)) this.#makeDue(end)
    }
  }

  /** Looks up the next that is due. It is so until then. */
  async next(): Promise<readonly ThreadEvent[]> {
    const [end] = this.#due
    const events = end ? await storedEnd(end, this.#options) : []
    this.#due.shift()
    return events
  }

  #makeDue(end: EndedRun): void {
    this.#awaited.delete(end.runId)
    this.noteTold(end.runId)
    this.#due.push(end)
  }
}

function dropOldest(held: Map<string, unknown> | Set<string>): void {
  const [oldest] = held.keys()
  if (held.size > MOST && oldest !== undefined) held.delete(oldest)
}
