import { type Server, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type HttpBindings, getRequestListener } from '@hono/node-server'
import { threadStream } from '@turnpike/protocol/thread-stream'
import type { Hono } from 'hono'
import { type GatewayOptions, Gateway } from '../gateway.ts'
import { MemoryLog } from '../logs/memory.ts'
import { sqliteStore } from '../stores/sqlite.ts'
import { addMetrics } from '../transports/http-metrics.ts'
import { httpRoutes } from '../transports/http.ts'
import { attachEntities } from '../transports/websocket-entities.ts'
import { attachWebSocket } from '../transports/websocket.ts'

interface Routes {
  /** Serves `GET /metrics`; where anybody has to authenticate, to who has the permission `metrics`. @default false */
  readonly metrics?: boolean
  /** Adds routes of your own behind those of the gateway. */
  readonly routes?: (app: Hono<{ Bindings: HttpBindings }>) => void
}

/** Either a machine to serve, or what to make one of; log and store are in memory unless given. */
export type GatewayServerOptions = Routes & ({ readonly gateway: Gateway } | Partial<GatewayOptions>)

export interface GatewayServer {
  readonly gateway: Gateway
  readonly server: Server
  /** Listens; port 0 takes a free one. Resolves with the address that clients use. */
  listen(port?: number, host?: string): Promise<string>
  /** Drains the gateway, then closes the server. Runs may still end for `graceMs`. @default 10 s */
  close(graceMs?: number): Promise<void>
}

/**
 * A server with the native WebSocket at `/stream`, and the HTTP and event-stream routes.
 *
 * @example
 * const { listen } = createGatewayServer({ agents: [myAgent] })
 * await listen(3000)
 */
export function createGatewayServer(options: GatewayServerOptions = {}): GatewayServer {
  const gateway = 'gateway' in options ? options.gateway : gatewayOf(options)
  const app = httpRoutes(gateway, threadStream)
  const stopMeasuring = options.metrics ? addMetrics(app, gateway) : undefined
  options.routes?.(app)
  const answer = getRequestListener(app.fetch, { overrideGlobalObjects: false })
  const server = createServer(
    // Node gives a request far longer than an honest client needs.
    { headersTimeout: 10_000, requestTimeout: 30_000, connectionsCheckingInterval: 2_000 },
    (request, response) => void answer(request, response),
  )
  attachWebSocket(server, gateway, { path: '/stream', dialect: threadStream, subprotocol: 'turnpike.v1' })
  attachEntities(server, gateway)

  return {
    gateway,
    server,
    async listen(port = 3000, host = '127.0.0.1') {
      await gateway.open()
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(port, host, () => {
          server.off('error', reject)
          resolve()
        })
      })
      const { address, family, port: taken } = server.address() as AddressInfo
      return `http://${family === 'IPv6' ? `[${address}]` : address}:${taken}`
    },
    async close(graceMs) {
      try {
        await gateway.drain(graceMs)
      } finally {
        stopMeasuring?.()
        const closed = new Promise<void>((resolve) => server.close(() => resolve()))
        server.closeIdleConnections()
        const lingering = setTimeout(() => server.closeAllConnections(), 1_000)
        await closed
        clearTimeout(lingering)
      }
    },
  }
}

function gatewayOf(options: Partial<GatewayOptions>): Gateway {
  const { limits = {}, store = sqliteStore() } = options
  const log = options.log ?? new MemoryLog({ limits, numbering: store.numbering })
  return new Gateway({ ...options, log, store })
}
