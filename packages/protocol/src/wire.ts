// For those who write a wire or a server; clients get by with the main entry.
export { type Command, COMMANDS, decodeCommand } from './commands.ts'
export { type Dialect, type DuplexDialect, type Frame, type Request, type RequestId } from './dialect.ts'
export { AgentEvent, AgentOutcome } from './events.ts'
export { isDeeperThan, parseJson } from './json.ts'
export {
  type EntityCommand,
  type EntityNews,
  type EntityToolInfo,
  type ToolCallRequest,
  decodeEntityCommand,
  messageOfToolError,
} from './tool-sync.ts'
export { withoutReasoning } from './without-reasoning.ts'
