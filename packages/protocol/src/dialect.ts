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
}
