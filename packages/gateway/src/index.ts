export { type Action, type Authorize, type Requirement, type Resource, meets } from './access/access.ts'
export { type ThreadKey, type ThreadRef, ANONYMOUS, threadRef } from './stores/thread-ref.ts'
export type { Presented } from './access/admission.ts'
export type { UserBudget } from './runs/budgets.ts'
export { type GatewayOptions, Gateway } from './gateway.ts'
export { type Attachment, type Framing, type Link, bytesOf } from './links/link.ts'
export type { Authenticate, Identity } from './access/identity.ts'
export type { Logger } from './telemetry/logger.ts'
export { Metrics } from './telemetry/metrics.ts'
export type { OpenTelemetry } from './runs/run-spans.ts'
export type { AllowedOrigins } from './access/origins.ts'
export { type AgentGatewayOptions, createAgentGateway } from './presets/agent-gateway/agent-gateway.ts'
export type { AuthMiddleware } from './presets/agent-gateway/agent-gateway-admission.ts'
export type { Toolkit } from './presets/agent-gateway/agent-gateway-tools.ts'
export {
  type AgentServer,
  type AgentServerOptions,
  createServer,
} from './presets/agent-server/agent-server.ts'
export type { ServerRoute } from './presets/agent-server/agent-server-routes.ts'
export {
  type AgentWebSocketOptions,
  createAgentWebSocketHandler,
} from './presets/agent-websocket/agent-websocket.ts'
export type { ServedAgents } from './presets/chat-agents.ts'
export { type WebSocketTransportOptions, attachWebSocketTransport } from './presets/chat/chat-websocket.ts'
export { type HttpService, type HttpServiceOptions, createHttpService } from './presets/chat/http-service.ts'
export type { Store } from './stores/store.ts'
