import { randomUUID } from 'node:crypto'
import {
  type Agent,
  type AgentYield,
  type BackgroundOperation,
  type Principal,
  type RunContext,
  type RunOutcome,
  inRun,
} from '@turnpike/agents'
import {
  type AgentEvent,
  type CancelStatus,
  type EventPayload,
  type Limits,
  type Message,
  GatewayError,
  LIMITS,
  textOf,
} from '@turnpike/protocol'
import type { ThreadRef } from './access.ts'
import { checkAgentEvent, splitText } from './agent-events.ts'
import { Background } from './background.ts'
import type { EventLog } from './event-log.ts'
import type { Logger } from './logger.ts'
import type { EventDraft } from './thread-window.ts'
import type { TimerWheel } from './timer-wheel.ts'

/** Yields in a row after which the agent lets the event loop turn, so that none can keep the process to itself. */
const YIELDS_PER_TURN = 64

export interface RunOptions {
  readonly id: string
  readonly thread: ThreadRef
  readonly principal: Principal
  readonly agent: Agent
  readonly input: Message
  readonly log: EventLog
  readonly limits: Limits
  readonly wheel: TimerWheel
  readonly logger: Logger
  /** Called once the last event is in the log. */
  readonly onEnd: (run: Run) => Promise<void>
}

type StopReason = 'cancelled' | 'interrupted' | 'timeout'

/**
 * One attempt of one agent at one message: `start`, what the agent reports, and exactly one `finish` or `error`.
 *
 * The gateway is the only one to write the borders. However the agent behaves, whether it returns, throws, hangs or
 * ignores its signal, {@link Run.end} happens once and nothing is logged for the run after it but what its background
 * operations report.
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
  #state: 'queued' | 'running' | 'ended' = 'queued'
  #stopReason: StopReason | undefined
  #outcome: CancelStatus = 'cancelling'
  #answer = ''
  #steps = 0
  #usage = { inputTokens: 0, outputTokens: 0 }
  #stopTimer: () => void = () => {}

  constructor(options: RunOptions) {
    this.#options = options
    this.id = options.id
    this.thread = options.thread
    this.input = options.input
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

  get state(): 'queued' | 'running' | 'ended' {
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
    if (this.#stopReason) return this.#endStopped()
    this.#deadline(this.#options.limits.runMs, () => this.stop('timeout'))
    const context = this.#context()
    void inRun(context, () => this.#drive(history, context))
  }

  /**
   * Asks the run to stop. The agent's signal aborts at once; an agent that does not end within the grace time is
   * abandoned. Background operations end with it, also where the run itself has ended already.
   */
  stop(reason: StopReason): CancelStatus {
    for (const operation of [...this.#operations]) operation.cancel()
    if (this.#state === 'queued') this.#ignoreFailure(this.#endUnstarted(reason))
    if (this.#state !== 'running' || this.#stopReason) return this.#outcome
    this.#stopReason = reason
    this.#deadline(this.#options.limits.graceMs, () => this.#endStopped())
    this.#abort.abort(new DOMException(`The run was stopped: ${reason}.`, 'AbortError'))
    return this.#outcome
  }

  /** Ends the run because the server could not begin it. */
  async fail(cause: unknown): Promise<void> {
    if (this.#state === 'queued') {
      this.#state = 'running'
      await this.#logStart()
    }
    this.#endFailed(new GatewayError('internal', 'The run could not be started.', { cause }))
  }

  /** Ended before it began: observers still see its message, and that nothing came of it. */
  async #endUnstarted(reason: StopReason): Promise<void> {
    this.#state = 'running'
    this.#outcome = 'cancelled'
    this.#stopReason = reason
    await this.#logStart()
    this.#endStopped()
  }

  async #logStart(): Promise<void> {
    const { agent } = this.#options
    const { input } = this
    const { messageId } = this
    this.#started.resolve(await this.#append({ type: 'start', agent: agent.name, input, messageId }))
  }

  async #drive(history: readonly Message[], context: RunContext): Promise<void> {
    const { agent } = this.#options
    const { input } = this
    try {
      const yields = agent.run({ text: textOf(input), message: input, history }, context)
      this.#endFinished(await this.#pull(yields[Symbol.asyncIterator]()))
    } catch (error) {
      if (this.#stopReason) this.#endStopped()
      else this.#endFailed(error)
    }
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
        this.#take(next.value)
      } catch (error) {
        // Not awaited: its clean-up is its own, and may take longer than the run.
        this.#ignoreFailure(agent.return?.())
        throw error
      }
      if (count % YIELDS_PER_TURN === 0) await new Promise(setImmediate)
    }
  }

  #context(): RunContext {
    const { id, thread, principal } = this.#options
    return {
      runId: id,
      threadId: thread.id,
      principal,
      signal: this.#abort.signal,
      emit: (event) => this.#take(event),
      background: (name, work) => this.#startBackground(name, work),
    }
  }

  /** After a stop no more text is taken; what closes things, such as the error of a tool, still is. */
  #take(value: AgentYield): void {
    if (this.#state === 'ended') return
    if (typeof value === 'string') return this.#takeText(value, 'answer')
    const event = checkAgentEvent(value)
    if (event.type === 'text-delta') return this.#takeText(event.delta, event.channel)
    if (event.type === 'tool-call-args' && this.#stopReason) return
    this.#count(event)
    this.#log({ ...event, runId: this.id })
  }

  #takeText(text: string, channel: 'answer' | 'reasoning'): void {
    if (this.#stopReason) return
    if (channel === 'answer') {
      this.#answer += text
      const { answerChars } = this.#options.limits
      if (this.#answer.length > answerChars) {
        throw new GatewayError('output-too-large', `The answer exceeds ${answerChars} characters.`)
      }
    }
    if (text.length <= LIMITS.deltaChars) this.#logDelta(text, channel)
    else for (const delta of splitText(text)) this.#logDelta(delta, channel)
  }

  #logDelta(delta: string, channel: 'answer' | 'reasoning'): void {
    if (delta !== '') this.#log({ type: 'text-delta', runId: this.id, delta, channel })
  }

  #count(event: AgentEvent): void {
    if (event.type === 'step-start') this.#steps++
    if (event.type !== 'step-finish') return
    this.#usage.inputTokens += event.usage.inputTokens
    this.#usage.outputTokens += event.usage.outputTokens
  }

  #startBackground(name: string, work: (operation: BackgroundOperation) => Promise<void>): string {
    const operation = new Background({
      name,
      work,
      report: (background) => this.#log({ type: 'run-update', runId: this.id, background }),
      onEnd: (error) => {
        this.#operations.delete(operation)
        if (error) this.#options.logger.error({ runId: this.id, error }, 'a background operation failed')
      },
    })
    this.#operations.add(operation)
    operation.start()
    return operation.id
  }

  #endFinished(outcome: RunOutcome): void {
    if (this.#stopReason) return this.#endStopped()
    this.#finish(outcome.finishReason ?? 'stop', outcome.usage)
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
    this.#end(stopped ? 'cancelled' : 'done', {
      type: 'finish',
      agent: this.#options.agent.name,
      finishReason,
      text: this.#answer,
      steps: this.#steps,
      usage: usage ?? this.#usage,
    })
  }

  /** What the agent threw goes to the log of the server; clients get a code and a message that is safe to show. */
  #endFailed(error: unknown): void {
    const shown =
      error instanceof GatewayError
        ? error
        : new GatewayError('agent-failed', 'The agent failed.', { cause: error })
    if (this.#state !== 'ended') {
      this.#options.logger.error({ runId: this.id, agent: this.#options.agent.name, error }, 'a run failed')
    }
    const { code, message } = shown
    this.#end('failed', { type: 'error', agent: this.#options.agent.name, error: { code, message } })
  }

  #end(outcome: CancelStatus, terminal: EventPayload): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.#outcome = outcome
    this.#stopTimer()
    // What the agent has started elsewhere learns that nobody waits for it.
    if (outcome === 'failed') this.#abort.abort(new DOMException('The run has failed.', 'AbortError'))
    this.#ignoreFailure(this.#settle(terminal))
  }

  async #settle(terminal: EventPayload): Promise<void> {
    try {
      this.#ended.resolve(await this.#append(terminal))
      await this.#options.onEnd(this)
    } finally {
      this.#settled.resolve()
    }
  }

  #ignoreFailure(work: Promise<unknown> | undefined): void {
    work?.catch((error: unknown) =>
      this.#options.logger.error({ runId: this.id, error }, 'after the end of a run'),
    )
  }

  /** Appends without waiting; a log that is elsewhere and refuses ends the run. */
  #log(draft: EventDraft): void {
    const appended = this.#options.log.append(this.thread, draft)
    if (appended instanceof Promise) appended.catch((error: unknown) => this.#endFailed(error))
  }

  #append(payload: EventPayload): number | Promise<number> {
    return this.#options.log.append(this.thread, { ...payload, runId: this.id })
  }

  #deadline(delayMs: number, task: () => void): void {
    this.#stopTimer()
    this.#stopTimer = this.#options.wheel.schedule(delayMs, task)
  }
}
