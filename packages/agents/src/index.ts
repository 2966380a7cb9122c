export { type AgentOptions, Agent } from './agent.ts'
export type { ApprovalDecision, ApprovalRequest, Approvals } from './approvals.ts'
export {
  type Artifact,
  type ArtifactStore,
  type Artifacts,
  MemoryArtifactStore,
  createArtifacts,
} from './artifacts.ts'
export {
  type BackgroundOperation,
  type Principal,
  type RunContext,
  currentRun,
  emit,
  inRun,
} from './context.ts'
export { createAgent } from './create-agent.ts'
export { type AgentDefinition, defineAgent } from './define-agent.ts'
export type { LocalRunOptions, LocalStream } from './local-run.ts'
export {
  type Memories,
  type Memory,
  type MemoryStore,
  type RecalledMemory,
  InMemoryMemoryStore,
  createMemories,
} from './memories.ts'
export type { Model, ModelFactory, ModelRequest } from './model.ts'
export { Registry, defaultRegistry } from './registry.ts'
export type { AgentYield, RunInput, RunOutcome, Runnable, RunnableInfo } from './runnable.ts'
export { type ToolContext, type ToolDef, defineTool } from './tool.ts'
