import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { serveStatic } from '@hono/node-server/serve-static'
import {
  type Authenticate,
  attachWebSocketTransport,
  createAgentGateway,
  createAgentWebSocketHandler,
  createServer,
} from '@turnpike/gateway'
import { WebSocketConnectionManager } from '@turnpike/gateway/manager'
import { type GatewayServer, createGatewayServer } from '@turnpike/gateway/server'
import { attachSocketIo } from '@turnpike/gateway/socket-io'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { createThreadStream } from '@turnpike/gateway/thread-stream'
import { agentsFrom } from './agents.ts'
import { authenticatorFrom } from './authentication.ts'

/** A person with a desktop, a phone and a few tabs; too few for a service that speaks for many. */
const USER_CONNECTIONS = 10

/** Where connections to the agents are managed. */
const AGENT_SOCKETS = '/ws/agents'

const PAGE = fileURLToPath(new URL('../../playground/dist', import.meta.url))

type Environment = Readonly<Record<string, string | undefined>>

/** What `turnpike serve` reads from its environment. */
export interface ServeSettings {
  readonly port: number
  readonly host: string
  /** Where threads are kept; nowhere but in memory without it. */
  readonly dataDir?: string
  readonly allowedOrigins: readonly string[]
  /** How many connections a user who has authenticated may have, over all wires; 0 is no limit. @default 10 */
  readonly userConnections?: number
}

/**
 * Reads `PORT` (default 3000), `HOST` (default 127.0.0.1), `TURNPIKE_DATA_DIR` (default ./.turnpike),
 * `ALLOWED_ORIGINS` (separated by commas) and `USER_CONNECTIONS` (default 10).
 *
 * @throws Error where `PORT` is no port, or `USER_CONNECTIONS` is no count
 */
export function settingsFrom(env: Environment): ServeSettings {
  const port = Number(env['PORT'] ?? 3000)
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new Error(`PORT must be a number from 0 to 65535, got "${env['PORT']}".`)
  }
  const userConnections = Number(env['USER_CONNECTIONS'] || USER_CONNECTIONS)
  if (!Number.isSafeInteger(userConnections) || userConnections < 0) {
    throw new Error(
      `USER_CONNECTIONS must be a number from 0, which is no limit, got "${env['USER_CONNECTIONS']}".`,
    )
  }
  const origins = env['ALLOWED_ORIGINS']?.split(',').map((origin) => origin.trim())
  return {
    port,
    host: env['HOST'] ?? '127.0.0.1',
    dataDir: env['TURNPIKE_DATA_DIR'] || '.turnpike',
    allowedOrigins: origins?.filter(Boolean) ?? [],
    userConnections,
  }
}

/** Serves every wire with the agents of {@link agentsFrom}, and the page where it was built. */
export async function serve(
  settings: ServeSettings,
  env: Environment = {},
): Promise<GatewayServer & { url: string }> {
  const { port, host, dataDir, allowedOrigins, userConnections = USER_CONNECTIONS } = settings
  const agents = await agentsFrom(env)
  const authenticate = authenticatorFrom(env)
  const manager = agentManager(authenticate, { allowedOrigins, userConnections })
  const chat = await createServer(agents, {
    framework: 'hono',
    config: {
      auth: authenticate,
      cors: allowedOrigins,
      store: sqliteStore(dataDir === undefined ? {} : { file: join(dataDir, 'turnpike.sqlite') }),
      limits: { userConnections },
      websocket: [manager],
    },
  })
  const { gateway } = chat
  const own = createGatewayServer({
    gateway,
    metrics: true,
    routes(app) {
      chat.addRoutesTo(app)
      if (existsSync(PAGE)) app.use(serveStatic({ root: PAGE }))
    },
  })
  const { server } = own
  attachWebSocketTransport(server, agents, { gateway })
  manager.registerHandler(AGENT_SOCKETS, createAgentWebSocketHandler(agents, { gateway }))
  chat.attachTo(server)
  const threads = createThreadStream({ server, gateway })
  const sockets = attachSocketIo(server, gateway, '/socket.io')
  createAgentGateway({ io: sockets.io, gateway, registry: gateway.agents })
  return {
    ...own,
    url: await own.listen(port, host),
    async close(graceMs) {
      await chat.stop(graceMs === undefined ? {} : { graceMs })
      await Promise.all([threads.close(), sockets.close()])
      await own.close(graceMs)
    },
  }
}

/** Lets in whom the gateway does. */
function agentManager(
  authenticate: Authenticate | undefined,
  { allowedOrigins, userConnections }: Required<Pick<ServeSettings, 'allowedOrigins' | 'userConnections'>>,
): WebSocketConnectionManager {
  return new WebSocketConnectionManager({
    path: AGENT_SOCKETS,
    allowedOrigins,
    maxConnectionsPerUser: userConnections,
    auth: authenticate ? { strategy: 'bearer', validate: authenticate } : { strategy: 'none' },
  })
}
