import { GatewayError } from '@turnpike/protocol'
import type { Runnable, RunnableInfo } from './runnable.ts'
import { defaultRegistry } from './registry.ts'

export interface AgentDefinition<Output = string> {
  /** Unique in its registry; 1 to 256 characters. */
  readonly name: string
  readonly description?: string
  readonly run: Runnable<Output>['run']
  /** Whether the process-wide registry learns of it. @default true */
  readonly register?: boolean
}

/**
 * Makes an agent out of an async generator.
 *
 * @throws GatewayError `invalid-payload` where the name is empty or longer than 256 characters
 */
export function defineAgent<Output = string>(definition: AgentDefinition<Output>): Runnable<Output> {
  const { name, description, run, register = true } = definition
  if (typeof name !== 'string' || name === '' || name.length > 256 || /\p{Cc}/u.test(name)) {
    throw new GatewayError('invalid-payload', 'An agent needs a name of 1 to 256 characters.')
  }
  const info: RunnableInfo = {
    name,
    kind: 'agent',
    ...(description !== undefined && { description }),
    model: null,
    provider: null,
    tools: [],
  }
  const agent: Runnable<Output> = { name, info, run }
  if (register) defaultRegistry.add(agent)
  return agent
}
