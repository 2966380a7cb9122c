import type { Server as HttpServer } from 'node:http'
import { type ServerOptions as EngineOptions, Server as Engine } from 'engine.io'
import { Server } from 'socket.io'
import { type ServerOptions as WebSocketOptions, WebSocketServer } from 'ws'
import type { Gateway } from '../gateway.ts'
import { requestRouter } from './request-router.ts'
import { upgradeRouter } from './upgrade-router.ts'

/** Time that a peer has to answer a close. */
const CLOSE_TIMEOUT_MS = 2_000
/** Longer than any process lives, for who wants no pings. */
const NEVER_MS = 2_147_483_647

export interface SocketIoServer {
  readonly io: Server
  /** Takes it off the server, and closes what is connected. */
  close(): Promise<void>
}

/**
 * Makes a Socket.IO server at one path of an HTTP server, beside whatever else is there: other servers of Socket.IO, raw
 * WebSockets, an app.
 */
export function attachSocketIo(server: HttpServer, gateway: Gateway, path: string): SocketIoServer {
  const { connections, earlyConnections } = gateway.limits
  const engine: Engine = new Engine({
    ...engineOptions(gateway),
    // What has joined no namespace is counted here only, and cut by the time for that.
    allowRequest: (_request, decide) => {
      const isFull = engine.clientsCount >= connections + earlyConnections
      decide(isFull ? 'Too many connections.' : null, !isFull)
    },
  })
  const io = new Server({
    serveClient: false,
    // Namespaces are made by name as clients ask for them; without this they would stay.
    cleanupEmptyChildNamespaces: true,
    connectTimeout: gateway.limits.earlyMs,
  })
  io.bind(engine)
  const requests = requestRouter(server)
  const upgrades = upgradeRouter(server)
  // The client puts a slash behind the path it is told.
  const detach = [path, `${path}/`].flatMap((at) => [
    requests.add(at, (request, response) => engine.handleRequest(request, response)),
    upgrades.add(at, (request, socket, head) => engine.handleUpgrade(request, socket, head)),
  ])
  return {
    io,
    async close() {
      for (const each of detach) each()
      await io.close()
    },
  }
}

function engineOptions(gateway: Gateway): EngineOptions {
  const { limits } = gateway
  return {
    maxHttpBufferSize: limits.packetBytes,
    pingInterval: limits.pingIntervalMs > 0 ? limits.pingIntervalMs : NEVER_MS,
    pingTimeout: limits.pongTimeoutMs,
    perMessageDeflate: false,
    cors: corsOf(gateway),
    wsEngine: class extends WebSocketServer {
      constructor(options: WebSocketOptions) {
        // Not in the call itself: the published types do not know all of these yet.
        const settings = {
          ...options,
          closeTimeout: CLOSE_TIMEOUT_MS,
          maxFragments: limits.frameFragments,
          maxBufferedChunks: limits.frameBufferedChunks,
        }
        super(settings)
      }
    },
  }
}

/** Pages of allowed origins may poll. Who is refused here is refused by the namespaces as well, whatever it can read. */
function corsOf({ admission }: Gateway): NonNullable<EngineOptions['cors']> {
  return (request, decide) => {
    let isAllowed = true
    try {
      admission.assertOrigin(request.headers)
    } catch {
      isAllowed = false
    }
    decide(null, { origin: isAllowed, methods: ['GET', 'POST'], credentials: admission.usesCookies })
  }
}
