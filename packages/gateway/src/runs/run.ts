import type { BackgroundOperation, RunContext, RunOutcome, Runnable } from '@turnpike/agents'
import { type RemoteTools, inRun } from '@turnpike/agents/host'
import {
  type AgentEvent,
  type CancelStatus,
  type EventPayload,
  type Message,
  GatewayError,
} from '@turnpike/protocol'
import type { ThreadRef } from '../stores/thread-ref.ts'
import type { ApprovalDesk } from './approvals.ts'
import { checkAgentEvent, checkOutcome } from './agent-events.ts'
import { pullAgent } from './agent-pull.ts'
import { BackgroundOperations, updateOf } from './background-operations.ts'
import { frozen } from './frozen.ts'
import { RunApprovals } from './run-approvals.ts'
import { createRunContext } from './run-context.ts'
import { RunJournal, type RunJournalOptions } from './run-journal.ts'
import type { RunObserver } from './run-observer.ts'
import { type Progress, RunRecorder } from './run-recorder.ts'
import { failureOf, finishOf, isSomething } from './run-terminal.ts'
import { type TurnInput, isSendersFault, takeTurn } from './run-turn.ts'
import type { ApprovalRecord, RunChange, RunRecord, Store } from '../stores/store.ts'
import type { EventDraft } from '../logs/thread-window.ts'

export interface RunOptions extends Omit<RunJournalOptions, 'run' | 'store' | 'current'> {
  readonly record: RunRecord
  /** Asked when the run begins or goes on. */
  readonly findAgent: (name: string) => Runnable | undefined
  readonly apiKey: string | undefined
  /** Settled once it is in the store. Nothing is told of a run that could not be stored. */
  readonly created: Promise<void>
  readonly store: Store
  readonly remoteTools?: RemoteTools
  readonly desk: ApprovalDesk
  readonly observe: RunObserver
  /** Called once the last event is in the log. */
  readonly onEnd: (run: Run) => void
  /** Called when the last background operation of an ended run has ended. */
  readonly onIdle: (run: Run) => void
  /** Called when it waits for approval, and nothing of it runs. */
  readonly onPark: (run: Run) => void
  /** Called when a parked run could go on; `goOn` has it do so. */
  readonly onReady: (run: Run, goOn: () => void) => void
}

/** What a parked run leaves in the store. */
interface Parked {
  readonly state: unknown
  readonly progress: Progress
  /** What has to be decided before it goes on. */
  readonly approvals: readonly string[]
}

type StopReason = 'cancelled' | 'interrupted' | 'timeout'

/**
 * One attempt of one agent at one message: `start`, what the agent reports, and exactly one `finish` or `error`.
 *
 * The gateway is the only one to write the borders. However the agent behaves, whether it returns, throws, hangs or
 * ignores its signal, the run ends once, and nothing is logged for it after that but what its background operations
 * report. A run that only waits for approvals is parked: nothing of it runs until they are decided.
 */
export class Run {
  readonly record: RunRecord
  readonly #options: RunOptions
  readonly #started = Promise.withResolvers<number>()
  readonly #ended = Promise.withResolvers<number>()
  readonly #rested = Promise.withResolvers<void>()
  readonly #abort = new AbortController()
  readonly #operations: BackgroundOperations
  readonly #approvals: RunApprovals
  readonly #journal: RunJournal
  readonly #context: RunContext
  #recorder: RunRecorder
  #state: 'queued' | 'running' | 'parked' | 'ended' = 'queued'
  /** What a parked run goes on from; JSON. */
  #parked = ''
  /** The server is shutting down: what becomes of the run where it is parked. */
  #leaving: 'kept' | 'ended' | undefined
  /** Present while `start` is on its way into the log, or where it did not get there. */
  #starting: Promise<void> | undefined
  #stopReason: StopReason | undefined
  #outcome: CancelStatus = 'cancelling'
  #stopTimer: () => void = () => {}

  constructor(options: RunOptions) {
    const { record, limits, desk, logger } = options
    this.#options = options
    this.record = { ...record, input: frozen(record.input) }
    const log = (payload: EventPayload): void => this.#log({ ...payload, runId: this.id })
    this.#recorder = this.#createRecorder()
    this.#journal = new RunJournal({
      ...options,
      run: record,
      store: options.store.runs,
      current: () => ({ background: this.#operations.latest, ...this.#usageSoFar }),
    })
    this.#approvals = new RunApprovals({ desk, run: record, log, onAllDecided: () => this.#resume() })
    this.#operations = new BackgroundOperations({
      report: (background) => log(updateOf(background)),
      check: (background) => void checkAgentEvent(updateOf(background), limits),
      onFailure: (error) => logger.error({ runId: this.id, error }, 'a background operation failed'),
      onChange: () => this.#onBackgroundChange(),
    })
    this.#context = this.#createContext()
    // Whoever waits for them is told; but nobody has to.
    this.#started.promise.catch(() => {})
    this.#ended.promise.catch(() => {})
  }

  get id(): string {
    return this.record.id
  }

  get thread(): ThreadRef {
    return this.record.thread
  }

  /** Resolves with the `seq` of `start`. */
  get started(): Promise<number> {
    return this.#started.promise
  }

  /** Resolves with the `seq` of the terminal event. */
  get ended(): Promise<number> {
    return this.#ended.promise
  }

  /** Resolves once it has ended and is stored, or is parked for good. */
  get rested(): Promise<void> {
    return this.#rested.promise
  }

  /** Resolves once what it has come to so far is stored. */
  get stored(): Promise<void> {
    return this.#journal.written
  }

  get state(): 'queued' | 'running' | 'parked' | 'ended' {
    return this.#state
  }

  /** How it ended, or that it is being stopped. */
  get outcome(): CancelStatus {
    return this.#outcome
  }

  /** Whether operations of it still go on. */
  get hasBackground(): boolean {
    return !this.#operations.isEmpty
  }

  /**
   * Logs `start` and lets the agent run; the agent goes on in the background.
   *
   * @throws what keeps `start` from being logged; the run is given up then, and nothing is told of it
   */
  async start(history: readonly Message[]): Promise<void> {
    if (this.#state !== 'queued') return
    this.#state = 'running'
    await this.#logStart()
    if (this.#stopReason) this.#endStopped()
    else this.#drive({ history })
  }

  /**
   * Asks the run to stop. The agent's signal aborts at once; an agent that does not end within the grace time is
   * abandoned. Background operations end with it, also where the run itself has ended already.
   */
  stop(reason: StopReason): CancelStatus {
    this.#operations.cancel()
    if (this.#state === 'ended' || this.#stopReason) return this.#outcome
    const { limits } = this.#options
    this.#stopReason = reason
    this.#recorder.stop()
    this.#deadline(limits.graceMs, () => this.#endStopped())
    this.#abort.abort(new DOMException(`The run was stopped: ${reason}.`, 'AbortError'))
    if (this.#state === 'parked') this.#endStopped()
    if (this.#state === 'queued') this.#reportFailure(this.#endUnstarted())
    return this.#outcome
  }

  /** Its turn has come: from here on a restart does not begin it again, but counts it as lost. */
  willBegin(): Promise<void> {
    return this.#options.created.then(() => this.#journal.write({ state: 'running' }))
  }

  /** Ends the run because the server could not begin it: `start`, and the error. */
  async fail(cause: unknown): Promise<void> {
    if (this.#state !== 'queued') return
    this.#state = 'running'
    await this.#logStart()
    const isRefused = cause instanceof GatewayError && cause.code === 'budget-exhausted'
    this.#endFailed(
      isRefused ? cause : new GatewayError('internal', 'The run could not be started.', { cause }),
    )
  }

  /** Ends what still goes on of it beside its answer. */
  cancelBackground(): void {
    this.#operations.cancel()
  }

  /**
   * Goes on waiting, as it did in the process before this one.
   *
   * @param told - The approvals whose decision has been logged.
   */
  restore(approvals: readonly ApprovalRecord[], told: ReadonlySet<string>): void {
    const { startSeq = 0, parked } = this.record
    this.#loseBackground()
    const { state, progress, approvals: asked } = JSON.parse(parked ?? 'null') as Parked
    this.#started.resolve(startSeq)
    this.#recorder = this.#createRecorder(progress)
    this.#parked = JSON.stringify(state)
    this.#state = 'parked'
    const mine = approvals.filter(({ id }) => asked.includes(id))
    this.#approvals.restore(mine, told)
    this.#resume()
  }

  /** Ends what the process before this one left open: the run, what it asked for, and what it did in the background. */
  async lose(approvals: readonly ApprovalRecord[]): Promise<void> {
    const { startSeq, endSeq } = this.record
    this.#loseBackground()
    this.#state = endSeq === undefined ? 'running' : 'ended'
    if (endSeq !== undefined) return this.#journal.write({ endSeq })
    if (startSeq === undefined) await this.#logStart()
    else this.#started.resolve(startSeq)
    const undecided = approvals.filter(({ decision }) => !decision)
    this.#approvals.restore(undecided, new Set())
    this.#endFailed(new GatewayError('run-lost', 'The server that ran this was lost.'))
    await this.rested
  }

  /** The server is shutting down: once parked, the run is kept for the next process, or else ends. */
  leave(as: 'kept' | 'ended'): void {
    this.#leaving = as
    if (this.#state === 'parked') this.#leaveParked()
  }

  #leaveParked(): void {
    if (this.#leaving === 'ended') this.stop('interrupted')
    // What was told since the last checkpoint, too: the log ends with this process.
    else this.#journal.write().then(this.#rested.resolve, this.#rested.resolve)
  }

  /** Ended before it began: observers still see its message, and that nothing came of it. */
  async #endUnstarted(): Promise<void> {
    this.#state = 'running'
    this.#outcome = 'cancelled'
    await this.#logStart()
    this.#endStopped()
  }

  #logStart(): Promise<void> {
    this.#starting = this.#logStartOnce()
    return this.#starting
  }

  async #logStartOnce(): Promise<void> {
    const { agent, input, messageId } = this.record
    try {
      await this.#options.created
      const startSeq = await this.#append({ type: 'start', agent, input, messageId })
      this.#journal.checkpoint({ state: 'running', startSeq })
      this.#started.resolve(startSeq)
      this.#starting = undefined
    } catch (error) {
      this.#giveUp(error)
      throw error
    }
  }

  /** There is nothing in the log to be ended. */
  #giveUp(error: unknown): void {
    this.#state = 'ended'
    this.#outcome = 'failed'
    this.#stopTimer()
    this.#approvals.withdraw()
    this.#recorder.close()
    this.#started.reject(error)
    this.#ended.reject(error)
    this.#options.onEnd(this)
    const given = (): Promise<void> => this.#journal.write({ state: 'failed' })
    this.#options.created.then(given).then(this.#rested.resolve, this.#rested.resolve)
  }

  #loseBackground(): void {
    for (const operation of this.record.background ?? []) {
      this.#log({ ...updateOf({ ...operation, status: 'failed' }), runId: this.id })
    }
  }

  #drive(input: TurnInput): void {
    const { limits, findAgent } = this.#options
    this.#deadline(limits.runMs, () => this.stop('timeout'))
    const drive = async (): Promise<void> => {
      try {
        const run = { record: this.record, context: this.#context }
        const yields = takeTurn(findAgent(this.record.agent), run, input)
        const outcome = await pullAgent(yields[Symbol.asyncIterator](), {
          take: (value) => this.#recorder.take(value),
          isOver: () => this.#state === 'ended' || this.#stopReason !== undefined,
          onFailure: (error) => this.#logFailure(error),
        })
        this.#conclude(outcome)
      } catch (error) {
        if (this.#stopReason) this.#endStopped()
        else this.#endFailed(error)
      }
    }
    void inRun(this.#context, drive)
  }

  #conclude(outcome: RunOutcome): void {
    if (this.#state === 'ended') return
    if (this.#stopReason) this.#endStopped()
    else if (outcome.parked) this.#park(outcome.parked.state)
    else {
      const ending = { finishReason: outcome.finishReason, usage: outcome.usage }
      const { finishReason = 'stop', usage } = checkOutcome(ending, this.#options.limits)
      this.#finish(finishReason, usage)
    }
  }

  #park(state: unknown): void {
    const { progress } = this.#recorder
    const parked: Parked = { state: state ?? null, progress, approvals: this.#approvals.asked }
    this.#parked = JSON.stringify(parked.state)
    this.#state = 'parked'
    this.#stopTimer()
    this.#journal.checkpoint({ state: 'parked', parked: JSON.stringify(parked) })
    this.#options.onPark(this)
    if (this.#leaving) this.#leaveParked()
    else this.#resume()
  }

  /** Goes on with a parked run, if nothing is left to be decided. */
  #resume(): void {
    if (this.#isReady) this.#options.onReady(this, () => this.#goOn())
  }

  get #isReady(): boolean {
    return this.#state === 'parked' && !this.#approvals.isOpen && !this.#leaving
  }

  #goOn(): void {
    if (!this.#isReady) return
    const decisions = this.#approvals.take()
    if (decisions.length === 0)
      return this.#endFailed(new Error('The agent parked without asking for an approval.'))
    this.#state = 'running'
    const resume = { state: JSON.parse(this.#parked) as unknown, decisions }
    this.#parked = ''
    // Stored first: what was approved is done once, even where the process dies meanwhile.
    this.#journal.write({ state: 'running', parked: null }).then(
      () => (this.#stopReason ? this.#endStopped() : this.#drive({ history: [], resume })),
      (error: unknown) => this.#endFailed(error),
    )
  }

  #endStopped(): void {
    if (this.#stopReason !== 'timeout') return this.#finish(this.#stopReason ?? 'cancelled')
    this.#endFailed(
      new GatewayError('run-timeout', `The run took longer than ${this.#options.limits.runMs} ms.`),
    )
  }

  #finish(
    finishReason: 'cancelled' | 'interrupted' | NonNullable<RunOutcome['finishReason']>,
    usage?: RunOutcome['usage'],
  ): void {
    const stopped = finishReason === 'cancelled' || finishReason === 'interrupted'
    const ending = finishOf(this.record.agent, this.#recorder, { finishReason, usage })
    this.#end(stopped ? 'cancelled' : 'done', ending)
  }

  /** What the agent threw goes to the log of the server. */
  #endFailed(error: unknown): void {
    if (this.#state === 'ended') return
    const { agent } = this.record
    this.#end('failed', failureOf(agent, error))
    if (isSendersFault(this.record, error)) return
    this.#options.logger.error({ runId: this.id, agent, error }, 'a run failed')
  }

  #end(outcome: 'done' | 'cancelled' | 'failed', terminal: EventPayload): void {
    if (this.#state === 'ended') return
    // First of all: what is withdrawn below would otherwise let a parked run go on.
    this.#state = 'ended'
    this.#approvals.withdraw()
    this.#recorder.close()
    this.#outcome = outcome
    this.#stopTimer()
    // What the agent has started elsewhere learns that nobody waits for it.
    if (outcome === 'failed') this.#abort.abort(new DOMException('The run has failed.', 'AbortError'))
    this.#reportFailure(this.#settle(outcome, terminal))
  }

  async #settle(state: 'done' | 'cancelled' | 'failed', terminal: EventPayload): Promise<void> {
    try {
      if (this.#starting) await this.#starting
      const endSeq = await this.#append(terminal)
      this.#ended.resolve(endSeq)
      // The thread is free at once; the messages go to the store, and until then the log has them.
      this.#options.onEnd(this)
      const usage = terminal.type === 'finish' ? terminal.usage : this.#recorder.usage
      const ending =
        terminal.type === 'finish' ? { finishReason: terminal.finishReason, steps: terminal.steps } : {}
      const used = isSomething(usage) ? { usage } : {}
      await this.#journal.write({ state, endSeq, parked: null, ...used, ...ending })
    } catch (error) {
      this.#options.onEnd(this)
      throw error
    } finally {
      this.#rested.resolve()
    }
  }

  /** Counted before the run has ended, so that a budget knows of it, also where the process dies. */
  get #usageSoFar(): Pick<RunChange, 'usage'> {
    const { usage } = this.#recorder
    return this.#state !== 'ended' && isSomething(usage) ? { usage } : {}
  }

  #createRecorder(progress?: Progress): RunRecorder {
    const { limits } = this.#options
    return new RunRecorder({ runId: this.id, limits, log: (draft) => this.#log(draft) }, progress)
  }

  #createContext(): RunContext {
    return createRunContext({
      ...this.#options,
      signal: this.#abort.signal,
      approvals: this.#approvals,
      emit: (event) => this.#emit(event),
      background: (name, work) => this.#startBackground(name, work),
    })
  }

  /** May be called from anywhere, a timer of the agent's too: what is wrong ends the run and not the process. */
  #emit(event: AgentEvent): void {
    try {
      this.#recorder.take(event)
    } catch (error) {
      this.#endFailed(error)
    }
  }

  #startBackground(name: string, work: (operation: BackgroundOperation) => Promise<void>): string {
    const operation = this.#operations.start(name, work)
    // Nobody could cancel it any more.
    if (this.#stopReason || this.#state === 'ended') operation.cancel()
    return operation.id
  }

  #onBackgroundChange(): void {
    this.#journal.checkpoint()
    if (this.#state === 'ended' && !this.hasBackground) this.#options.onIdle(this)
  }

  /** Appends without waiting; a log that is elsewhere and refuses ends the run. */
  #log(draft: EventDraft): void {
    const appended = this.#options.log.append(this.thread, draft)
    if (draft.type === 'step-finish') this.#journal.checkpoint()
    else this.#journal.touch()
    if (draft.type !== 'text-delta') this.#options.observe(draft)
    if (appended instanceof Promise) appended.catch((error: unknown) => this.#endFailed(error))
  }

  /** Tells of it only once it is in the log. */
  async #append(payload: EventPayload): Promise<number> {
    const draft = { ...payload, runId: this.id }
    const seq = await this.#options.log.append(this.thread, draft)
    this.#options.observe(draft)
    return seq
  }

  #reportFailure(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#logFailure(error))
  }

  #logFailure(error: unknown): void {
    this.#options.logger.error({ runId: this.id, error }, 'a run failed where nobody waited for it')
  }

  #deadline(delayMs: number, task: () => void): void {
    this.#stopTimer()
    this.#stopTimer = this.#options.wheel.schedule(delayMs, task)
  }
}
