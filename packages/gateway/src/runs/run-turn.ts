import type { AgentYield, RunContext, RunInput, RunOutcome, Runnable } from '@turnpike/agents'
import { GatewayError, textOf } from '@turnpike/protocol'
import { frozen } from './frozen.ts'
import type { RunRecord } from '../stores/store.ts'

/** What a run goes on from: its thread, or what it has left when it was parked. */
export type TurnInput = Pick<RunInput, 'history' | 'resume'>

/**
 * Has an agent answer, or make the one call that a run is for.
 *
 * @throws GatewayError `unknown-agent`, or `unknown-tool` where its tools cannot be called directly
 */
export function takeTurn(
  agent: Runnable | undefined,
  { record, context }: { readonly record: RunRecord; readonly context: RunContext },
  input: TurnInput,
): AsyncIterable<AgentYield, RunOutcome | void> {
  const { input: message, settings, toolCall } = record
  if (!agent) throw new GatewayError('unknown-agent', 'There is no agent of that name any more.')
  if (toolCall && !agent.callTool) {
    throw new GatewayError('unknown-tool', `"${agent.name}" has no tools that can be called directly.`)
  }
  if (toolCall && agent.callTool) return agent.callTool(toolCall, context)
  for (const earlier of input.history) frozen(earlier)
  // A parked run has its settings in its state.
  const asked = settings && !input.resume ? { settings } : {}
  return agent.run({ text: textOf(message), message, ...asked, ...input }, context)
}

/** Whether what ends a run is what its sender asked for, so that nobody but the sender has to know. */
export function isSendersFault({ toolCall }: RunRecord, error: unknown): boolean {
  return toolCall !== undefined && error instanceof GatewayError && REFUSED_CALLS.has(error.code)
}

const REFUSED_CALLS: ReadonlySet<string> = new Set(['unknown-tool', 'invalid-arguments', 'approval-required'])
