import { once } from 'node:events'
import type { Server as HttpServer, IncomingMessage } from 'node:http'
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import {
  type ServerOptions as EngineOptions,
  type Socket as EngineConnection,
  Server as Engine,
} from 'engine.io'
import { Server } from 'socket.io'
import { type ServerOptions as WebSocketOptions, WebSocketServer } from 'ws'
import type { Gateway } from '../gateway.ts'
import { holdEarlyPackets } from './early-packets.ts'
import { requestRouter } from './request-router.ts'
import { isScripted, obeysGateway } from './socket-io-origins.ts'
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
 * WebSockets, an app. Once the gateway drains, who wants the path may have it.
 *
 * @throws TypeError where somebody else serves the path
 */
export function attachSocketIo(server: HttpServer, gateway: Gateway, path: string): SocketIoServer {
  // The client puts a slash behind the path it is told.
  const paths = [path, `${path}/`]
  const upgrades = upgradeRouter(server)
  upgrades.assertFree(paths)
  const { connections, earlyConnections } = gateway.limits
  const engine: Engine = new Engine({
    ...engineOptions(gateway),
    // What has joined no namespace is counted here only, and cut by the time for that.
    allowRequest: (request, decide) => {
      if (isScripted(queryOf(request))) return decide('JSONP is not served.', false)
      const isFull = engine.clientsCount >= connections + earlyConnections
      decide(isFull ? 'Too many connections.' : null, !isFull)
    },
  })
  // A handshake is let through: the namespaces look at where it is from, and can say why they refuse it.
  engine.use((request: IncomingMessage, _response: unknown, next: (error?: Error) => void) => {
    next('sid' in queryOf(request) && !isFromAllowed(gateway, request) ? new Error('foreign') : undefined)
  })
  const io = new Server({
    serveClient: false,
    // Namespaces are made by name as clients ask for them; without this they would stay.
    cleanupEmptyChildNamespaces: true,
    connectTimeout: gateway.limits.earlyMs,
  })
  io.bind(engine)
  obeysGateway(io)
  // All that is joined here, or asked for in vain.
  holdEarlyPackets(io, gateway.limits, () => true)
  const connected = new Set<EngineConnection>()
  engine.on('connection', (connection: EngineConnection) => {
    // Else it waits for half a minute for a client that does not poll any more, and the process with it.
    Object.assign(connection.transport, { closeTimeout: CLOSE_TIMEOUT_MS })
    connected.add(connection)
    connection.once('close', () => connected.delete(connection))
  })
  const requests = requestRouter(server)
  const detach = paths.flatMap((at) => [
    upgrades.add(
      at,
      (request, socket, head) => engine.handleUpgrade(request, socket, head),
      () => gateway.isDraining,
    ),
    requests.add(at, (request, response) => engine.handleRequest(request, response)),
  ])
  return {
    io,
    async close() {
      await ended(connected)
      for (const each of detach) each()
      await io.close()
    },
  }
}

/** Who is being closed takes what is still to be taken first, for which a client that polls has to come once more. */
async function ended(connected: ReadonlySet<EngineConnection>): Promise<void> {
  // A close is asked for a turn after the goodbye.
  await nextTurn()
  const closing = [...connected].filter(({ readyState }) => readyState === 'closing')
  const closed = Promise.all(closing.map((connection) => once(connection, 'close')))
  await Promise.race([closed, delay(CLOSE_TIMEOUT_MS, undefined, { ref: false })])
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
function corsOf(gateway: Gateway): NonNullable<EngineOptions['cors']> {
  return (request, decide) => {
    const { usesCookies } = gateway.admission
    const origin = isFromAllowed(gateway, request)
    decide(null, { origin, methods: ['GET', 'POST'], credentials: usesCookies })
  }
}

function isFromAllowed({ admission }: Gateway, { headers }: Pick<IncomingMessage, 'headers'>): boolean {
  try {
    admission.assertOrigin(headers)
    return true
  } catch {
    return false
  }
}

/** What the engine has read of a request already; the published types keep it to themselves. */
function queryOf(request: object): object {
  return '_query' in request && typeof request._query === 'object' && request._query ? request._query : {}
}
