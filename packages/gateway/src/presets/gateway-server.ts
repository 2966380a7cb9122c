import type { Server } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import { threadStream } from '@turnpike/protocol/thread-stream'
import type { Hono } from 'hono'
import type { Gateway, GatewayOptions } from '../gateway.ts'
import { addMetrics } from '../transports/http-metrics.ts'
import { closeServer, listenOn, serverOf } from '../transports/http-server.ts'
import { httpRoutes } from '../transports/http.ts'
import { attachEntities } from '../transports/websocket-entities.ts'
import { attachWebSocket } from '../transports/websocket.ts'
import { gatewayOf } from './shared-gateway.ts'

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
  const server = serverOf(app)
  attachWebSocket(server, gateway, { path: '/stream', dialect: threadStream, subprotocol: 'turnpike.v1' })
  attachEntities(server, gateway)

  return {
    gateway,
    server,
    async listen(port = 3000, host) {
      await gateway.open()
      return listenOn(server, port, host)
    },
    async close(graceMs) {
      try {
        await gateway.drain(graceMs)
      } finally {
        stopMeasuring?.()
        await closeServer(server)
      }
    },
  }
}
