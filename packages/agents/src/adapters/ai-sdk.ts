import { GatewayError } from '@turnpike/protocol'
import { defineAgent } from '../define-agent.ts'
import { defaultRegistry } from '../registry.ts'
import type { Runnable } from '../runnable.ts'
import { type AISDKAgent, describeAISDKAgent, isAISDKAgent } from './ai-sdk-agent.ts'
import { AISDKRun } from './ai-sdk-run.ts'

export { type AISDKAgent, type AISDKPart, type AISDKStream, isAISDKAgent } from './ai-sdk-agent.ts'

export interface AISDKAgentOptions {
  /** Unique in its registry; 1 to 256 characters. @default the agent's `id` */
  readonly name?: string
  readonly description?: string
  /** Whether the process-wide registry learns of it. @default true */
  readonly register?: boolean
}

/**
 * Serves an agent of the AI SDK (`ToolLoopAgent`, or any `Agent`): its text, reasoning, steps, tools with their
 * progress, approvals and usage.
 *
 * Inside its tools `emit` and `currentRun` work. An approval is waited for in this process; then the same run goes on.
 *
 * @throws GatewayError `invalid-payload` where it is no such agent, or has no name
 */
export function fromAISDKAgent(agent: AISDKAgent, options: AISDKAgentOptions = {}): Runnable {
  if (!isAISDKAgent(agent)) {
    throw new GatewayError(
      'invalid-payload',
      'Expected an agent of the AI SDK: version "agent-v1" with "stream".',
    )
  }
  const { name = agent.id ?? '', description, register = true } = options
  const base = defineAgent({
    name,
    ...(description !== undefined && { description }),
    run: (input, context) => new AISDKRun(agent, input, context).run(),
    register: false,
  })
  const served: Runnable = { ...base, info: { ...base.info, ...describeAISDKAgent(agent) } }
  if (register) defaultRegistry.add(served)
  return served
}
