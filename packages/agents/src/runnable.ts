import type { AgentEvent, FinishReason, Message, Usage } from '@turnpike/protocol'
import type { ApprovalDecision } from './approvals.ts'
import type { RunContext } from './context.ts'

/** What one run asks of its model, over what the agent says. */
export interface RunSettings {
  readonly temperature?: number | undefined
  /** Tokens that one call of the model may answer with. */
  readonly maxTokens?: number | undefined
}

/** What one member of a team, or one step of a workflow, has answered. */
export interface MemberAnswer {
  readonly agent: string
  readonly text: string
  /** The checked answer, where the agent has an `output`. */
  readonly output?: unknown
}

/** What a run gives its agent. */
export interface RunInput {
  /** The user's message as text; files are in `message`. */
  readonly text: string
  readonly message: Message
  /** The messages of the thread before this one, oldest first. */
  readonly history: readonly Message[]
  /** Absent where a parked run goes on: it has them in its state. */
  readonly settings?: RunSettings
  /** In a team: what the members before this one have answered to the same message. `text` and `message` have it, too. */
  readonly earlier?: readonly MemberAnswer[]
  /** Present where a parked run goes on: what it left behind, and what was decided since. */
  readonly resume?: { readonly state: unknown; readonly decisions: readonly ApprovalDecision[] }
}

/** How a run ended, where an agent wants to say more than "stop". */
export interface RunOutcome<Output = unknown> {
  readonly finishReason?: Exclude<FinishReason, 'cancelled' | 'interrupted'>
  readonly usage?: Usage & { readonly providerMetrics?: unknown }
  /**
   * Does not end the run but parks it: nothing of it runs until every approval it opened is decided; then `run` is
   * called again with this, which has to be JSON, as `resume.state`.
   */
  readonly parked?: { readonly state: unknown }
  /** What the answer holds, for who runs this agent within something larger; the text alone goes to clients. */
  readonly output?: Output
}

/** What an agent yields: text of the answer, or an event. */
export type AgentYield = string | AgentEvent

export type RunnableKind = 'agent' | 'team' | 'workflow'

/** What a listing tells about one. */
export interface RunnableInfo {
  readonly name: string
  readonly kind: RunnableKind
  readonly description?: string
  readonly model: string | null
  readonly provider: string | null
  readonly tools: readonly string[]
  readonly hasStructuredOutput?: boolean
  /** Of a team: how its members work together. */
  readonly mode?: string
  /** Of a team: the names of its members. */
  readonly members?: readonly string[]
  /** Of a workflow: the names of its steps; one within another is `outer/inner`. */
  readonly steps?: readonly string[]
}

/** A call of a tool that a client asks for itself, with no model in between. */
export interface DirectCall {
  readonly tool: string
  /** JSON. */
  readonly args: unknown
}

/** Anything the gateway can run. */
export interface Runnable<Output = unknown> {
  readonly name: string
  readonly info: RunnableInfo
  /**
   * Answers one message.
   *
   * Runs inside the asynchronous context of its run, so `emit` works at any depth. When `context.signal` aborts it
   * should end soon; what it yields after that is dropped, and after a grace time it is abandoned.
   */
  run(input: RunInput, context: RunContext): AsyncIterable<AgentYield, RunOutcome<Output> | void>
  /**
   * Calls one of its tools in place of an answer. Absent where nobody may.
   *
   * @throws GatewayError `unknown-tool` | `invalid-arguments` | `approval-required`, and as the tool fails
   */
  callTool?(call: DirectCall, context: RunContext): AsyncIterable<AgentYield, RunOutcome | void>
}
