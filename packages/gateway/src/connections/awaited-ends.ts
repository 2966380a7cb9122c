import type { ThreadEvent } from '@turnpike/protocol'
import { type EndedRun, storedEnd } from '../runs/run-stored-end.ts'
import type { Runs, Sent } from '../runs/runs.ts'
import type { Store } from '../stores/store.ts'

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

  /** @param onEnd - Called when it is known where the run ends; the log may have told of that before. */
  add({ thread, runId, ended }: Sent, onEnd: () => void): void {
    if (this.has(runId)) return
    const end: AwaitedEnd = { run: { thread, id: runId }, endSeq: undefined }
    this.#awaited.set(runId, end)
    ended.then(
      (seq) => {
        end.endSeq = seq
        onEnd()
      },
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

  /** The ends that are awaited and were jumped; undefined where there are none. */
  takeJumped(isJumped: (seq: number) => boolean): Promise<ThreadEvent[]> | undefined {
    const ends: Promise<ThreadEvent[]>[] = []
    for (const [runId, { run, endSeq }] of this.#awaited) {
      if (endSeq === undefined || !isJumped(endSeq)) continue
      this.#awaited.delete(runId)
      ends.push(this.#tell({ run, endSeq }))
    }
    return ends.length > 0 ? Promise.all(ends).then((told) => told.flat()) : undefined
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
