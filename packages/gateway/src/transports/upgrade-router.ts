import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { GatewayError } from '@turnpike/protocol'

/** Takes over one upgrade. What it throws is answered before the handshake. */
export type UpgradeHandler = (request: IncomingMessage, socket: Socket, head: Buffer) => void

const routers = new WeakMap<Server, UpgradeRouter>()

/** The one router of upgrades of a server, whoever asks first. */
export function upgradeRouter(server: Server): UpgradeRouter {
  let router = routers.get(server)
  if (!router) {
    router = new UpgradeRouter(server)
    routers.set(server, router)
  }
  return router
}

/**
 * Decides by path who gets an upgrade, so that several wires share a port.
 *
 * A path that nobody has taken is answered with 404, unless someone else listens for upgrades on this server too: then
 * it may be theirs.
 */
export class UpgradeRouter {
  readonly #server: Server
  readonly #handlers = new Map<string, UpgradeHandler>()
  /** Whether whoever wants the path of a handler may have it by now; without one, nobody may. */
  readonly #isFree = new WeakMap<UpgradeHandler, () => boolean>()

  constructor(server: Server) {
    this.#server = server
    server.on('upgrade', this.#onUpgrade)
    upgradeWebSocketsOnly(server)
  }

  /**
   * Takes a path. Returns what gives it back.
   *
   * @param isOver - Whether the handler refuses everybody by now, so that somebody else may take the path.
   * @throws TypeError where somebody has taken it
   */
  add(path: string, handler: UpgradeHandler, isOver = (): boolean => false): () => void {
    this.assertFree([path])
    this.#isFree.set(handler, isOver)
    return this.replace(path, handler)
  }

  /** Serves a path until somebody takes it; does nothing where it is served already. Returns what ends that. */
  offer(path: string, handler: UpgradeHandler): () => void {
    if (this.#handlers.has(path)) return () => {}
    this.#isFree.set(handler, () => true)
    return this.replace(path, handler)
  }

  /** Serves a path in the place of whoever has it. Returns what gives it back. */
  replace(path: string, handler: UpgradeHandler): () => void {
    this.#handlers.set(path, handler)
    return () => {
      if (this.#handlers.get(path) === handler) this.#handlers.delete(path)
    }
  }

  /** @throws TypeError where somebody has taken one of them */
  assertFree(paths: readonly string[]): void {
    for (const path of paths) {
      const handler = this.#handlers.get(path)
      if (!handler || this.#isFree.get(handler)?.()) continue
      throw new TypeError(
        `"${path}" is served by something else on this server. Give one of the two another path.`,
      )
    }
  }

  readonly #onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const handler = this.#handlers.get(pathOf(request.url))
    if (!handler && this.#server.listenerCount('upgrade') > 1) return
    // Before anything else: a reset during the handshake would otherwise take the process down.
    socket.on('error', () => socket.destroy())
    try {
      if (!handler) throw new GatewayError('unknown-route', 'Nothing is served at this path.')
      if (!(socket instanceof Socket)) throw new GatewayError('internal', 'The connection is not a socket.')
      handler(request, socket, head)
    } catch (error) {
      refuse(socket, error)
    }
  }
}

/**
 * Has a server answer all other upgrades as the plain requests that they are, too: Java's client and `curl --http2` offer
 * HTTP/2 that way with each request, RFC 9110 section 7.8. Versions of Node that cannot do so hand them to us.
 */
function upgradeWebSocketsOnly(server: Server & { shouldUpgradeCallback?: unknown }): void {
  if (!('shouldUpgradeCallback' in server)) return
  server.shouldUpgradeCallback = ({ headers }: IncomingMessage) =>
    headers.upgrade?.toLowerCase() === 'websocket'
}

/** The beginning of a target that is a whole address, RFC 9112 section 3.2.2. */
const ORIGIN = /^(?:https?|wss?):\/\/(?:\[[\da-f:.]+\](?::\d+)?|[^/?[\]@]+)(?=[/?]|$)/i

/** The path of a request target. Not `new URL(…)`, which throws on targets such as `//`. */
export function pathOf(target = '/'): string {
  const path = target.replace(ORIGIN, '')
  const query = path.indexOf('?')
  return (query < 0 ? path : path.slice(0, query)) || '/'
}

function refuse(socket: Duplex, error: unknown): void {
  const shown = error instanceof GatewayError ? error : new GatewayError('internal', 'The upgrade failed.')
  const status = shown.row.http
  const body = JSON.stringify({ error: shown })
  const retry =
    shown.retryAfterMs === undefined ? '' : `Retry-After: ${Math.ceil(shown.retryAfterMs / 1000)}\r\n`
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `${retry}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    () => socket.destroy(),
  )
}
