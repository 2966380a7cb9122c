import { GatewayError } from '@turnpike/protocol'
import type { Socket } from 'socket.io'
import type { Gateway } from '../../gateway.ts'
import { type Admitted, admittedFrom } from '../../access/identity.ts'
import { ANONYMOUS } from '../../stores/thread-ref.ts'
import { presentedBy } from '../../transports/socket-io-guard.ts'
import { assertOrigin } from '../../transports/socket-io-origins.ts'
import { inPlace } from '../../transports/socket-io-places.ts'

/** Where a socket's own data has who it is of: the one thing that a server recovers. */
const ADMITTED = 'turnpike'

type Next = (error?: Error) => void

/** Middleware of a Socket.IO namespace: `next()` lets in, `next(error)` refuses. */
export type AuthMiddleware = (socket: Socket, next: Next) => unknown

export interface AgentGatewayAdmissionOptions {
  readonly gateway: Gateway
  readonly authMiddleware: AuthMiddleware | undefined
}

/**
 * Lets a socket in once the user's own middleware has, and once it is known who it is. A middleware that throws, rejects
 * or never decides refuses; each refusal has `data: { code, message, retryAfterMs? }`.
 */
export class AgentGatewayAdmission {
  readonly #options: AgentGatewayAdmissionOptions
  readonly #admitted = new WeakMap<Socket, Admitted>()

  constructor(options: AgentGatewayAdmissionOptions) {
    this.#options = options
  }

  readonly middleware = (socket: Socket, next: Next): void => {
    inPlace(this.#options.gateway, socket, () => this.#admit(socket)).then(
      () => next(),
      (error: unknown) => next(this.#refusal(error)),
    )
  }

  /** Who a socket is of, once it is let in; undefined where that is not known. */
  admittedOf(socket: Socket): Admitted | undefined {
    const { gateway, authMiddleware } = this.#options
    // A server that recovers connections lets them in without asking again, as whoever they were.
    const admitted = this.#admitted.get(socket) ?? recoveredOf(socket)
    const isOpen = authMiddleware === undefined && !gateway.admission.isRequired
    return admitted ?? (isOpen ? { principal: ANONYMOUS } : undefined)
  }

  async #admit(socket: Socket): Promise<void> {
    await assertOrigin(this.#options.gateway, socket)
    const admitted = await this.#decide(socket)
    this.#admitted.set(socket, admitted)
    if (socket.nsp.server._opts.connectionStateRecovery) socket.data[ADMITTED] = admitted
  }

  async #decide(socket: Socket): Promise<Admitted> {
    const { gateway, authMiddleware } = this.#options
    const { admission } = gateway
    const isDecided = authMiddleware === undefined && !admission.isRequired
    if (!isDecided) admission.connections.assertRoom()
    const leave = admission.connections.enter()
    try {
      if (authMiddleware) await this.#verdict(socket, authMiddleware)
      return identityOf(socket) ?? (await admission.admit(presentedBy(gateway, socket)))
    } finally {
      leave()
    }
  }

  /** What a middleware decides, in time. What it says later is not heard. */
  async #verdict(socket: Socket, authMiddleware: AuthMiddleware): Promise<void> {
    const { wheel, limits } = this.#options.gateway
    const verdict = Promise.withResolvers<void>()
    const late = new GatewayError('auth-timeout', 'There was no verdict on the connection in time.')
    const stop = wheel.schedule(limits.earlyMs, () => verdict.reject(late))
    const decide: Next = (error) => (error ? verdict.reject(new Refused(error)) : verdict.resolve())
    const ask = async (): Promise<unknown> => authMiddleware(socket, decide)
    ask().catch(verdict.reject)
    await verdict.promise.finally(stop)
  }

  /** An error that the client can tell from others. What a middleware says itself is its own to say. */
  #refusal(error: unknown): Error {
    if (error instanceof GatewayError) return connectError(error)
    if (error instanceof Refused) return error.said
    this.#options.gateway.logger.error({ error }, 'the authMiddleware failed')
    return connectError(
      new GatewayError('internal', 'There was no verdict on the connection. Try again.', { cause: error }),
    )
  }
}

/** Whom a server says that a connection was of which it recovers. */
function recoveredOf(socket: Socket): Admitted | undefined {
  const told: unknown = isObject(socket.data) ? socket.data[ADMITTED] : undefined
  if (!socket.recovered || !isObject(told) || !isObject(told['principal'])) return undefined
  const { principal, expiresAt } = told
  if (principal['id'] === ANONYMOUS.id) return { principal: ANONYMOUS }
  try {
    return admittedFrom({ ...principal, expiresAt })
  } catch {
    // An app may have written anything there.
    return undefined
  }
}

/** Who a middleware has said it is. @throws GatewayError `unauthorized` where that is a user without an id */
function identityOf(socket: Socket): Admitted | undefined {
  const { user, userId } = socket.data as { user?: unknown; userId?: unknown }
  const { id, roles, permissions } = isObject(user) ? user : {}
  const told = id ?? userId ?? ('userId' in socket ? socket.userId : undefined)
  // Or all users of a middleware that calls it otherwise would be one.
  if (isObject(user) && (told === undefined || told === null)) {
    throw new GatewayError('unauthorized', 'The authMiddleware has set a user without an "id".')
  }
  if (told === undefined || told === null || told === ANONYMOUS.id) return undefined
  return admittedFrom({
    id: typeof told === 'number' ? String(told) : told,
    // A user of an app may have these of another kind; then they give no rights.
    ...(isTexts(roles) && { roles }),
    ...(isTexts(permissions) && { permissions }),
  })
}

/** A middleware has refused, with an error of its own. */
class Refused extends Error {
  readonly said: Error

  constructor(given: unknown) {
    super('refused')
    const message = messageOf(given)
    const data = isObject(given) && 'data' in given ? given['data'] : { code: 'unauthorized', message }
    this.said = Object.assign(new Error(message), { data })
  }
}

function connectError(error: GatewayError): Error {
  return Object.assign(new Error(error.message), { data: error.toJSON() })
}

function messageOf(given: unknown): string {
  const message = isObject(given) ? given['message'] : given
  return typeof message === 'string' && message !== '' ? message : 'Unauthorized'
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
