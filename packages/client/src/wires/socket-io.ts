import type { Answer, CommandName, ErrorBody, PayloadOf } from '@turnpike/protocol'
import { type ManagerOptions, type Socket, type SocketOptions, io } from 'socket.io-client'
import { type Goodbye, endOf, readEvent, refusalOf } from '../inbound.ts'
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

const OPEN_MS = 10_000
const ANSWER_MS = 20_000
const PROBE_MS = 5_000

export interface SocketIoOptions {
  /** Behind the client's `url`. @default '/streaming' */
  readonly path?: string
  /** @default long-polling first, then WebSocket where that gets through */
  readonly transports?: readonly ('polling' | 'websocket')[]
}

/**
 * Socket.IO, for where nothing else gets through, or for a server that serves nothing else.
 *
 * @example
 * const client = createClient({ url, wires: [socketIo()] })
 */
export function socketIo(options: SocketIoOptions = {}): Wire {
  return {
    name: 'socket.io',
    open: (address, handlers) => new SocketIoLink(options, { address, handlers }),
  }
}

class SocketIoLink implements Link {
  readonly #socket: Socket
  readonly #address: LinkAddress
  readonly #handlers: LinkHandlers
  readonly #waiting = new Set<(outcome: Outcome<CommandName>) => void>()
  readonly #probeId = newId()
  #stopOpening: () => void
  #goodbye: Goodbye | undefined
  #heardAt: number
  #reached = false
  #probing = false
  #ended = false

  constructor(
    { path = '/streaming', transports }: SocketIoOptions,
    { address, handlers }: { address: LinkAddress; handlers: LinkHandlers },
  ) {
    const { url, token, ticket, clock } = address
    this.#address = address
    this.#handlers = handlers
    this.#heardAt = clock.now()
    const { origin, pathname } = new URL(url)
    const options: Partial<ManagerOptions & SocketOptions> = {
      path: `${pathname.replace(/\/$/, '')}${path}`,
      auth: { ...(ticket === undefined ? token !== undefined && { token } : { ticket }) },
      ...(transports && { transports: [...transports] }),
      // Coming back is the client's own doing, and each link is a connection of its own.
      reconnection: false,
      forceNew: true,
    }
    this.#socket = io(origin, options)
    this.#stopOpening = clock.after(OPEN_MS, () => this.#end({}))
    this.#listen()
  }

  get heardAt(): number {
    return this.#heardAt
  }

  request<Name extends CommandName>(command: Name, payload: PayloadOf<Name>, settle: Settle<Name>): void {
    this.#ask(command, { payload, deadlineMs: ANSWER_MS }, settle as Settle<CommandName>)
  }

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
    this.#socket.off()
    this.#socket.disconnect()
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const settle of waiting) settle({ error: new LinkLost() })
  }

  #listen(): void {
    const socket = this.#socket
    socket.on('connect', () => {
      this.#stopOpening()
      this.#reached = true
      this.#handlers.onOpen()
    })
    socket.on('connect_error', ({ data }: Error & { data?: ErrorBody | null }) => {
      // Only the server's own refusals have data.
      this.#reached = data !== undefined && data !== null
      this.#end(data ? { error: refusalOf(data) } : {})
    })
    socket.on('disconnect', () => this.#end({}))
    socket.onAny((name: string, payload: unknown) => this.#receive(name, payload))
    socket.io.on('ping', () => this.#hear())
    socket.io.engine?.on('packet', () => this.#hear())
  }

  #hear(): void {
    this.#heardAt = this.#address.clock.now()
  }

  #receive(name: string, payload: unknown): void {
    if (this.#ended) return
    this.#hear()
    if (name === 'goodbye') this.#goodbye = payload as Goodbye
    else {
      const event = readEvent(payload)
      if (event) this.#handlers.onFrame(event)
    }
  }

  #ask(
    command: CommandName,
    { payload, deadlineMs }: { payload: unknown; deadlineMs: number },
    settle: Settle<CommandName>,
  ): void {
    if (this.#ended) return settle({ error: new LinkLost() })
    const once = (outcome: Outcome<CommandName>): void => {
      if (!this.#waiting.delete(once) && !this.#ended) return
      stop()
      settle(outcome)
    }
    const stop = this.#watch(deadlineMs)
    this.#waiting.add(once)
    this.#socket.emit(command, payload, (answer: Answer | null | undefined) => {
      if (!this.#waiting.has(once)) return
      this.#hear()
      // What answers with nothing does not speak this protocol, or does no longer.
      if (typeof answer !== 'object' || answer === null) return this.#end({})
      once(answer.ok ? { answer } : { error: refusalOf(answer.error) })
    })
  }

  /** A server that does not answer is as good as gone, unless the line is only slow: then something else moves. */
  #watch(deadlineMs: number): () => void {
    const heardAt = this.#heardAt
    let stop = this.#address.clock.after(deadlineMs, () => {
      if (this.#heardAt === heardAt) this.#end({})
      else stop = this.#watch(deadlineMs)
    })
    return () => stop()
  }

  #end(end: Omit<LinkEnd, 'reached'>): void {
    if (this.#ended) return
    this.close()
    this.#handlers.onEnd({ reached: this.#reached, ...endOf(this.#goodbye), ...end })
  }
}
