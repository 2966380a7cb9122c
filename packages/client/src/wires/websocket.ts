import { type CommandName, type PayloadOf, GatewayError } from '@turnpike/protocol'
import { type Answered, type Goodbye, endOf, readFrame, refusalOf } from '../inbound.ts'
import { newId } from '../new-id.ts'
import {
  type Link,
  type LinkAddress,
  type LinkEnd,
  type LinkHandlers,
  type Outcome,
  type Settle,
  type Wire,
  LinkLost,
} from '../wire.ts'

const SUBPROTOCOL = 'turnpike.v1'
const OPEN_MS = 10_000
const ANSWER_MS = 20_000
const PROBE_MS = 5_000
/** The close code for a frame that is too large. */
const TOO_LARGE = 1009

/** What is needed of a WebSocket: that of browsers, of Node, or of `ws`. */
export interface WebSocketLike {
  /** What was given to it and is not yet on its way. */
  readonly bufferedAmount?: number
  send(data: string): void
  close(code?: number): void
  addEventListener(type: 'open' | 'error', listener: () => void): void
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void
  addEventListener(type: 'close', listener: (event: { readonly code: number }) => void): void
}

export type WebSocketConstructor = new (url: string, protocol: string) => WebSocketLike

/** The native WebSocket at `/stream`. The token goes with the first message, since browsers can send no headers. */
export function websocketWire(WebSocket: WebSocketConstructor): Wire {
  return {
    name: 'websocket',
    open: (address, handlers) => new WebSocketLink(WebSocket, { address, handlers }),
  }
}

interface Waiting {
  readonly size: number
  readonly settle: (outcome: Outcome<CommandName>) => void
  readonly stop: () => void
}

class WebSocketLink implements Link {
  readonly #socket: WebSocketLike
  readonly #address: LinkAddress
  readonly #handlers: LinkHandlers
  readonly #waiting = new Map<unknown, Waiting>()
  readonly #probeId = newId()
  #stopOpening: () => void
  #goodbye: Goodbye | undefined
  #heardAt: number
  #lastId = 0
  #reached = false
  #probing = false
  #ended = false

  constructor(
    WebSocket: WebSocketConstructor,
    { address, handlers }: { address: LinkAddress; handlers: LinkHandlers },
  ) {
    const { url, ticket, clock } = address
    this.#address = address
    this.#handlers = handlers
    this.#heardAt = clock.now()
    const query = ticket === undefined ? '' : `?ticket=${encodeURIComponent(ticket)}`
    this.#socket = new WebSocket(`${url.replace(/^http/, 'ws')}/stream${query}`, SUBPROTOCOL)
    this.#stopOpening = clock.after(OPEN_MS, () => this.#end({}))
    this.#socket.addEventListener('open', () => this.#opened())
    this.#socket.addEventListener('message', ({ data }) => this.#receive(data))
    this.#socket.addEventListener('close', ({ code }) => this.#end({ closeCode: code }))
    // The close that follows says all there is to say.
    this.#socket.addEventListener('error', () => {})
  }

  get heardAt(): number {
    return this.#heardAt
  }

  request<Name extends CommandName>(command: Name, payload: PayloadOf<Name>, settle: Settle<Name>): void {
    this.#ask(command, { payload, deadlineMs: ANSWER_MS }, settle as Settle<CommandName>)
  }

  /** Pings cannot be seen from here, so it asks for something that costs nothing. */
  probe(): void {
    if (this.#probing || this.#ended || !this.#reached) return
    this.#probing = true
    const payload = { threadId: this.#probeId }
    this.#ask('thread.unsubscribe', { payload, deadlineMs: PROBE_MS }, () => (this.#probing = false))
  }

  close(): void {
    if (this.#ended) return
    this.#ended = true
    this.#stopOpening()
    this.#socket.close(1000)
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { settle, stop } of waiting) {
      stop()
      settle({ error: new LinkLost() })
    }
  }

  #ask(
    command: CommandName,
    { payload, deadlineMs }: { payload: unknown; deadlineMs: number },
    settle: Settle<CommandName>,
  ): void {
    if (this.#ended) return settle({ error: new LinkLost() })
    const id = ++this.#lastId
    const frame = JSON.stringify({ id, command, payload })
    this.#socket.send(frame)
    this.#waiting.set(id, { size: frame.length, settle, stop: this.#watch(deadlineMs) })
  }

  /** A server that does not answer is as good as gone, unless the line is only slow: then something else moves. */
  #watch(deadlineMs: number): () => void {
    const heardAt = this.#heardAt
    const { bufferedAmount = 0 } = this.#socket
    let stop = this.#address.clock.after(deadlineMs, () => {
      const moves = this.#heardAt !== heardAt || (this.#socket.bufferedAmount ?? 0) < bufferedAmount
      if (moves) stop = this.#watch(deadlineMs)
      else this.#end({})
    })
    return () => stop()
  }

  #opened(): void {
    if (this.#ended) return
    this.#stopOpening()
    this.#reached = true
    const { token, ticket } = this.#address
    const judged: Settle<CommandName> = (outcome) => {
      if ('answer' in outcome) this.#handlers.onOpen()
      else if (outcome.error instanceof GatewayError) this.#end({ error: outcome.error })
    }
    // The server looks at a ticket first, and takes only so much before it has: one command that costs nothing.
    if (ticket !== undefined) this.request('thread.unsubscribe', { threadId: this.#probeId }, judged)
    else if (token !== undefined) this.request('auth', { token }, judged)
    else this.#handlers.onOpen()
  }

  #receive(data: unknown): void {
    if (this.#ended) return
    this.#heardAt = this.#address.clock.now()
    try {
      const frame = readFrame(String(data))
      if (frame?.type === 'answer') this.#answer(frame)
      else if (frame?.type === 'goodbye') this.#goodbye = frame
      else if (frame) this.#handlers.onFrame(frame)
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      // A frame that cannot be read may have been an event. On another connection it comes again.
      this.#end({})
    }
  }

  #answer({ id, answer }: Answered): void {
    const waiting = this.#waiting.get(id)
    if (!waiting) return
    this.#waiting.delete(id)
    waiting.stop()
    waiting.settle(answer.ok ? { answer } : { error: refusalOf(answer.error) })
  }

  /** The server does not say which frame it was. Said again, it would end the next connection as well. */
  #refuseLargest(): void {
    const [largest] = [...this.#waiting].toSorted(([, a], [, b]) => b.size - a.size)
    if (!largest) return
    const [id, { settle, stop }] = largest
    this.#waiting.delete(id)
    stop()
    settle({ error: new GatewayError('payload-too-large', 'The server takes no frame of this size.') })
  }

  #end(end: Omit<LinkEnd, 'reached'>): void {
    if (this.#ended) return
    if (end.closeCode === TOO_LARGE) this.#refuseLargest()
    this.close()
    this.#handlers.onEnd({ reached: this.#reached, ...endOf(this.#goodbye), ...end })
  }
}
