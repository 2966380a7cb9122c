import { GatewayError, LIMITS } from '@turnpike/protocol'
import { parseJson } from '@turnpike/protocol/wire'
import { isRefusal, noteMistake } from './client-mistakes.ts'
import { workloadOf } from './remembered-peers.ts'
import { sendReplies } from './send-replies.ts'
import { type ShownError, CallError, WebSocketError, errorFrame } from './websocket-error.ts'
import type { WebSocketConnection, WebSocketMessage } from './websocket-handler.ts'

/** Characters of a client's own words in an error. */
const MAX_SHOWN = 64

/** Any schema of a library that speaks Standard Schema, such as zod: see standardschema.dev. */
export interface PayloadSchema<Payload> {
  readonly '~standard': {
    readonly validate: (value: unknown) => Validated<Payload> | Promise<Validated<Payload>>
  }
}

type Validated<Payload> =
  | { readonly value: Payload; readonly issues?: undefined }
  | { readonly issues: readonly Issue[] }

interface Issue {
  readonly message: string
  readonly path?: readonly unknown[] | undefined
}

/**
 * Handles the messages of one type. What it gives is the reply: a message where it has a `type`, else the payload of one
 * of the same type. An async generator replies with each yield. Nothing is replied where it gives nothing.
 *
 * `signal` is aborted once the connection ends. A generator is ended then, too; but one that waits for something only
 * when that has come.
 */
export type MessageRoute<Payload> = (
  connection: WebSocketConnection,
  payload: Payload,
  context: { readonly signal: AbortSignal },
) => unknown

interface Route {
  readonly schema: PayloadSchema<unknown> | undefined
  readonly handler: MessageRoute<unknown>
}

interface Request {
  readonly type: string
  readonly payload: unknown
  /** What the client tells its answers apart by, as it named it. */
  readonly ids: { readonly id?: unknown; readonly requestId?: unknown }
}

/** Hands messages `{ type, payload }` to the route of their type, and sends what that replies. */
export class WebSocketMessageRouter {
  readonly #routes = new Map<string, Route>()

  /**
   * Takes a type. With a schema, the payload is what that made of it.
   *
   * @throws TypeError where the type has a route already, or there is no handler
   */
  route(type: string, handler: MessageRoute<unknown>): this
  route<Payload>(
    type: string,
    options: { readonly payload: PayloadSchema<Payload> },
    handler: MessageRoute<Payload>,
  ): this
  route(
    type: string,
    first: MessageRoute<unknown> | { readonly payload: PayloadSchema<unknown> },
    second?: MessageRoute<never>,
  ): this {
    const schema = typeof first === 'function' ? undefined : first.payload
    const handler = typeof first === 'function' ? first : second
    if (typeof handler !== 'function') throw new TypeError(`The route "${type}" has no handler.`)
    if (this.#routes.has(type)) throw new TypeError(`The type "${type}" has a route already.`)
    this.#routes.set(type, { schema, handler: handler as MessageRoute<unknown> })
    return this
  }

  /** The types that have a route. */
  getRoutes(): string[] {
    return [...this.#routes.keys()]
  }

  /**
   * Handles a message, and resolves with the last reply once all are sent: none is before the peer has room for it.
   *
   * What is wrong is also told to the client, as `{ type: "error", error, code }` with the id of its request.
   *
   * @throws WebSocketError `invalid-frame` where it is not text, not JSON, not an object or without a type; `too-deep`;
   *   `unknown-command` where nobody routes its type; `invalid-payload` where the schema does not take it. And whatever
   *   the route throws.
   */
  async handle(connection: WebSocketConnection, message: WebSocketMessage): Promise<unknown> {
    const workload = workloadOf(connection)
    const { replies } = workload
    let ids: Request['ids'] = {}
    workload.requestBegan()
    try {
      const request = requestIn(message)
      ids = request.ids
      const route = this.#routes.get(request.type)
      if (!route)
        throw new WebSocketError(`Unknown message type: ${shorten(request.type)}`, {
          code: 'unknown-command',
        })
      const payload = await checked(route.schema, request.payload)
      const given = route.handler(connection, payload, replies)
      return await sendReplies(replies, given, (reply) => ({
        ...messageOf(request.type, reply),
        ...ids,
      }))
    } catch (thrown) {
      const error = withConnection(thrown, connection.id)
      await replies.send({ ...errorFrame(shownOf(error)), ...ids })
      if (isShown(error) && isRefusal(error)) noteMistake(error)
      throw error
    } finally {
      workload.requestEnded()
    }
  }
}

/** @throws WebSocketError `invalid-frame` | `too-deep` */
function requestIn({ type: kind, data }: WebSocketMessage): Request {
  if (kind !== 'text' || typeof data !== 'string') throw unreadable('Message is not text')
  const message = parsed(data)
  if (typeof message !== 'object' || message === null || Array.isArray(message)) {
    throw unreadable('Message is not an object')
  }
  const { type, payload, id, requestId } = message as Record<string, unknown>
  if (typeof type !== 'string' || type === '') throw unreadable('Message has no type')
  const ids = { ...(isId(id) && { id }), ...(isId(requestId) && { requestId }) }
  return { type, payload, ids }
}

function parsed(text: string): unknown {
  try {
    return parseJson(text)
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    const message = error.code === 'too-deep' ? error.message : 'Message is not JSON'
    throw new WebSocketError(message, { code: error.code })
  }
}

/** @throws WebSocketError `invalid-payload` */
async function checked(schema: PayloadSchema<unknown> | undefined, payload: unknown): Promise<unknown> {
  if (!schema) return payload
  const validated = await schema['~standard'].validate(payload)
  if (!validated.issues) return validated.value
  const [issue] = validated.issues
  const place = ['payload', ...(issue?.path ?? []).map(keyOf)].join('.')
  throw new WebSocketError(`"${shorten(place)}": ${issue?.message ?? 'not accepted'}`, {
    code: 'invalid-payload',
  })
}

/** A step of a path is a key, or an object that has one. */
function keyOf(step: unknown): string {
  return String(typeof step === 'object' && step !== null && 'key' in step ? step.key : step)
}

function messageOf(type: string, reply: unknown): object {
  const isMessage =
    typeof reply === 'object' && reply !== null && 'type' in reply && typeof reply.type === 'string'
  return isMessage ? reply : { type, payload: reply }
}

/** What the caller gets says whose connection it is; what a route threw stays what it is. */
function withConnection(thrown: unknown, connectionId: string): unknown {
  if (!(thrown instanceof WebSocketError) || thrown.connectionId !== undefined) return thrown
  const { message, code, cause } = thrown
  if (thrown instanceof CallError) return new CallError(message, { code, connectionId, cause })
  return new WebSocketError(message, { code, connectionId, cause })
}

function isShown(error: unknown): error is GatewayError | WebSocketError {
  return error instanceof WebSocketError || error instanceof GatewayError
}

function shownOf(error: unknown): ShownError {
  if (isShown(error)) return error
  return { message: 'Something went wrong on the server.', code: 'internal' }
}

function unreadable(message: string): WebSocketError {
  return new WebSocketError(message, { code: 'invalid-frame' })
}

function isId(value: unknown): value is string | number {
  return typeof value === 'number' || (typeof value === 'string' && value.length <= LIMITS.idChars)
}

function shorten(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}
