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
export { type AgentDefinition, defineAgent } from './define-agent.ts'
export {
  type Memories,
  type Memory,
  type MemoryStore,
  type RecalledMemory,
  InMemoryMemoryStore,
  createMemories,
} from './memories.ts'
export { Registry, defaultRegistry } from './registry.ts'
export type { AgentYield, RunInput, RunOutcome, Runnable, RunnableInfo } from './runnable.ts'
