import type { Limits } from '@turnpike/protocol'
import type { EventLog } from '../logs/event-log.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { RunChange, RunRecord, RunStore, StoredMessage } from '../stores/store.ts'
import type { TimerWheel } from '../timing/timer-wheel.ts'

export interface RunJournalOptions {
  readonly run: Pick<RunRecord, 'thread' | 'id'>
  readonly store: RunStore
  readonly log: EventLog
  readonly limits: Limits
  readonly wheel: TimerWheel
  readonly logger: Logger
  readonly metrics: Metrics
  /** Asked at each writing for what may have changed since the last one. */
  readonly current: () => RunChange
}

/**
 * Writes what a run has come to into the store: at its borders at once, in between at most a second after it happened.
 * This is what a restart finds.
 */
export class RunJournal {
  readonly #options: RunJournalOptions
  #pending: RunChange = {}
  #written: Promise<void> = Promise.resolve()
  #stopTimer: (() => void) | undefined
  #hasInput = false
  /** What could not be written; the log may have let go of it when it is tried again. */
  #unwritten: readonly StoredMessage[] = []
  #isFinal = false

  constructor(options: RunJournalOptions) {
    this.#options = options
  }

  /** Settles once what was written so far is stored; never rejects. */
  get written(): Promise<void> {
    return this.#written.catch(() => {})
  }

  /** Something was logged: it will be written soon. Cheap enough to be called for every event. */
  touch(): void {
    if (this.#stopTimer) return
    const { wheel, limits } = this.#options
    this.#stopTimer = wheel.schedule(limits.checkpointMs, () => this.checkpoint())
  }

  /** Writes now, in the background. */
  checkpoint(change?: RunChange): void {
    const { logger, run } = this.#options
    this.write(change).catch((error: unknown) =>
      logger.error({ runId: run.id, error }, 'a checkpoint failed'),
    )
  }

  /** Writes now, behind what is being written already. What fails is tried again later, too. */
  write(change: RunChange = {}): Promise<void> {
    this.#stopTimer?.()
    this.#stopTimer = undefined
    this.#pending = { ...this.#pending, ...change }
    // What a run has ended with is taken down at once: the log may have let go of it when its turn to be written comes.
    const final = change.endSeq === undefined ? undefined : this.#messages()
    final?.catch(() => {})
    const write = (): Promise<void> => this.#write(final)
    this.#written = this.#written.then(write, write)
    return this.#written
  }

  async #write(final: Promise<readonly StoredMessage[]> | undefined): Promise<void> {
    const { store, run, current, metrics } = this.#options
    const change = { ...this.#pending, ...current() }
    this.#pending = {}
    try {
      if (!this.#isFinal) this.#unwritten = newest(this.#unwritten, await (final ?? this.#messages()))
      const messages = this.#unwritten
      await store.update(run, change, messages)
      this.#unwritten = []
      this.#hasInput ||= messages.length > 0
      // Nothing more is said in a run that has ended; its background operations may still report.
      this.#isFinal ||= change.endSeq !== undefined
    } catch (error) {
      metrics.checkpointsFailed.add()
      this.#pending = { ...change, ...this.#pending }
      this.touch()
      throw error
    }
  }

  /** The question, once, and the answer as far as the log has it. */
  async #messages(): Promise<readonly StoredMessage[]> {
    const { log, run } = this.#options
    const { messages } = await log.snapshot(run.thread)
    return messages.filter(
      ({ message }) => message.runId === run.id && !(this.#hasInput && message.role === 'user'),
    )
  }
}

/** The messages of both, those of `now` where both have one. */
function newest(before: readonly StoredMessage[], now: readonly StoredMessage[]): readonly StoredMessage[] {
  if (before.length === 0) return now
  const ids = new Set(now.map(({ message }) => message.id))
  return [...before.filter(({ message }) => !ids.has(message.id)), ...now]
}
