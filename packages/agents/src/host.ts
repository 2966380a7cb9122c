// For those who run agents, as a gateway does; the main entry has what those need who write them.
export type { ApprovalDecision, ApprovalRequest } from './approvals.ts'
export { type ArtifactStore, MemoryArtifactStore, createArtifacts } from './artifacts.ts'
export { inRun } from './context.ts'
export { JsonSchema } from './json-schema.ts'
export { type MemoryStore, type RecalledMemory, InMemoryMemoryStore, createMemories } from './memories.ts'
export { jsonSchemaOf } from './parameters.ts'
export type { RemoteCaller, RemoteTool, RemoteTools } from './remote-tools.ts'
export { matchesTool } from './tool-pattern.ts'
