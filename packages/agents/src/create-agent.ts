import { Agent, type AgentOptions } from './agent.ts'

/** Makes an {@link Agent}; the same as `new Agent(options)`. */
export function createAgent<Output = unknown>(options: AgentOptions<Output>): Agent<Output> {
  return new Agent(options)
}
