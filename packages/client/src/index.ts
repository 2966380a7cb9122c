export { type Client, type ClientOptions, type Transport, createClient } from './client.ts'
export { type Clock } from './clock.ts'
export { type ConnectionState } from './connection.ts'
export { type RunEnd, type RunStream, type ThreadStream } from './run-stream.ts'
export { StreamReset } from './stream-reset.ts'
export { type ThreadSubscription, type ThreadUpdate } from './subscription.ts'
export { type Surroundings } from './surroundings.ts'
export {
  type AgentInfo,
  type Artifact,
  type FollowOptions,
  type MessagePage,
  type PageOptions,
  type SendOptions,
  type SubscribeOptions,
  type ThreadPage,
  type ThreadPageOptions,
  type ThreadSummary,
  type Threads,
} from './threads.ts'
export {
  type EventId,
  type EventOf,
  type Message,
  type MessagePart,
  type ResetCause,
  type ThreadEvent,
  type ThreadReset,
  GatewayError,
  reduce,
  textOf,
} from '@turnpike/protocol'
