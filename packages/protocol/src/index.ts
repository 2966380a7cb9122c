export {
  type Answer,
  type Answers,
  type CancelStatus,
  type Command,
  type CommandName,
  type History,
  type PayloadOf,
  type ResetCause,
  type ThreadReset,
  type WhenBusy,
  COMMANDS,
  decodeCommand,
  invalidPayload,
} from './commands.ts'
export {
  type Advance,
  type EventId,
  ORIGIN,
  advance,
  compareEventIds,
  mintEventId,
  parseEventId,
  seqOf,
} from './cursor.ts'
export { type Dialect, type DuplexDialect, type Frame, type Request, type RequestId } from './dialect.ts'
export { type ErrorBody, type ErrorCode, type Retry, ERRORS, GatewayError, isErrorCode } from './errors.ts'
export {
  type EventEnvelope,
  type EventOf,
  type EventPayload,
  type EventType,
  type FinishReason,
  type Usage,
  AgentEvent,
  EVENT_TYPES,
  ThreadEvent,
  isTerminal,
} from './events.ts'
export { parseJson } from './json.ts'
export { type Limits, LIMITS } from './limits.ts'
export { type MessagePart, type ToolPart, Message, MessageInput, textOf } from './message.ts'
export { canMerge, mergeDeltas, reduce } from './reducer.ts'
