export { type Agent, type AgentInfo, type AgentYield, type RunInput, type RunOutcome } from './agent.ts'
export {
  type BackgroundOperation,
  type Principal,
  type RunContext,
  currentRun,
  emit,
  inRun,
} from './context.ts'
export { type AgentDefinition, defineAgent } from './define-agent.ts'
export { Registry, defaultRegistry } from './registry.ts'
