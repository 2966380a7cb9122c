export { type MessageRoute, type PayloadSchema, WebSocketMessageRouter } from './message-router.ts'
export type { ConnectionManagerConfig } from './manager-config.ts'
export { type HandlerOptions, WebSocketConnectionManager } from './connection-manager.ts'
export type { DrainOptions } from './departure.ts'
export { type WebSocketAuth } from './websocket-auth.ts'
export { WebSocketConnectionError, WebSocketError } from './websocket-error.ts'
export type {
  AuthenticatedUser,
  ManagedSocket,
  WebSocketConnection,
  WebSocketData,
  WebSocketHandler,
  WebSocketMessage,
} from './websocket-handler.ts'
