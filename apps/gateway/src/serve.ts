import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { serveStatic } from '@hono/node-server/serve-static'
import { type GatewayServer, createGatewayServer } from '@turnpike/gateway/server'
import { agentsFrom } from './agents.ts'

const PAGE = fileURLToPath(new URL('../../playground/dist', import.meta.url))

type Environment = Readonly<Record<string, string | undefined>>

/** What `turnpike serve` reads from its environment. */
export interface ServeSettings {
  readonly port: number
  readonly host: string
  readonly allowedOrigins: readonly string[]
}

/**
 * Reads `PORT` (default 3000), `HOST` (default 127.0.0.1) and `ALLOWED_ORIGINS` (separated by commas).
 *
 * @throws Error where `PORT` is no port
 */
export function settingsFrom(env: Environment): ServeSettings {
  const port = Number(env['PORT'] ?? 3000)
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new Error(`PORT must be a number from 0 to 65535, got "${env['PORT']}".`)
  }
  const origins = env['ALLOWED_ORIGINS']?.split(',').map((origin) => origin.trim())
  return { port, host: env['HOST'] ?? '127.0.0.1', allowedOrigins: origins?.filter(Boolean) ?? [] }
}

/** Serves the gateway with the agents of {@link agentsFrom}, and the page where it was built. */
export async function serve(
  settings: ServeSettings,
  env: Environment = {},
): Promise<GatewayServer & { url: string }> {
  const { port, host, allowedOrigins } = settings
  const server = createGatewayServer({
    agents: await agentsFrom(env),
    allowedOrigins,
    routes(app) {
      if (existsSync(PAGE)) app.use(serveStatic({ root: PAGE }))
    },
  })
  return { ...server, url: await server.listen(port, host) }
}
