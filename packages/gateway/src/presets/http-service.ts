import type { Server } from 'node:http'
import type { Runnable } from '@turnpike/agents'
import type { UserBudget } from '../budgets.ts'
import type { Gateway, GatewayOptions } from '../gateway.ts'
import type { Authenticate } from '../identity.ts'
import type { AllowedOrigins } from '../origins.ts'
import type { Store } from '../store.ts'
import { closeServer, listenOn, serverOf } from '../transports/http-server.ts'
import { ChatAgents } from './chat-agents.ts'
import { registerChatServer } from './chat-server.ts'
import { chatRoutes } from './http-service-routes.ts'
import { gatewayOf, openSoon, shareGateway } from './shared-gateway.ts'

/** How long runs may go on when the service closes. */
const GRACE_MS = 10_000

export interface HttpServiceOptions {
  /** By the name that clients use; the first one is the default. */
  readonly agents: Readonly<Record<string, Runnable>>
  /** Tells who a token belongs to. @default everybody is `anonymous` */
  readonly auth?: Authenticate
  /** `user` is what the runs of each user may take; all else are limits of the gateway. */
  readonly limits?: { readonly user?: UserBudget } & NonNullable<GatewayOptions['limits']>
  /** Where browsers may come from, beside this server's own pages. */
  readonly cors?: AllowedOrigins | { readonly origin: string | readonly string[] }
  /** What outlives the process. @default all is in memory */
  readonly store?: Store
  /**
   * The machine behind, which has all of the above but `agents` itself.
   *
   * @default one of its own where any of these is given, else the one that presets of this process share, in memory
   */
  readonly gateway?: Gateway
}

export interface HttpService {
  readonly server: Server
  readonly gateway: Gateway
  /** Listens; port 0 takes a free one. Resolves with the address that clients use. */
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
  const server = serverOf(chatRoutes(gateway, agents))
  const onClose = new Set<() => void>()
  registerChatServer(server, { gateway, onClose })
  let closed: Promise<void> | undefined
  const close = async (graceMs: number): Promise<void> => {
    try {
      await release(graceMs)
    } finally {
      for (const leave of onClose) leave()
      await closeServer(server)
    }
  }
  return {
    server,
    gateway,
    async listen(port = 3000, host) {
      await gateway.open()
      return listenOn(server, port, host)
    },
    close: (graceMs = GRACE_MS) => (closed ??= close(graceMs)),
  }
}

interface Machine {
  readonly gateway: Gateway
  readonly release: (graceMs: number) => Promise<void>
}

function machineOf(options: HttpServiceOptions, agents: ChatAgents): Machine {
  const { gateway: given, auth, limits, cors, store } = options
  const isBare = [auth, limits, cors, store].every((option) => option === undefined)
  if (given && !isBare) {
    throw new TypeError('Give "auth", "limits", "cors" and "store" to the gateway, or give no gateway.')
  }
  if (given) return { gateway: given, release: async () => {} }
  if (isBare) return shareGateway()
  const { user: budget, ...others } = limits ?? {}
  const gateway = gatewayOf({
    agents: agents.list(),
    // What the budget says of runs at once, it says alone.
    limits: { ...(budget?.concurrentRuns !== undefined && { userRuns: 0 }), ...others },
    budget,
    authenticate: auth,
    allowedOrigins: originsOf(cors),
    ...(store && { store }),
  })
  return { gateway, release: (graceMs) => gateway.drain(graceMs) }
}

function originsOf(cors: HttpServiceOptions['cors']): AllowedOrigins | undefined {
  if (typeof cors !== 'object' || !('origin' in cors)) return cors
  const { origin } = cors
  if (typeof origin !== 'string') return origin
  return origin === '*' ? origin : [origin]
}
