import type { Server } from 'node:http'
import type { GatewayError } from '@turnpike/protocol'
import type { Gateway } from '../../gateway.ts'

/** An HTTP service, as what shares its port sees it. */
export interface ChatServer {
  readonly gateway: Gateway
  /** Called when the service closes, with what clients are told. */
  readonly onClose: Set<(reason: GatewayError) => void>
}

const servers = new WeakMap<Server, ChatServer>()

/** Says that a server is of a service. */
export function registerChatServer(server: Server, service: ChatServer): void {
  servers.set(server, service)
}

/** The service that a server is of; undefined where somebody else made it. */
export function chatServerOf(server: Server): ChatServer | undefined {
  return servers.get(server)
}
