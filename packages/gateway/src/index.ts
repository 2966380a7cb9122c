export { type Action, type Authorize, type Requirement, type Resource, meets } from './access.ts'
export { type ThreadKey, type ThreadRef, ANONYMOUS, threadRef } from './thread-ref.ts'
export type { Presented } from './admission.ts'
export { type Credential, type Place, type RequestHead, type Scheme, credentialOf } from './credentials.ts'
export type { UserBudget } from './budgets.ts'
export type { EventLog, Follow } from './event-log.ts'
export { type GatewayOptions, Gateway } from './gateway.ts'
export { type Attachment, type Framing, type Link, bytesOf } from './link.ts'
export type { Authenticate, Identity } from './identity.ts'
export type { Logger } from './logger.ts'
export { Metrics } from './metrics.ts'
export type { OpenTelemetry } from './run-spans.ts'
export type { AllowedOrigins } from './origins.ts'
export { type AgentGatewayOptions, createAgentGateway } from './presets/agent-gateway.ts'
export type { AuthMiddleware } from './presets/agent-gateway-admission.ts'
export type { Toolkit } from './presets/agent-gateway-tools.ts'
export { type WebSocketTransportOptions, attachWebSocketTransport } from './presets/chat-websocket.ts'
export { type HttpService, type HttpServiceOptions, createHttpService } from './presets/http-service.ts'
export type { Store } from './store.ts'
export {
  type EventDraft,
  type OpenMessage,
  type Snapshot,
  type StartAt,
  ThreadWindow,
} from './thread-window.ts'
export { Ticker } from './ticker.ts'
