import { randomUUID } from 'node:crypto'
import { type AgentEvent, type Message, type MessageInput, textOf } from '@turnpike/protocol'
import { untilAborted } from './abortable.ts'
import type { ApprovalDecision } from './approvals.ts'
import { MemoryArtifactStore, createArtifacts } from './artifacts.ts'
import { type BackgroundOperation, type Principal, type RunContext, inRun } from './context.ts'
import { LocalApprovals, type OnApproval } from './local-approvals.ts'
import { InMemoryMemoryStore, createMemories } from './memories.ts'
import { type LocalResult, RunRecord } from './run-record.ts'
import type { AgentYield, RunInput, RunOutcome, RunSettings } from './runnable.ts'
import { YieldQueue } from './yield-queue.ts'

/** What an agent is asked: text, or a message with files. */
export type Prompt = string | { readonly message: MessageInput }

/** A run outside of any gateway. */
export interface LocalRunOptions extends RunSettings {
  readonly signal?: AbortSignal
  /** The caller's own key for the model. */
  readonly apiKey?: string
  /** @default the principal `anonymous` */
  readonly principal?: Principal
  /** What was said before, oldest first. */
  readonly history?: readonly Message[]
  /** Decides on calls that need approval; without it they are denied. */
  readonly onApproval?: OnApproval
}

/** The text and the events of a run as they come, and what it comes to. */
export interface LocalStream extends AsyncIterable<AgentYield> {
  readonly result: Promise<LocalResult>
}

type Start = (input: RunInput, context: RunContext) => AsyncGenerator<AgentYield, RunOutcome>

/** Runs an agent in this process, with nothing kept: no log, no thread, no store. */
export class LocalRun {
  readonly context: RunContext
  readonly #options: LocalRunOptions
  readonly #abort = new AbortController()
  readonly #queue = new YieldQueue()
  readonly #record = new RunRecord()
  readonly #approvals: LocalApprovals

  constructor(options: LocalRunOptions) {
    const { signal, apiKey, principal = { id: 'anonymous' }, onApproval } = options
    const emit = (event: AgentEvent): void => this.#take(event)
    this.#options = options
    this.#approvals = new LocalApprovals(onApproval ?? (() => false))
    this.context = {
      runId: randomUUID(),
      threadId: randomUUID(),
      principal,
      signal: signal ? AbortSignal.any([signal, this.#abort.signal]) : this.#abort.signal,
      emit,
      background: (name, work) => this.#background(name, work),
      approvals: this.#approvals,
      artifacts: createArtifacts({ store: new MemoryArtifactStore(), emit }),
      memories: createMemories({ store: new InMemoryMemoryStore(), emit }),
      ...(apiKey !== undefined && { apiKey }),
    }
  }

  start(prompt: Prompt, run: Start): LocalStream {
    const result = this.#drive(inputOf(prompt, this.#options), run)
    result.then(
      () => this.#queue.end(),
      (error: unknown) => this.#queue.end({ error }),
    )
    const stop = (): void => this.#abort.abort(new DOMException('Nobody reads the run.', 'AbortError'))
    return { result, [Symbol.asyncIterator]: () => this.#queue.read(stop) }
  }

  async #drive(input: RunInput, run: Start): Promise<LocalResult> {
    const { signal } = this.context
    let outcome = await this.#pull(run(input, this.context))
    while (outcome.parked && !signal.aborted) {
      const decisions = await this.#decisions()
      const resume = { state: outcome.parked.state, decisions }
      outcome = await this.#pull(run({ ...input, resume }, this.context))
    }
    const finishReason = signal.aborted ? 'cancelled' : (outcome.finishReason ?? 'stop')
    return this.#record.result(finishReason, outcome)
  }

  /** Who decides does not hold a run that was stopped. */
  async #decisions(): Promise<ApprovalDecision[]> {
    const { signal } = this.context
    try {
      return await untilAborted(this.#approvals.decided(), signal)
    } catch (error) {
      if (signal.aborted) return []
      throw error
    }
  }

  #pull(yields: AsyncGenerator<AgentYield, RunOutcome>): Promise<RunOutcome> {
    return inRun(this.context, async () => {
      for (;;) {
        const next = await yields.next()
        if (next.done) return next.value
        this.#take(next.value)
      }
    })
  }

  #take(value: AgentYield): void {
    this.#record.take(value)
    this.#queue.push(value)
  }

  /** Goes on after the run; what it reports then reaches nobody. */
  #background(name: string, work: (operation: BackgroundOperation) => Promise<void>): string {
    const id = randomUUID()
    let progress = 0
    const report = (status: 'running' | 'done' | 'failed', message?: string): void =>
      this.#take({
        type: 'run-update',
        background: { id, name, status, progress, ...(message !== undefined && { message }) },
      })
    const update = (value: number, message?: string): void => {
      progress = Math.min(1, Math.max(0, Number.isFinite(value) ? value : progress))
      report('running', message)
    }
    report('running')
    void Promise.resolve()
      .then(() => work({ id, signal: this.context.signal, update }))
      .then(
        () => {
          progress = 1
          report('done')
        },
        () => report('failed'),
      )
    return id
  }
}

function inputOf(prompt: Prompt, { history = [], temperature, maxTokens }: LocalRunOptions): RunInput {
  const input = typeof prompt === 'string' ? prompt : prompt.message
  const parts = typeof input === 'string' ? [{ type: 'text' as const, text: input }] : input.parts
  const message: Message = { id: randomUUID(), role: 'user', parts, status: 'done', createdAt: Date.now() }
  const settings = {
    ...(temperature !== undefined && { temperature }),
    ...(maxTokens !== undefined && { maxTokens }),
  }
  return { text: textOf(message), message, history, settings }
}
