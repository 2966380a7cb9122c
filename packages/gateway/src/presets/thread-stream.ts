import type { Server as HttpServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import type { Runnable } from '@turnpike/agents'
import { threadStream } from '@turnpike/protocol/thread-stream'
import type { Server } from 'socket.io'
import type { Gateway } from '../gateway.ts'
import { httpRoutes } from '../transports/http.ts'
import { requestRouter } from '../transports/request-router.ts'
import { serveEntities } from '../transports/socket-io-entities.ts'
import { type SocketIoServer, attachSocketIo } from '../transports/socket-io-server.ts'
import { serveThreadNamespaces } from '../transports/thread-namespaces.ts'
import { upgradeRouter } from '../transports/upgrade-router.ts'
import { openSoon, shareGateway } from './shared-gateway.ts'

const PATH = '/streaming'

interface Common {
  /** @default the one that presets of this process share, in memory */
  readonly gateway?: Gateway | undefined
  /** Agents to serve beside those that the gateway knows. */
  readonly agents?: Iterable<Runnable>
  /** Adds namespaces of other vocabularies on the same connections. */
  readonly namespaces?: (io: Server, gateway: Gateway) => void
}

interface OwnServer {
  /** One with no app of its own is given the HTTP routes, too. */
  readonly server: HttpServer
  /** @default '/streaming' */
  readonly path?: string
}

/** Either a Socket.IO server, or an HTTP server to put one on at `path`. */
export type ThreadStreamOptions = Common & ({ readonly io: Server } | OwnServer)

export interface ThreadStream {
  readonly io: Server
  readonly gateway: Gateway
  /** Takes it off the HTTP server, and shuts down the gateway if nobody else uses it. A Socket.IO server given stays. */
  close(): Promise<void>
}

/**
 * The thread stream over Socket.IO: events under their own names, in `/` and, for one agent each, in
 * `/agents/{agent}/chat/stream`; in `/connections`, those who bring tools.
 *
 * @example
 * createThreadStream({ server, agents: [myAgent] })
 * // socket.io-client: io(url, { path: '/streaming', auth: { token } })
 * @throws TypeError where somebody else serves the path
 */
export function createThreadStream(options: ThreadStreamOptions): ThreadStream {
  // Before agents are added, which could not be undone.
  if (!('io' in options)) upgradeRouter(options.server).assertFree([options.path ?? PATH])
  const shared = options.gateway ? undefined : shareGateway()
  const gateway = options.gateway ?? shared?.gateway
  if (!gateway) throw new TypeError('There is no gateway to serve.')
  let own: SocketIoServer | undefined
  const close = async (): Promise<void> => {
    await shared?.release()
    await own?.close()
  }
  try {
    for (const agent of options.agents ?? []) gateway.agents.add(agent)
    own = 'io' in options ? undefined : serveOwn(options, gateway)
    const io = 'io' in options ? options.io : own?.io
    if (!io) throw new TypeError('There is no server to serve on.')
    serveThreadNamespaces(gateway, io)
    serveEntities(gateway, io)
    options.namespaces?.(io, gateway)
    openSoon(gateway)
    return { io, gateway, close }
  } catch (error) {
    // Nobody else could: it was given to nobody.
    close().catch((failure: unknown) => gateway.logger.error({ error: failure }, 'a thread stream stays'))
    throw error
  }
}

function serveOwn({ server, path = PATH }: OwnServer, gateway: Gateway): SocketIoServer {
  const answer = getRequestListener(httpRoutes(gateway, threadStream).fetch, { overrideGlobalObjects: false })
  const own = attachSocketIo(server, gateway, path)
  const detach = requestRouter(server).otherwise((request, response) => void answer(request, response))
  return {
    io: own.io,
    async close() {
      detach()
      await own.close()
    },
  }
}
