// For those who write a log; the main entry has what those need who serve.
export type { EventLog, Follow } from './event-log.ts'
export {
  type EventDraft,
  type OpenMessage,
  type Snapshot,
  type StartAt,
  ThreadWindow,
} from './thread-window.ts'
export { Ticker } from '../timing/ticker.ts'
