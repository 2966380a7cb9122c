export {
  type Answer,
  type Answers,
  type CancelStatus,
  type CommandName,
  type History,
  type PayloadOf,
  type ResetCause,
  type ThreadReset,
  type WhenBusy,
} from './commands.ts'
export { type EventId, ORIGIN, advance, mintEventId, parseEventId, seqOf } from './cursor.ts'
export { type ErrorBody, type ErrorCode, ERRORS, GatewayError, isErrorCode } from './errors.ts'
export {
  type EventEnvelope,
  type EventOf,
  type EventPayload,
  type EventType,
  type FinishReason,
  type Usage,
  type AgentEvent,
  EVENT_TYPES,
  ThreadEvent,
  isTerminal,
} from './events.ts'
export { type Limits, LIMITS } from './limits.ts'
export { type MessagePart, type ToolPart, Message, MessageInput } from './message.ts'
export { textOf } from './message-text.ts'
export { canMerge, mergeDeltas, reduce } from './reducer.ts'
