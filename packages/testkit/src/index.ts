export { type ChaosProxy, type ChaosProxyOptions, type Faults, startChaosProxy } from './chaos-proxy.ts'
export { type FollowThreadOptions, type FollowedThread, followThread } from './follow-thread.ts'
export {
  type CheckHistoryOptions,
  type HistoryRecord,
  type Verdict,
  checkHistory,
} from './history-checker.ts'
export { Inbox } from './inbox.ts'
export { type LogUnderTest, logConformance } from './log-conformance.ts'
export { type Random, createRandom } from './random.ts'
export {
  type PuppetAgent,
  type PuppetRun,
  ALL_REPORTS,
  countingAgent,
  puppetAgent,
  scriptedAgent,
} from './scripted-agents.ts'
export {
  type EventStreamClient,
  type EventStreamOptions,
  openEventStream,
  parseEventStream,
} from './sse-client.ts'
export { type StoreUnderTest, storeConformance } from './store-conformance.ts'
export { TestLink } from './test-link.ts'
export { type TransportsUnderTest, transportConformance } from './transport-conformance.ts'
export { type StreamFrame, WebSocketClient, connectWebSocket } from './websocket-client.ts'
export { type Wire, type WireStream, Refusal, socketIoWire, sseWire, websocketWire } from './wires.ts'
