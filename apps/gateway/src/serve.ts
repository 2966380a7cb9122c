import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { serveStatic } from '@hono/node-server/serve-static'
import { type GatewayServer, createGatewayServer } from '@turnpike/gateway/server'
import { demoAgent } from './demo-agent.ts'

const PAGE = fileURLToPath(new URL('../../playground/dist', import.meta.url))

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
export function settingsFrom(env: Readonly<Record<string, string | undefined>>): ServeSettings {
  const port = Number(env['PORT'] ?? 3000)
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new Error(`PORT must be a number from 0 to 65535, got "${env['PORT']}".`)
  }
  const origins = env['ALLOWED_ORIGINS']?.split(',').map((origin) => origin.trim())
  return { port, host: env['HOST'] ?? '127.0.0.1', allowedOrigins: origins?.filter(Boolean) ?? [] }
}

/** Serves the gateway with the demo agent, and the page where it was built. */
export async function serve(settings: ServeSettings): Promise<GatewayServer & { url: string }> {
  const { port, host, allowedOrigins } = settings
  const server = createGatewayServer({
    agents: [demoAgent],
    allowedOrigins,
    routes(app) {
      if (existsSync(PAGE)) app.use(serveStatic({ root: PAGE }))
    },
  })
  return { ...server, url: await server.listen(port, host) }
}
