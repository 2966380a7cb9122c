import type { Server } from 'node:http'
import { chatJson } from '@turnpike/protocol/chat-json'
import type { Gateway } from '../../gateway.ts'
import { upgradeRouter } from '../../transports/upgrade-router.ts'
import { attachWebSocket } from '../../transports/websocket.ts'
import { type ServedAgents, ChatAgents } from '../chat-agents.ts'
import { chatServerOf } from './chat-server.ts'
import { ChatSocket } from './chat-socket.ts'
import { openSoon, shareGateway } from '../shared-gateway.ts'

export interface WebSocketTransportOptions {
  /** The machine behind. @default that of the service whose server it is, else the one that presets share, in memory */
  readonly gateway?: Gateway
  /** @default ['/', '/ws', '/v1/ws'] */
  readonly paths?: readonly string[]
}

/**
 * Serves chat JSON over WebSocket: `{ type: 'chat', message }` in, `chunk` to `done` out. It closes with the service
 * whose server it is on; on any other, with the gateway that it is given.
 *
 * @throws TypeError where somebody else serves one of the paths
 * @example
 * attachWebSocketTransport(service.server, { helper })
 * @see PROTOCOL.md, Chat JSON
 */
export function attachWebSocketTransport(
  server: Server,
  agents: ServedAgents,
  options: WebSocketTransportOptions = {},
): void {
  const paths = [...new Set(options.paths ?? ['/', '/ws', '/v1/ws'])]
  // Whatever can fail comes first: nothing is held by a call that threw.
  upgradeRouter(server).assertFree(paths)
  const served = new ChatAgents(agents)
  const service = chatServerOf(server)
  const own = options.gateway ?? service?.gateway
  const shared = own ? undefined : shareGateway()
  const gateway = own ?? shared?.gateway
  if (!gateway) throw new TypeError('There is no gateway to serve.')
  gateway.runs.alsoFind(served.find)
  openSoon(gateway)
  const open = new Set<ChatSocket>()
  const socketOptions = { gateway, agents: served, onClose: (socket: ChatSocket) => void open.delete(socket) }
  const detach = paths.map((path) =>
    attachWebSocket(server, gateway, {
      path,
      dialect: chatJson,
      accept(link, request) {
        const socket = new ChatSocket(link, request, socketOptions)
        open.add(socket)
        return socket.attachment
      },
    }),
  )
  service?.onClose.add((reason) => {
    for (const off of detach) off()
    for (const socket of open) socket.goodbye(reason)
  })
  if (shared) server.once('close', () => void shared.release())
}
