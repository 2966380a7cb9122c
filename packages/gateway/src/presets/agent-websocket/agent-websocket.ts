import { connectedFrame } from '@turnpike/protocol/agent-websocket'
import type { Gateway } from '../../gateway.ts'
import { WebSocketError } from '../../manager/websocket-error.ts'
import type { WebSocketConnection, WebSocketHandler } from '../../manager/websocket-handler.ts'
import { AgentSocket } from './agent-socket.ts'
import { type ServedAgents, ChatAgents } from '../chat-agents.ts'
import { openSoon, sharedGateway } from '../shared-gateway.ts'

export interface AgentWebSocketOptions {
  /** The machine behind. @default one that all presets of this process share, in memory */
  readonly gateway?: Gateway
}

/**
 * A handler for `WebSocketConnectionManager` that serves agents: `generate`, `stream`, `tool_call` and `cancel` in,
 * `response`, `chunk` … out.
 *
 * Who has been let in by the manager is who runs are of. Who has no user is `anonymous`, or has to send a credential
 * that the gateway takes, where that wants one.
 *
 * @param agents - One agent, several by name, or a registry. Requests that name none are of the first.
 * @example
 * manager.registerHandler('/ws', createAgentWebSocketHandler({ helper }))
 * @see PROTOCOL.md, Agent handler
 */
export function createAgentWebSocketHandler(
  agents: ServedAgents,
  { gateway = sharedGateway() }: AgentWebSocketOptions = {},
): WebSocketHandler {
  const served = new ChatAgents(agents)
  gateway.runs.alsoFind(served.find)
  openSoon(gateway)
  // One that has ended stays until the manager says that the connection is gone: what still comes is dropped.
  const sockets = new Map<string, AgentSocket>()
  const open = (connection: WebSocketConnection): AgentSocket => {
    const socket = new AgentSocket(connection, { gateway, agents: served })
    sockets.set(connection.id, socket)
    return socket
  }
  return {
    onOpen(connection) {
      connection.socket.send(connectedFrame(connection.id).json)
      open(connection)
    },
    onMessage(connection, { type, data }) {
      let socket = sockets.get(connection.id) ?? open(connection)
      if (connection.user !== socket.user) {
        // Its first message was a credential, which the manager has taken.
        socket.closed()
        socket = open(connection)
      }
      if (type === 'text' && typeof data === 'string') socket.receive(data)
      else socket.malformed('Messages of this wire are text, not binary.')
    },
    onClose(connection) {
      sockets.get(connection.id)?.closed()
      sockets.delete(connection.id)
    },
    onError(connection, error) {
      // What a peer did wrong, it was told.
      if (error instanceof WebSocketError) return
      gateway.logger.error({ error, connectionId: connection.id }, 'a connection of agents failed')
    },
  }
}
