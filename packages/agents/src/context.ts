import { AsyncLocalStorage } from 'node:async_hooks'
import type { AgentEvent } from '@turnpike/protocol'
import type { Approvals } from './approvals.ts'
import type { Artifacts } from './artifacts.ts'
import type { Memories } from './memories.ts'
import type { RemoteTools } from './remote-tools.ts'

/** Who a run belongs to; `anonymous` where nobody has to authenticate. */
export interface Principal {
  readonly id: string
  readonly email?: string
  readonly name?: string
  readonly roles?: readonly string[]
  readonly permissions?: readonly string[]
  readonly metadata?: Readonly<Record<string, unknown>>
}

/** A background operation as the code that does it sees it. */
export interface BackgroundOperation {
  readonly id: string
  /** Aborts when the run is cancelled, also after the run has ended. */
  readonly signal: AbortSignal
  /** Reports how far it is, 0 to 1. */
  readonly update: (progress: number, message?: string) => void
}

/** What an agent knows of the run it is in, and how it reports from there. */
export interface RunContext {
  readonly runId: string
  readonly threadId: string
  readonly principal: Principal
  /** Aborts on cancel, timeout and drain. */
  readonly signal: AbortSignal
  /**
   * Adds an event to the thread's log; dropped once the run has ended. One that is no event ends the run in an error.
   */
  readonly emit: (event: AgentEvent) => void
  /**
   * Starts work that outlives the answer: it has its own id, does not hold the thread, and reports as `run-update`.
   * Once the run has ended or was stopped, it is cancelled as it starts.
   *
   * @returns The operation's id.
   */
  readonly background: (name: string, work: (operation: BackgroundOperation) => Promise<void>) => string
  readonly approvals: Approvals
  readonly artifacts: Artifacts
  readonly memories: Memories
  /** Tools that others bring while they are connected; absent where nobody can. */
  readonly remoteTools?: RemoteTools
  /** The caller's own key for the model; lives in this run's memory only. */
  readonly apiKey?: string
}

const storage = new AsyncLocalStorage<RunContext>()

/** Runs `work` so that {@link currentRun} and {@link emit} find `context` at any depth of it. */
export function inRun<Result>(context: RunContext, work: () => Result): Result {
  return storage.run(context, work)
}

/** The run that the calling code works for; undefined outside of one. */
export function currentRun(): RunContext | undefined {
  return storage.getStore()
}

/**
 * Adds an event to the log of the run that the calling code works for, from any depth.
 *
 * @throws Error outside of a run
 */
export function emit(event: AgentEvent): void {
  const context = currentRun()
  if (!context) throw new Error('emit() works inside a run only; here there is none.')
  context.emit(event)
}
