import { randomUUID } from 'node:crypto'
import { GatewayError } from '@turnpike/protocol'
import type { RunContext } from './context.ts'
import type { AgentYield, DirectCall, RunOutcome } from './runnable.ts'
import type { CheckedCall, ToolCall, ToolCaller } from './tool-call.ts'

/**
 * Checks a call that no model has asked for, and nobody has approved.
 *
 * @throws GatewayError `approval-required`, and as `check` and `needsApproval` do
 */
export async function checkDirectCall(caller: ToolCaller, call: ToolCall): Promise<CheckedCall> {
  const checked = await caller.check(call)
  if (!(await caller.needsApproval(checked))) return checked
  throw new GatewayError('approval-required', `The tool ${JSON.stringify(call.tool)} needs approval.`)
}

/** One call as a run of its own: its events, and no more. A call that fails fails the run. */
export async function* runDirectCall(
  caller: ToolCaller,
  { tool, args }: DirectCall,
  { signal, emit }: RunContext,
): AsyncGenerator<AgentYield, RunOutcome> {
  const toolCallId = randomUUID()
  const checked = await checkDirectCall(caller, { toolCallId, tool, args })
  yield { type: 'tool-call-start', toolCallId, tool }
  // In one piece, so there is nothing to show before it is complete.
  yield { type: 'tool-call-args', toolCallId, tool, delta: '', args }
  try {
    yield { type: 'tool-call-result', toolCallId, tool, result: await caller.execute(checked) }
    return {}
  } catch (error) {
    if (error instanceof GatewayError) {
      const { code, message } = error
      emit({ type: 'tool-call-error', toolCallId, tool, error: { code, message } })
    }
    if (signal.aborted) return {}
    throw error
  }
}
