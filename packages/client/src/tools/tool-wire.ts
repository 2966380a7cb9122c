import type { GatewayError } from '@turnpike/protocol'
import { type Goodbye, endOf, refusalOf } from '../inbound.ts'
import { type Link, type LinkAddress, type LinkEnd, type LinkHandlers, type Wire, LinkLost } from '../wire.ts'
import type { WebSocketConstructor, WebSocketLike } from '../wires/websocket.ts'
import { type Tool, registered } from './tool.ts'
import { ToolCalls } from './tool-calls.ts'

const SUBPROTOCOL = 'turnpike.v1'
const OPEN_MS = 10_000
const ANSWER_MS = 20_000
/** A third of the silence after which a gateway holds an entity to be gone. */
const HEARTBEAT_MS = 20_000

export interface ToolWireOptions {
  readonly WebSocket: WebSocketConstructor
  readonly tools: readonly Tool[]
  readonly entity: string | undefined
}

/**
 * The WebSocket at `/connections`. A link is open once the tools are registered.
 *
 * @throws TypeError where the parameters of a tool cannot be told as JSON Schema
 */
export function toolWire(options: ToolWireOptions): Wire {
  // Here, where whoever connects hears of it: in a listener it would take down the process.
  const told = { ...options, list: options.tools.map(registered) }
  return { name: 'websocket', open: (address, handlers) => new ToolLink(told, { address, handlers }) }
}

interface ToolLinkOptions extends ToolWireOptions {
  /** The tools as the gateway is told of them. */
  readonly list: readonly object[]
}

interface Waiting {
  readonly settle: (error?: GatewayError) => void
  readonly stop: () => void
}

class ToolLink implements Link {
  readonly #options: ToolLinkOptions
  readonly #address: LinkAddress
  readonly #handlers: LinkHandlers
  readonly #socket: WebSocketLike
  readonly #calls: ToolCalls
  readonly #waiting = new Map<unknown, Waiting>()
  #stopTimer: () => void
  #goodbye: Goodbye | undefined
  #heardAt: number
  #lastId = 0
  #reached = false
  #ended = false

  constructor(options: ToolLinkOptions, link: { address: LinkAddress; handlers: LinkHandlers }) {
    const { WebSocket, tools, entity } = options
    const { address, handlers } = link
    const { clock, url, ticket } = address
    this.#options = options
    this.#address = address
    this.#handlers = handlers
    this.#heardAt = clock.now()
    this.#calls = new ToolCalls({ tools, clock, ask: (...asked) => this.#ask(...asked) })
    const given = Object.entries({ entity, ticket }).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
    )
    const query = given.length > 0 ? `?${given.join('&')}` : ''
    this.#socket = new WebSocket(`${url.replace(/^http/, 'ws')}/connections${query}`, SUBPROTOCOL)
    this.#stopTimer = clock.after(OPEN_MS, () => this.#end({}))
    this.#socket.addEventListener('open', () => this.#opened())
    this.#socket.addEventListener('message', ({ data }) => this.#receive(data))
    this.#socket.addEventListener('close', ({ code }) => this.#end({ closeCode: code }))
    // The close that follows says all there is to say.
    this.#socket.addEventListener('error', () => {})
  }

  get heardAt(): number {
    return this.#heardAt
  }

  /** Tools are all that this link is for. */
  request: Link['request'] = (_command, _payload, settle) => settle({ error: new LinkLost() })

  probe(): void {
    if (this.#reached) this.#ask('heartbeat', {})
  }

  close(): void {
    if (this.#ended) return
    this.#ended = true
    this.#stopTimer()
    for (const { stop } of this.#waiting.values()) stop()
    this.#waiting.clear()
    this.#calls.end()
    this.#socket.close(1000)
  }

  #opened(): void {
    if (this.#ended) return
    this.#reached = true
    const { token, ticket } = this.#address
    // The two go together: the gateway keeps what comes before its verdict.
    if (token !== undefined && ticket === undefined) {
      this.#ask('auth', { token }, (error) => error && this.#end({ error }))
    }
    this.#ask('tool.register', { tools: this.#options.list }, (error) => {
      if (error) return this.#end({ error })
      this.#beat()
      this.#handlers.onOpen()
    })
  }

  #beat(): void {
    this.#stopTimer()
    this.#stopTimer = this.#address.clock.after(HEARTBEAT_MS, () => {
      this.probe()
      this.#beat()
    })
  }

  /** A gateway that does not answer is as good as gone. */
  #ask(command: string, payload: unknown, settle: (error?: GatewayError) => void = () => {}): void {
    if (this.#ended) return
    const id = ++this.#lastId
    const stop = this.#address.clock.after(ANSWER_MS, () => this.#end({}))
    this.#waiting.set(id, { settle, stop })
    this.#socket.send(JSON.stringify({ id, command, payload }))
  }

  #receive(data: unknown): void {
    if (this.#ended) return
    this.#heardAt = this.#address.clock.now()
    const frame = read(String(data))
    if (!frame) return this.#end({})
    if ('ok' in frame) this.#answer(frame)
    else if (frame['type'] === 'goodbye') this.#goodbye = frame as unknown as Goodbye
    else this.#calls.take(frame)
  }

  #answer(frame: Readonly<Record<string, unknown>>): void {
    const waiting = this.#waiting.get(frame['id'])
    if (!waiting) return
    this.#waiting.delete(frame['id'])
    waiting.stop()
    const { ok, error } = frame
    waiting.settle(ok === true ? undefined : refusalOf(error))
  }

  #end(end: Omit<LinkEnd, 'reached'>): void {
    if (this.#ended) return
    this.close()
    this.#handlers.onEnd({ reached: this.#reached, ...endOf(this.#goodbye), ...end })
  }
}

function read(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const frame: unknown = JSON.parse(text)
    return typeof frame === 'object' && frame !== null ? (frame as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
