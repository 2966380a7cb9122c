import { GatewayError } from '@turnpike/protocol'
import type { Agent, AgentInfo } from './agent.ts'
import { defaultRegistry } from './registry.ts'

export interface AgentDefinition {
  /** Unique in its registry; 1 to 256 characters. */
  readonly name: string
  readonly description?: string
  readonly run: Agent['run']
  /** Whether the process-wide registry learns of it. @default true */
  readonly register?: boolean
}

/**
 * Makes an agent out of an async generator.
 *
 * @throws GatewayError `invalid-payload` where the name is empty or longer than 256 characters
 */
export function defineAgent(definition: AgentDefinition): Agent {
  const { name, description, run, register = true } = definition
  if (typeof name !== 'string' || name === '' || name.length > 256) {
    throw new GatewayError('invalid-payload', 'An agent needs a name of 1 to 256 characters.')
  }
  const info: AgentInfo = {
    name,
    kind: 'agent',
    ...(description !== undefined && { description }),
    model: null,
    provider: null,
    tools: [],
  }
  const agent: Agent = { name, info, run }
  if (register) defaultRegistry.add(agent)
  return agent
}
