import { randomUUID } from 'node:crypto'
import {
  type AgentYield,
  type BackgroundOperation,
  type Principal,
  type RunContext,
  type RunInput,
  type RunOutcome,
  type Runnable,
  createArtifacts,
  createMemories,
  inRun,
} from '@turnpike/agents'
import {
  type AgentEvent,
  type CancelStatus,
  type EventOf,
  type EventPayload,
  type Limits,
  type Message,
  GatewayError,
  textOf,
} from '@turnpike/protocol'
import type { ThreadRef } from './access.ts'
import type { ApprovalDesk } from './approvals.ts'
import { checkAgentEvent, checkOutcome } from './agent-events.ts'
import { Background } from './background.ts'
import type { EventLog } from './event-log.ts'
import type { Logger } from './logger.ts'
import { RunApprovals } from './run-approvals.ts'
import { RunRecorder } from './run-recorder.ts'
import type { Store } from './store.ts'
import type { EventDraft } from './thread-window.ts'
import type { TimerWheel } from './timer-wheel.ts'

/** Yields in a row after which the agent lets the event loop turn, so that none can keep the process to itself. */
const YIELDS_PER_TURN = 64

export interface RunOptions {
  readonly id: string
  readonly thread: ThreadRef
  readonly principal: Principal
  readonly agent: Runnable
  readonly input: Message
  readonly apiKey: string | undefined
  readonly log: EventLog
  readonly store: Store
  readonly desk: ApprovalDesk
  readonly limits: Limits
  readonly wheel: TimerWheel
  readonly logger: Logger
  /** Called once the last event is in the log. */
  readonly onEnd: (run: Run) => Promise<void>
  /** Called when the last background operation of an ended run has ended. */
  readonly onIdle: (run: Run) => void
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
  readonly id: string
  readonly thread: ThreadRef
  readonly input: Message
  readonly messageId = randomUUID()
  readonly #options: RunOptions
  readonly #started = Promise.withResolvers<number>()
  readonly #ended = Promise.withResolvers<number>()
  readonly #settled = Promise.withResolvers<void>()
  readonly #abort = new AbortController()
  readonly #operations = new Set<Background>()
  readonly #approvals: RunApprovals
  readonly #recorder: RunRecorder
  readonly #context: RunContext
  #state: 'queued' | 'running' | 'parked' | 'ended' = 'queued'
  /** What a parked run goes on from; JSON. */
  #parkedState = ''
  #stopReason: StopReason | undefined
  #outcome: CancelStatus = 'cancelling'
  #stopTimer: () => void = () => {}

  constructor(options: RunOptions) {
    const { limits, desk, principal: owner } = options
    this.#options = options
    this.id = options.id
    this.thread = options.thread
    this.input = frozen(options.input)
    const log = (payload: EventPayload): void => this.#log({ ...payload, runId: this.id })
    this.#recorder = new RunRecorder({ runId: options.id, limits, log: (draft) => this.#log(draft) })
    this.#approvals = new RunApprovals({ desk, owner, log, onAllDecided: () => this.#resume() })
    this.#context = this.#createContext()
  }

  /** Resolves with the `seq` of `start`. */
  get started(): Promise<number> {
    return this.#started.promise
  }

  /** Resolves with the `seq` of the terminal event. */
  get ended(): Promise<number> {
    return this.#ended.promise
  }

  /** Resolves once its messages are stored, too. */
  get settled(): Promise<void> {
    return this.#settled.promise
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
    return this.#operations.size > 0
  }

  /** Logs `start` and lets the agent run; the agent goes on in the background. */
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
    for (const operation of [...this.#operations]) operation.cancel()
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

  /** Ends the run because the server could not begin it. */
  fail(cause: unknown): void {
    const error = new GatewayError('internal', 'The run could not be started.', { cause })
    const begun = this.#state === 'queued' ? this.#logStart() : Promise.resolve()
    if (this.#state === 'queued') this.#state = 'running'
    const end = (): void => this.#endFailed(error)
    this.#reportFailure(begun.then(end, end))
  }

  /** Ended before it began: observers still see its message, and that nothing came of it. */
  async #endUnstarted(): Promise<void> {
    this.#state = 'running'
    this.#outcome = 'cancelled'
    await this.#logStart().finally(() => this.#endStopped())
  }

  async #logStart(): Promise<void> {
    const { agent } = this.#options
    const { input, messageId } = this
    this.#started.resolve(await this.#append({ type: 'start', agent: agent.name, input, messageId }))
  }

  #drive(how: Pick<RunInput, 'history' | 'resume'>): void {
    const { limits, agent } = this.#options
    const message = this.input
    this.#deadline(limits.runMs, () => this.stop('timeout'))
    const drive = async (): Promise<void> => {
      try {
        for (const earlier of how.history) frozen(earlier)
        const yields = agent.run({ text: textOf(message), message, ...how }, this.#context)
        this.#conclude(await this.#pull(yields[Symbol.asyncIterator]()))
      } catch (error) {
        if (this.#stopReason) this.#endStopped()
        else this.#endFailed(error)
      }
    }
    void inRun(this.#context, drive)
  }

  async #pull(agent: AsyncIterator<AgentYield, RunOutcome | void>): Promise<RunOutcome> {
    for (let count = 1; ; count++) {
      const next = await agent.next()
      if (next.done) return next.value ?? {}
      if (this.#state === 'ended' || this.#stopReason) {
        await agent.return?.()
        return {}
      }
      try {
        this.#recorder.take(next.value)
      } catch (error) {
        // Not awaited: its clean-up is its own, and may take longer than the run.
        this.#reportFailure(agent.return?.())
        throw error
      }
      if (count % YIELDS_PER_TURN === 0) await new Promise(setImmediate)
    }
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
    this.#parkedState = JSON.stringify(state ?? null)
    this.#state = 'parked'
    this.#stopTimer()
    this.#resume()
  }

  /** Goes on with a parked run, if nothing is left to be decided. */
  #resume(): void {
    if (this.#state !== 'parked' || this.#approvals.isOpen) return
    const decisions = this.#approvals.take()
    if (decisions.length === 0)
      return this.#endFailed(new Error('The agent parked without asking for an approval.'))
    this.#state = 'running'
    const state: unknown = JSON.parse(this.#parkedState)
    this.#parkedState = ''
    this.#drive({ history: [], resume: { state, decisions } })
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
    const { answer, steps } = this.#recorder
    this.#end(stopped ? 'cancelled' : 'done', {
      type: 'finish',
      agent: this.#options.agent.name,
      finishReason,
      text: answer,
      steps,
      usage: usage ?? this.#recorder.usage,
    })
  }

  /** What the agent threw goes to the log of the server; clients get a code and a message that is safe to show. */
  #endFailed(error: unknown): void {
    if (this.#state === 'ended') return
    const { agent, logger } = this.#options
    const shown =
      error instanceof GatewayError
        ? error
        : new GatewayError('agent-failed', 'The agent failed.', { cause: error })
    const { code, message } = shown
    this.#end('failed', { type: 'error', agent: agent.name, error: { code, message } })
    logger.error({ runId: this.id, agent: agent.name, error }, 'a run failed')
  }

  #end(outcome: CancelStatus, terminal: EventPayload): void {
    if (this.#state === 'ended') return
    // First of all: what is withdrawn below would otherwise let a parked run go on.
    this.#state = 'ended'
    this.#approvals.withdraw()
    this.#recorder.close()
    this.#outcome = outcome
    this.#stopTimer()
    // What the agent has started elsewhere learns that nobody waits for it.
    if (outcome === 'failed') this.#abort.abort(new DOMException('The run has failed.', 'AbortError'))
    this.#reportFailure(this.#settle(terminal))
  }

  async #settle(terminal: EventPayload): Promise<void> {
    try {
      this.#ended.resolve(await this.#append(terminal))
    } finally {
      await this.#options.onEnd(this).finally(this.#settled.resolve)
    }
  }

  #createContext(): RunContext {
    const { id, thread, principal, apiKey, store } = this.#options
    const emit: RunContext['emit'] = (event) => this.#emit(event)
    return {
      runId: id,
      threadId: thread.id,
      principal,
      signal: this.#abort.signal,
      emit,
      background: (name, work) => this.#startBackground(name, work),
      approvals: this.#approvals,
      artifacts: createArtifacts({ store: store.artifacts(thread), emit }),
      memories: createMemories({ store: store.memories(thread), emit }),
      ...(apiKey !== undefined && { apiKey }),
    }
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
    const { limits, logger, onIdle } = this.#options
    checkAgentEvent(updateOf({ id: '', name, status: 'running', progress: 0 }), limits)
    const operation = new Background({
      name,
      work,
      report: (background) => this.#log({ ...updateOf(background), runId: this.id }),
      check: (background) => void checkAgentEvent(updateOf(background), limits),
      onEnd: (error) => {
        this.#operations.delete(operation)
        if (error) logger.error({ runId: this.id, error }, 'a background operation failed')
        if (this.#state === 'ended' && !this.hasBackground) onIdle(this)
      },
    })
    this.#operations.add(operation)
    operation.start()
    // Nobody could cancel it any more.
    if (this.#stopReason || this.#state === 'ended') operation.cancel()
    return operation.id
  }

  /** Appends without waiting; a log that is elsewhere and refuses ends the run. */
  #log(draft: EventDraft): void {
    const appended = this.#options.log.append(this.thread, draft)
    if (appended instanceof Promise) appended.catch((error: unknown) => this.#endFailed(error))
  }

  #append(payload: EventPayload): number | Promise<number> {
    return this.#options.log.append(this.thread, { ...payload, runId: this.id })
  }

  #reportFailure(work: Promise<unknown> | undefined): void {
    work?.catch((error: unknown) =>
      this.#options.logger.error({ runId: this.id, error }, 'after the end of a run'),
    )
  }

  #deadline(delayMs: number, task: () => void): void {
    this.#stopTimer()
    this.#stopTimer = this.#options.wheel.schedule(delayMs, task)
  }
}

function updateOf(background: EventOf<'run-update'>['background']): EventPayload & { type: 'run-update' } {
  return { type: 'run-update', background }
}

/** Agents are handed what the log and the store hold; a fact is nobody's to change. */
function frozen<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  Object.freeze(value)
  Object.values(value).forEach(frozen)
  return value
}
