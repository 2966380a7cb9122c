import type { Answer, ThreadReset } from './commands.ts'
import type { ErrorBody } from './errors.ts'
import type { ThreadEvent } from './events.ts'

/** One message on a wire: what it is called there, its body as JSON, and the event it stands for. */
export interface Frame {
  readonly name: string
  readonly json: string
  /** The event id of a frame that a reader may resume after. */
  readonly id?: string
}

/** A vocabulary: how the canonical events are said on one kind of wire. Pure; remembers nothing. */
export interface Dialect {
  readonly name: string
  /** The frames an event becomes; none where the vocabulary has no word for it. */
  encode(event: ThreadEvent): readonly Frame[]
  /** How a reader is told that it goes on from a history. */
  reset(reset: ThreadReset): readonly Frame[]
}

/** What tells one request from another; null where the request could not be read. */
export type RequestId = string | number | null

/** A command as a client sent it; `payload` is still unchecked. */
export interface Request {
  readonly id: RequestId
  readonly command: string
  readonly payload: unknown
}

/** A vocabulary in which clients also speak. */
export interface DuplexDialect extends Dialect {
  /** @throws GatewayError `invalid-frame` | `too-deep` */
  decode(text: string): Request
  answer(id: RequestId, answer: Answer): readonly Frame[]
  /** Said before a close that the client should know how to take, with a ticket to come back with where there is one. */
  goodbye(error: ErrorBody, ticket?: string): readonly Frame[]
}
