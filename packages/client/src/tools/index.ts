export { type ToolConnection, type ToolConnectionOptions, connectTools } from './connect-tools.ts'
export { type SchemaOf, type Tool, type ToolCallContext, tool } from './tool.ts'
export type { ConnectionState } from '../connection.ts'
export { GatewayError } from '@turnpike/protocol'
