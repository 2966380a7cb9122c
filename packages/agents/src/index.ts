export { type AgentOptions, Agent } from './agent.ts'
export type { Approvals } from './approvals.ts'
export { type Artifact, type Artifacts } from './artifacts.ts'
export { type BackgroundOperation, type Principal, type RunContext, currentRun, emit } from './context.ts'
export { createAgent } from './create-agent.ts'
export { type AgentDefinition, defineAgent } from './define-agent.ts'
export { type StepContext, Flow, flow } from './flow.ts'
export { StepError } from './flow-run.ts'
export type { LocalRunOptions, LocalStream } from './local-run.ts'
export { type Memories, type Memory } from './memories.ts'
export type { Model, ModelFactory, ModelRequest } from './model.ts'
export { Registry, defaultRegistry } from './registry.ts'
export type {
  AgentYield,
  DirectCall,
  MemberAnswer,
  RunInput,
  RunOutcome,
  RunSettings,
  Runnable,
  RunnableInfo,
} from './runnable.ts'
export { type TeamOptions, Team } from './team.ts'
export { type ToolContext, type ToolDef, defineTool, jsonSchemaTool } from './tool.ts'
export { type WorkflowOptions, Workflow } from './workflow.ts'
