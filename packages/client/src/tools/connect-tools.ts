import { closing } from '../closing.ts'
import { type Clock, systemClock } from '../clock.ts'
import { type ConnectionState, Connection } from '../connection.ts'
import { Http } from '../http.ts'
import { type Surroundings, surroundingsOf } from '../surroundings.ts'
import { type TokenOptions, Tokens } from '../tokens.ts'
import type { WebSocketConstructor } from '../wires/websocket.ts'
import type { Tool } from './tool.ts'
import { toolWire } from './tool-wire.ts'

export interface ToolConnectionOptions extends TokenOptions {
  /** The gateway's address: `https://host`. */
  readonly url: string
  /** What agents call this entity by, where nobody has to authenticate; else it is the token's subject. */
  readonly entity?: string
  readonly tools: readonly Tool[]
  /** Called with every change: `open` is when the tools can be called. */
  readonly onState?: (state: ConnectionState) => void
  /** @default the global one */
  readonly WebSocket?: WebSocketConstructor
  /** @default the global one */
  readonly fetch?: typeof globalThis.fetch
  /** @default that of the machine */
  readonly clock?: Clock
  /** @default those of the machine */
  readonly surroundings?: Surroundings
}

/** Tools that a gateway can call for as long as this is not closed. */
export interface ToolConnection extends AsyncDisposable {
  /** Resolves once the tools could be called for the first time; rejects where the gateway refuses for good, or at `close`. */
  readonly ready: Promise<void>
  readonly state: ConnectionState
  /** Takes the tools away. Calls that run are aborted. */
  close(): void
}

/**
 * Brings tools to the agents of a gateway, from wherever this program runs. It connects by itself, and again whenever
 * the connection is lost.
 *
 * @throws TypeError where the parameters of a tool cannot be told as JSON Schema, such as those with a `z.date()`
 * @example
 * connectTools({
 *   url: 'http://127.0.0.1:3000',
 *   entity: 'shop',
 *   tools: [tool({ name: 'status', parameters: z.object({ order: z.string() }), execute: ({ order }) => find(order) })],
 * })
 */
export function connectTools(options: ToolConnectionOptions): ToolConnection {
  const { tools, entity, onState, clock = systemClock } = options
  const url = new URL(options.url).href.replace(/[?#].*$/, '').replace(/\/+$/, '')
  const WebSocket = options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket
  if (!WebSocket) throw new TypeError('There is no WebSocket here. Give one to connectTools.')
  const tokens = new Tokens({ ...options, clock })
  const fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init))
  const http = new Http({ url, fetch, tokens, clock })
  const ready = Promise.withResolvers<void>()
  // Who does not ask is not to be taken down by it.
  ready.promise.catch(() => {})
  const connection = new Connection({
    url,
    wires: [toolWire({ WebSocket, tools, entity })],
    tokens,
    clock,
    surroundings: options.surroundings ?? surroundingsOf(url),
    look: () => http.look(),
    onLink: () => ready.resolve(),
    onFrame: () => {},
    onLost: () => {},
    onState(state) {
      if (state.status === 'closed') {
        const error = state.error ?? closing('The connection of the tools')
        http.close(error)
        ready.reject(error)
      }
      onState?.(state)
    },
  })
  connection.start()
  const close = (): void => connection.close()
  return {
    ready: ready.promise,
    get state() {
      return connection.state
    },
    close,
    [Symbol.asyncDispose]: async () => close(),
  }
}
