import type { AgentEvent, FinishReason, Message, Usage } from '@turnpike/protocol'
import type { ApprovalDecision } from './approvals.ts'
import type { RunContext } from './context.ts'

/** What a run gives its agent. */
export interface RunInput {
  /** The user's message as text; files are in `message`. */
  readonly text: string
  readonly message: Message
  /** The messages of the thread before this one, oldest first. */
  readonly history: readonly Message[]
  /** Present where a parked run goes on: what it left behind, and what was decided since. */
  readonly resume?: { readonly state: unknown; readonly decisions: readonly ApprovalDecision[] }
}

/** How a run ended, where an agent wants to say more than "stop". */
export interface RunOutcome {
  readonly finishReason?: Exclude<FinishReason, 'cancelled' | 'interrupted'>
  readonly usage?: Usage & { readonly providerMetrics?: unknown }
  /**
   * Does not end the run but parks it: nothing of it runs until every approval it opened is decided; then `run` is
   * called again with this, which has to be JSON, as `resume.state`.
   */
  readonly parked?: { readonly state: unknown }
}

/** What an agent yields: text of the answer, or an event. */
export type AgentYield = string | AgentEvent

/** What a listing tells about one. */
export interface RunnableInfo {
  readonly name: string
  readonly kind: 'agent' | 'team' | 'workflow'
  readonly description?: string
  readonly model: string | null
  readonly provider: string | null
  readonly tools: readonly string[]
  readonly hasStructuredOutput?: boolean
}

/** Anything the gateway can run. */
export interface Runnable {
  readonly name: string
  readonly info: RunnableInfo
  /**
   * Answers one message.
   *
   * Runs inside the asynchronous context of its run, so `emit` works at any depth. When `context.signal` aborts it
   * should end soon; what it yields after that is dropped, and after a grace time it is abandoned.
   */
  run(input: RunInput, context: RunContext): AsyncIterable<AgentYield, RunOutcome | void>
}
