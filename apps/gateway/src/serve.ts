import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { serveStatic } from '@hono/node-server/serve-static'
import { createAgentGateway } from '@turnpike/gateway'
import { type GatewayServer, createGatewayServer } from '@turnpike/gateway/server'
import { attachSocketIo } from '@turnpike/gateway/socket-io'
import { sqliteStore } from '@turnpike/gateway/sqlite-store'
import { createThreadStream } from '@turnpike/gateway/thread-stream'
import { agentsFrom } from './agents.ts'
import { authenticatorFrom } from './authentication.ts'

/** A person with a desktop, a phone and a few tabs. */
const USER_CONNECTIONS = 10

const PAGE = fileURLToPath(new URL('../../playground/dist', import.meta.url))

type Environment = Readonly<Record<string, string | undefined>>

/** What `turnpike serve` reads from its environment. */
export interface ServeSettings {
  readonly port: number
  readonly host: string
  /** Where threads are kept; nowhere but in memory without it. */
  readonly dataDir?: string
  readonly allowedOrigins: readonly string[]
}

/**
 * Reads `PORT` (default 3000), `HOST` (default 127.0.0.1), `TURNPIKE_DATA_DIR` (default ./.turnpike) and
 * `ALLOWED_ORIGINS` (separated by commas).
 *
 * @throws Error where `PORT` is no port
 */
export function settingsFrom(env: Environment): ServeSettings {
  const port = Number(env['PORT'] ?? 3000)
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new Error(`PORT must be a number from 0 to 65535, got "${env['PORT']}".`)
  }
  const origins = env['ALLOWED_ORIGINS']?.split(',').map((origin) => origin.trim())
  return {
    port,
    host: env['HOST'] ?? '127.0.0.1',
    dataDir: env['TURNPIKE_DATA_DIR'] || '.turnpike',
    allowedOrigins: origins?.filter(Boolean) ?? [],
  }
}

/** Serves every wire with the agents of {@link agentsFrom}, and the page where it was built. */
export async function serve(
  settings: ServeSettings,
  env: Environment = {},
): Promise<GatewayServer & { url: string }> {
  const { port, host, dataDir, allowedOrigins } = settings
  const own = createGatewayServer({
    agents: await agentsFrom(env),
    authenticate: authenticatorFrom(env),
    store: sqliteStore(dataDir === undefined ? {} : { file: join(dataDir, 'turnpike.sqlite') }),
    limits: { userConnections: USER_CONNECTIONS },
    allowedOrigins,
    metrics: true,
    routes(app) {
      if (existsSync(PAGE)) app.use(serveStatic({ root: PAGE }))
    },
  })
  const { gateway, server } = own
  const threads = createThreadStream({ server, gateway })
  const sockets = attachSocketIo(server, gateway, '/socket.io')
  createAgentGateway({ io: sockets.io, gateway, registry: gateway.agents })
  return {
    ...own,
    url: await own.listen(port, host),
    async close(graceMs) {
      await gateway.drain(graceMs)
      await Promise.all([threads.close(), sockets.close()])
      await own.close(graceMs)
    },
  }
}
