import type { ToolDef } from '@turnpike/agents'
import { agentGateway } from '@turnpike/protocol/agent-gateway'
import type { Server } from 'socket.io'
import type { Gateway } from '../../gateway.ts'
import { holdEarlyPackets } from '../../transports/early-packets.ts'
import { serveSocket } from '../../transports/socket-io.ts'
import { type AuthMiddleware, AgentGatewayAdmission } from './agent-gateway-admission.ts'
import { type Served, Catalogue } from './agent-gateway-catalogue.ts'
import { RequestLimits } from './agent-gateway-limits.ts'
import { AgentGatewayRequests } from './agent-gateway-requests.ts'
import { type Toolkit, listedTools } from './agent-gateway-tools.ts'
import { openSoon, sharedGateway } from '../shared-gateway.ts'

export interface AgentGatewayOptions extends Served {
  /** Your Socket.IO server, on whichever HTTP server you like. */
  readonly io: Server
  /** @default '/turnpike' */
  readonly namespace?: string
  /**
   * Middleware of Socket.IO: `next()` lets in, `next(new Error('Unauthorized'))` refuses. Who it is, it sets as
   * `socket.data.user`, an object with an `id`, or as `socket.data.userId`. It has 10 s to decide.
   */
  readonly authMiddleware?: AuthMiddleware
  /** Tools that clients may look at. */
  readonly toolkits?: readonly Toolkit[]
  /** The same by name; one of these wins over a toolkit's of the same name. */
  readonly toolLibrary?: Readonly<Record<string, ToolDef>>
  /** Of one connection, and of one user over all of them; 0 is no limit. @default 60 */
  readonly maxRequestsPerMinute?: number
  /** The machine behind. @default one that all presets of this process share, in memory */
  readonly gateway?: Gateway
}

/**
 * Serves agents, teams and workflows on a Socket.IO server: `agent.run` in, `agent.chunk` to `agent.done` out.
 *
 * @example
 * createAgentGateway({ io: new Server(httpServer), agents: { helper } })
 * @see PROTOCOL.md, Agent gateway
 */
export function createAgentGateway(options: AgentGatewayOptions): void {
  const { io, namespace = '/turnpike', authMiddleware, gateway = sharedGateway() } = options
  const { maxRequestsPerMinute = gateway.limits.socketRequestsPerMinute } = options
  const catalogue = new Catalogue(options)
  const limits = new RequestLimits(maxRequestsPerMinute)
  const tools = listedTools(options.toolkits, options.toolLibrary)
  const requests = new AgentGatewayRequests({ catalogue, tools, limits, logger: gateway.logger })
  const admission = new AgentGatewayAdmission({ gateway, authMiddleware })
  gateway.runs.alsoFind((name = '') => catalogue.findByOwnName(name))
  openSoon(gateway)
  const sockets = io.of(namespace)
  holdEarlyPackets(io, gateway.limits, (name) => name === sockets.name)
  sockets.use(admission.middleware)
  sockets.on('connection', (socket) => {
    const admitted = admission.admittedOf(socket)
    if (!admitted) return void socket.disconnect()
    serveSocket(gateway, socket, { dialect: agentGateway, admitted, commands: requests.of(socket) })
  })
}
