import type { Principal } from '@turnpike/agents'
import { GatewayError } from '@turnpike/protocol'
import { type Context, type MiddlewareHandler, Hono } from 'hono'
import type { Gateway } from '../../gateway.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { type Env, principalOf } from '../../transports/http-input.ts'
import { withBodyOf } from './agent-server-body.ts'
import { type PathShape, comparePaths, covers, pathShapeOf } from './agent-server-path.ts'

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

/** What routes know of a request: Node's own objects, and who asks as `c.var.user`. */
export interface RouteEnv {
  Bindings: Env['Bindings'] & {
    /** Tells who asks, for an open route. @throws GatewayError `unauthorized` … */
    readonly admit: () => Promise<Principal>
  }
  /** Undefined where the route is open. */
  Variables: { user: Principal | undefined }
}

/** A route of one's own. */
export interface ServerRoute {
  readonly method: (typeof METHODS)[number] | Lowercase<(typeof METHODS)[number]>
  /** Below `basePath`; `:name` is a parameter. */
  readonly path: string
  /** Gives a `Response`, or what is answered as JSON; nothing is answered with 204. */
  readonly handler: (c: Context<RouteEnv>) => unknown
  /** These are in `/openapi.json`. */
  readonly description?: string
  readonly tags?: readonly string[]
  /** Whether it takes nobody's token where the server asks for one. @default false */
  readonly open?: boolean
}

/** A route that was checked. */
export interface RegisteredRoute extends Omit<ServerRoute, 'method'> {
  readonly method: (typeof METHODS)[number]
  readonly shape: PathShape
}

/** Routes that may be added at any time, since the app of which they are part is made anew with each. */
export class RegisteredRoutes {
  readonly #gateway: Gateway
  readonly #basePath: string
  /** What is served by others below the same path; that comes first. */
  readonly #taken: readonly { readonly method: string; readonly shape: PathShape }[]
  readonly #routes: RegisteredRoute[] = []
  readonly #pending = new Set<Promise<unknown>>()
  #app: Hono<RouteEnv>
  #isClosed = false

  /** @param others - What is served beside them. */
  constructor(gateway: Gateway, basePath: string, others: Hono<Env>) {
    this.#gateway = gateway
    this.#basePath = basePath
    this.#taken = others.routes.map(({ method, path }) => ({ method, shape: pathShapeOf(path) }))
    this.#app = this.#appOf([])
  }

  list(): readonly RegisteredRoute[] {
    return this.#routes
  }

  /** @throws TypeError where the method or the path is none, or where something is served there already */
  add(route: ServerRoute): void {
    const { handler, path } = route
    const method = METHODS.find((each) => each === String(route.method).toUpperCase())
    if (!method) {
      throw new TypeError(`"method" has to be one of ${METHODS.join(', ')}, got "${String(route.method)}".`)
    }
    if (typeof handler !== 'function') throw new TypeError('"handler" has to be a function.')
    const shape = pathShapeOf(path)
    const isTaken = this.#taken.some((other) => other.method === method && covers(other.shape, shape))
    const isTwice = this.#routes.some((other) => other.method === method && isSame(other.shape, shape))
    if (isTaken || isTwice) throw new TypeError(`${method} ${path} is served already.`)
    this.#routes.push({ ...route, method, shape })
    this.#app = this.#appOf(this.#routes)
  }

  /** Answers a request. @throws GatewayError `unknown-route`, and whatever the route does */
  async answer(c: Context<Env>): Promise<Response> {
    const request = withBodyOf(this.#gateway.limits.frameBytes, c.req.raw)
    return this.#app.fetch(request, { ...c.env, admit: () => principalOf(c, this.#gateway) })
  }

  /** Takes no more requests, and resolves once those that came are answered, or after a time. */
  async close(graceMs: number): Promise<void> {
    this.#isClosed = true
    const late = Promise.withResolvers<void>()
    const timer = setTimeout(late.resolve, graceMs)
    await Promise.race([Promise.allSettled(this.#pending), late.promise])
    clearTimeout(timer)
  }

  #appOf(routes: readonly RegisteredRoute[]): Hono<RouteEnv> {
    const app = new Hono<RouteEnv>().basePath(this.#basePath)
    // What fails is answered by the app that this one is part of.
    app.onError((error) => {
      throw error
    })
    app.notFound(() => {
      throw new GatewayError('unknown-route', 'Nothing is served at this path.')
    })
    const enter: MiddlewareHandler<RouteEnv> = async (c, next) => {
      if (this.#isClosed) throw new GatewayError('draining', 'The server is shutting down.')
      await next()
    }
    const admit: MiddlewareHandler<RouteEnv> = async (c, next) => {
      c.set('user', await c.env.admit())
      await next()
    }
    // A path that is written out wins over one with a parameter, whichever came first.
    for (const route of routes.toSorted((a, b) => comparePaths(a.shape, b.shape))) {
      const guards = route.open ? [enter] : [enter, admit]
      app.on(route.method, [route.path], ...guards, (c) => this.#call(route, c))
    }
    return app
  }

  async #call({ handler }: RegisteredRoute, c: Context<RouteEnv>): Promise<Response> {
    const answer = answerOf(handler, c, this.#gateway.logger)
    this.#pending.add(answer)
    try {
      return await answer
    } finally {
      this.#pending.delete(answer)
    }
  }
}

async function answerOf(
  handler: ServerRoute['handler'],
  c: Context<RouteEnv>,
  logger: Logger,
): Promise<Response> {
  const read = c.req.json.bind(c.req)
  c.req.json = () => read().catch(asBadBody)
  const result = await settled(() => handler(c))
  if (result instanceof Response) return withSafeBody(result, c, logger)
  if (result === undefined) return c.body(null, 204)
  const json: string | undefined = JSON.stringify(result)
  if (json === undefined) throw new TypeError('What a route answers has to be a Response or JSON.')
  return c.body(json, { headers: { 'content-type': 'application/json' } })
}

/** @throws GatewayError `invalid-frame` where the body is no JSON: that is the client's mistake */
function asBadBody(error: unknown): never {
  if (!(error instanceof SyntaxError)) throw error
  throw new GatewayError('invalid-frame', 'The body is not JSON.', { cause: error })
}

/**
 * The same answer with a body that tells nobody but the log why it broke off. One that does so at once is no answer yet:
 * that is thrown.
 */
async function withSafeBody(response: Response, c: Context<RouteEnv>, logger: Logger): Promise<Response> {
  if (!response.body) return response
  const reader = response.body.getReader()
  const reading = reader.read()
  // It is somebody else who waits for it, or nobody.
  reading.catch(() => {})
  let next: typeof reading | undefined = reading
  let isOver = false
  await settled(() => Promise.race([reading, nextTurn()]))
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await (next ?? reader.read())
        next = undefined
        if (isOver) return
        if (done) controller.close()
        else controller.enqueue(value)
      } catch (error) {
        if (isOver) return
        isOver = true
        logger.error({ error }, 'the answer of a route broke off')
        await breakOff(c.env.outgoing)
      }
    },
    // The source has ended then, and says so to the `pull` that waits for it.
    cancel(reason) {
      isOver = true
      return reader.cancel(reason)
    },
  })
  return new Response(body, response)
}

/** Cuts an answer behind what is written of it: the server would write an error of its body to standard error itself. */
async function breakOff(outgoing: RouteEnv['Bindings']['outgoing']): Promise<void> {
  while (!outgoing.headersSent && !outgoing.destroyed) await nextTurn()
  await nextTurn()
  outgoing.destroy()
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Hono lets nothing but errors reach its handlers of errors. */
async function settled(task: () => unknown): Promise<unknown> {
  try {
    return await task()
  } catch (error) {
    throw error instanceof Error ? error : new Error('A route threw what is no error.', { cause: error })
  }
}

function isSame(one: PathShape, other: PathShape): boolean {
  return covers(one, other) && covers(other, one)
}
