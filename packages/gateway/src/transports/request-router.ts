import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { pathOf } from './upgrade-router.ts'

/** Answers one request. */
export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void

type Listener = (...args: unknown[]) => void

const routers = new WeakMap<Server, RequestRouter>()

/** The one router of requests of a server, whoever asks first. */
export function requestRouter(server: Server): RequestRouter {
  let router = routers.get(server)
  if (!router) {
    router = new RequestRouter(server)
    routers.set(server, router)
  }
  return router
}

/**
 * Takes some paths of a server away from who listens on it; everything else reaches them as before.
 *
 * A server calls all of its listeners for each request, so whoever answers 404 to what it does not know would answer
 * here, too. As Socket.IO does, this takes the place of the listeners that are there when it is made; an app of one's own
 * has to be on the server by then.
 */
export class RequestRouter {
  readonly #server: Server
  readonly #before: readonly Listener[]
  readonly #handlers = new Map<string, RequestHandler>()
  #otherwise: RequestHandler = notFound

  constructor(server: Server) {
    this.#server = server
    this.#before = server.listeners('request') as Listener[]
    server.removeAllListeners('request')
    server.on('request', this.#onRequest)
  }

  /** Takes a path; an earlier handler of it is replaced. Returns what gives it back. */
  add(path: string, handler: RequestHandler): () => void {
    this.#handlers.set(path, handler)
    return () => {
      if (this.#handlers.get(path) === handler) this.#handlers.delete(path)
    }
  }

  /** Answers what nobody else is there for. Returns what takes that back. */
  otherwise(handler: RequestHandler): () => void {
    this.#otherwise = handler
    return () => {
      if (this.#otherwise === handler) this.#otherwise = notFound
    }
  }

  readonly #onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const handler = this.#handlers.get(pathOf(request.url))
    if (handler) return handler(request, response)
    for (const listener of this.#before) Reflect.apply(listener, this.#server, [request, response])
    if (this.#before.length === 0 && this.#server.listenerCount('request') === 1) {
      this.#otherwise(request, response)
    }
  }
}

function notFound(_request: IncomingMessage, response: ServerResponse): void {
  const error = { code: 'unknown-route', message: 'Nothing is served at this path.' }
  response.writeHead(404, { 'content-type': 'application/json' }).end(JSON.stringify({ error }))
}
