import type { Server } from 'node:http'
import { GatewayError } from '@turnpike/protocol'
import { Hono } from 'hono'
import type { Gateway } from '../../gateway.ts'
import type { WebSocketConnectionManager } from '../../manager/connection-manager.ts'
import { guardedApp } from '../../transports/http-guard.ts'
import { type Env, principalOf } from '../../transports/http-input.ts'
import { closeServer, listenOn, serverOf } from '../../transports/http-server.ts'
import { openApiOf } from './agent-server-openapi.ts'
import { basePathOf } from './agent-server-path.ts'
import { type ServerRoute, RegisteredRoutes } from './agent-server-routes.ts'
import { ManagedSockets } from './agent-server-sockets.ts'
import { ChatAgents, type ServedAgents } from '../chat-agents.ts'
import { type ChatServer, registerChatServer } from '../chat/chat-server.ts'
import { addChatRoutes, addHealthRoutes } from '../chat/http-service-routes.ts'
import { OpenAnswers } from '../chat/open-answers.ts'
import { type Machine, type MachineOptions, machineOf } from '../machine.ts'

/** How long runs and requests may go on when the server stops. */
const GRACE_MS = 10_000

export interface AgentServerConfig extends MachineOptions {
  /** 0 takes a free one. @default 3000 */
  readonly port?: number
  /** @default '127.0.0.1' */
  readonly host?: string
  /** What all routes are below, such as `/api`. @default '' */
  readonly basePath?: string
  /** On the same port, at the paths of their own. */
  readonly websocket?: readonly WebSocketConnectionManager[]
}

export interface AgentServerOptions {
  /** What answers HTTP. @default 'hono', which is the only one */
  readonly framework?: 'hono'
  readonly config?: AgentServerConfig
}

/** How a server goes down. */
export interface StopOptions {
  /** How long runs and requests may still go on. @default 10 s */
  readonly graceMs?: number
  /** Time over which the sockets of connection managers are closed. @default 5 s */
  readonly windowMs?: number
}

export interface AgentServer {
  readonly server: Server
  readonly gateway: Gateway
  /** Opens the store and puts the connection managers on the server, once. @throws GatewayError `draining` once stopped */
  initialize(): Promise<void>
  /** Initializes, listens, and resolves with the address that clients use. @throws GatewayError `draining` once stopped */
  start(): Promise<string>
  /** Ends what goes on, then closes; for good. Called again, it is the same stop. */
  stop(options?: StopOptions): Promise<void>
  /** Adds a route, at any time. @throws TypeError where it cannot be, or something is served there already */
  registerRoute(route: ServerRoute): void
  /** Adds the routes of chat JSON and `/health/websocket` to another app of the same gateway. */
  addRoutesTo(app: Hono<Env>): void
  /** Puts the connection managers on another server. */
  attachTo(server: Server): void
}

/**
 * Serves agents over HTTP, as chat JSON, with routes and connection managers of your own on the same port.
 *
 * @example
 * const server = await createServer({ helper }, { framework: 'hono', config: { port: 3000, websocket: [manager] } })
 * server.registerRoute({ method: 'GET', path: '/greeting', handler: async () => (await helper.generate('Hello')).text })
 * await server.start()
 * @throws TypeError where the options cannot be
 */
export async function createServer(
  agents: ServedAgents,
  options: AgentServerOptions = {},
): Promise<AgentServer> {
  const { framework = 'hono', config = {} } = options
  if (framework !== 'hono') {
    throw new TypeError(`"framework" has to be "hono", the only one there is, got "${String(framework)}".`)
  }
  const basePath = basePathOf(config.basePath ?? '')
  const sockets = new ManagedSockets(config.websocket ?? [])
  const served = new ChatAgents(agents)
  const machine = machineOf(config, served)
  return new HonoAgentServer({ config, basePath, sockets, served, machine })
}

interface Parts {
  readonly config: AgentServerConfig
  readonly basePath: string
  readonly sockets: ManagedSockets
  readonly served: ChatAgents
  readonly machine: Machine
}

class HonoAgentServer implements AgentServer {
  readonly server: Server
  readonly gateway: Gateway
  readonly #parts: Parts
  readonly #routes: RegisteredRoutes
  readonly #onClose: ChatServer['onClose'] = new Set()
  readonly #answers = new OpenAnswers()
  #initialized: Promise<void> | undefined
  #started: Promise<string> | undefined
  #stopped: Promise<void> | undefined

  constructor(parts: Parts) {
    const { basePath, machine, served } = parts
    const { gateway } = machine
    this.#parts = parts
    this.gateway = gateway
    gateway.runs.alsoFind(served.find)
    const own = this.#ownRoutes()
    this.#routes = new RegisteredRoutes(gateway, basePath, own)
    const app = guardedApp(gateway)
    app.route(basePath, own)
    app.all('*', (c) => this.#routes.answer(c))
    this.server = serverOf(app)
    registerChatServer(this.server, { gateway, onClose: this.#onClose })
  }

  async initialize(): Promise<void> {
    this.#assertNotStopped()
    await (this.#initialized ??= this.#initialize().catch((error: unknown) => {
      this.#initialized = undefined
      throw error
    }))
  }

  async start(): Promise<string> {
    this.#assertNotStopped()
    return (this.#started ??= this.#start().catch((error: unknown) => {
      this.#started = undefined
      throw error
    }))
  }

  stop(options: StopOptions = {}): Promise<void> {
    return (this.#stopped ??= this.#stop(options))
  }

  registerRoute(route: ServerRoute): void {
    this.#routes.add(route)
  }

  addRoutesTo(app: Hono<Env>): void {
    addChatRoutes(app, { gateway: this.gateway, agents: this.#parts.served, answers: this.#answers })
    this.#addSocketHealth(app)
  }

  attachTo(server: Server): void {
    this.#parts.sockets.attach(server)
  }

  #ownRoutes(): Hono<Env> {
    const { basePath, served } = this.#parts
    const { gateway } = this
    const app = new Hono<Env>()
    addHealthRoutes(app, gateway, this.#answers)
    addChatRoutes(app, { gateway, agents: served, answers: this.#answers })
    this.#addSocketHealth(app)
    app.get('/openapi.json', async (c) => {
      await principalOf(c, gateway)
      return c.json(openApiOf(this.#routes.list(), { basePath, isSecured: gateway.admission.isRequired }))
    })
    return app
  }

  #addSocketHealth(app: Hono<Env>): void {
    app.get('/health/websocket', (c) => {
      const { status, connections } = this.#parts.sockets.health()
      const isDraining = status === 'draining' || this.gateway.isDraining
      return c.json({ status: isDraining ? 'draining' : status, connections }, isDraining ? 503 : 200)
    })
  }

  async #initialize(): Promise<void> {
    await this.gateway.open()
    this.#assertNotStopped()
    this.attachTo(this.server)
  }

  async #start(): Promise<string> {
    await this.initialize()
    this.#assertNotStopped()
    const { port = 3000, host } = this.#parts.config
    return listenOn(this.server, port, host)
  }

  /** Runs end first: who waits for an answer on a socket still gets it. */
  async #stop({ graceMs = GRACE_MS, windowMs }: StopOptions): Promise<void> {
    const { sockets, machine } = this.#parts
    // What has begun to listen does so before it is closed.
    await this.#started?.catch(() => {})
    sockets.refuse()
    const outcomes = await Promise.allSettled([
      this.#routes.close(graceMs),
      this.#answers.close(graceMs),
      machine.release(graceMs),
    ])
    try {
      await sockets.drain(windowMs === undefined ? {} : { windowMs })
    } finally {
      const reason = new GatewayError('draining', 'The server is shutting down.')
      for (const leave of this.#onClose) leave(reason)
      this.#answers.dismiss(reason)
      await closeServer(this.server)
    }
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  }

  #assertNotStopped(): void {
    if (!this.#stopped) return
    throw new GatewayError('draining', 'This server was stopped, and its gateway with it. Make another one.')
  }
}
