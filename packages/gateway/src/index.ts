export { type ThreadKey, type ThreadRef, ANONYMOUS, threadRef } from './access.ts'
export { type AllowedOrigins, type Authenticate, bearerToken } from './admission.ts'
export type { EventLog, Follow } from './event-log.ts'
export { type GatewayOptions, Gateway } from './gateway.ts'
export { type Attachment, type Framing, type Link, bytesOf } from './link.ts'
export type { Logger } from './logger.ts'
export type { Page, Store, StoredMessage, ThreadSummary } from './store.ts'
export {
  type EventDraft,
  type OpenMessage,
  type Snapshot,
  type StartAt,
  ThreadWindow,
} from './thread-window.ts'
export { Ticker } from './ticker.ts'
