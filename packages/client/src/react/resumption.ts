import { type EventId, type ThreadEvent, seqOf } from '@turnpike/protocol'

/** What the latest reconnect brought. */
export interface Resumed {
  /** Events that had happened meanwhile and came one by one. */
  readonly replayed: number
  /** They were too many, or lost with the server: the history came in their place. */
  readonly fromHistory: boolean
  /** When the connection was there again. */
  readonly at: number
}

/**
 * Counts what a reconnect brings.
 *
 * Nothing in the events tells a replayed one from a live one, so it goes by their time: what is older than the new
 * connection was missed. The server's clock may be another one; live events tell how far it is off.
 */
export class Resumption {
  current: Resumed | undefined
  #from: number | undefined
  #offMs: number | undefined

  /** The connection is there again; `head` was the last event known. */
  begin(head: EventId, now: number): void {
    this.#from = seqOf(head)
    this.current = { replayed: 0, fromHistory: false, at: now }
  }

  take(event: ThreadEvent, now: number): void {
    if (this.#from !== undefined && this.current && event.ts <= this.current.at - (this.#offMs ?? 0)) {
      this.current = { ...this.current, replayed: event.seq - this.#from }
      return
    }
    this.#from = undefined
    this.#offMs = Math.min(this.#offMs ?? Infinity, now - event.ts)
  }

  /** A history came in place of the events. */
  replaced(): void {
    if (this.#from === undefined || !this.current) return
    this.current = { ...this.current, replayed: 0, fromHistory: true }
    this.#from = undefined
  }
}
