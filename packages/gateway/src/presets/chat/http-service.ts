import type { Server } from 'node:http'
import { GatewayError } from '@turnpike/protocol'
import type { Gateway } from '../../gateway.ts'
import { guardedApp } from '../../transports/http-guard.ts'
import { closeServer, listenOn, serverOf } from '../../transports/http-server.ts'
import { type ServedAgents, ChatAgents } from '../chat-agents.ts'
import { type ChatServer, registerChatServer } from './chat-server.ts'
import { addChatRoutes, addHealthRoutes } from './http-service-routes.ts'
import { type MachineOptions, machineOf } from '../machine.ts'
import { OpenAnswers } from './open-answers.ts'
import { openSoon } from '../shared-gateway.ts'

/** How long runs may go on when the service closes. */
const GRACE_MS = 10_000

export interface HttpServiceOptions extends MachineOptions {
  /** By the names that clients use, as a list, or one; the first one is the default. Or whatever a registry has. */
  readonly agents: ServedAgents
}

export interface HttpService {
  readonly server: Server
  readonly gateway: Gateway
  /**
   * Listens; port 0 takes a free one. Resolves with the address that clients use.
   *
   * @throws GatewayError `draining` where it has been closed
   */
  listen(port?: number, host?: string): Promise<string>
  /**
   * Closes the server, and what shares its port. A gateway that nobody else has is drained first: runs may still end for
   * `graceMs`. @default 10 s
   */
  close(graceMs?: number): Promise<void>
}

/**
 * Serves agents over HTTP: `POST /v1/chat/:agent`, answered as JSON or as an event stream, and beside it
 * `attachWebSocketTransport` on the same port.
 *
 * @example
 * const service = createHttpService({ agents: { helper } })
 * attachWebSocketTransport(service.server, { helper })
 * await service.listen(3000)
 * @throws TypeError where both a gateway and what one is made of are given
 * @see PROTOCOL.md, Chat JSON
 */
export function createHttpService(options: HttpServiceOptions): HttpService {
  const agents = new ChatAgents(options.agents)
  const { gateway, release } = machineOf(options, agents)
  gateway.runs.alsoFind(agents.find)
  openSoon(gateway)
  const app = guardedApp(gateway)
  const answers = new OpenAnswers()
  addHealthRoutes(app, gateway, answers)
  addChatRoutes(app, { gateway, agents, answers })
  const server = serverOf(app)
  const onClose: ChatServer['onClose'] = new Set()
  registerChatServer(server, { gateway, onClose })
  let closed: Promise<void> | undefined
  const close = async (graceMs: number): Promise<void> => {
    try {
      await Promise.all([release(graceMs), answers.close(graceMs)])
    } finally {
      const reason = new GatewayError('draining', 'The server is shutting down.')
      for (const leave of onClose) leave(reason)
      answers.dismiss(reason)
      await closeServer(server)
    }
  }
  return {
    server,
    gateway,
    async listen(port = 3000, host) {
      await gateway.open()
      if (closed) throw new GatewayError('draining', 'The service has been closed.')
      return listenOn(server, port, host)
    },
    close: (graceMs = GRACE_MS) => (closed ??= close(graceMs)),
  }
}
