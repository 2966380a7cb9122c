import { Agent, type AgentOptions } from './agent.ts'

/** Makes an {@link Agent}; the same as `new Agent(options)`. */
export function createAgent(options: AgentOptions): Agent {
  return new Agent(options)
}
