import { type Answers, type PayloadOf, GatewayError } from '@turnpike/protocol'
import { type Clock, systemClock } from './clock.ts'
import { closing } from './closing.ts'
import { type ConnectionState, Connection } from './connection.ts'
import { Feeds } from './feeds.ts'
import { type Fetch, Http } from './http.ts'
import { Outbox } from './outbox.ts'
import { type Surroundings, surroundingsOf } from './surroundings.ts'
import { type AgentInfo, type Threads, createThreads } from './threads.ts'
import { type TokenOptions, Tokens } from './tokens.ts'
import type { Wire } from './wire.ts'
import { sseWire } from './wires/sse.ts'
import { type WebSocketConstructor, websocketWire } from './wires/websocket.ts'

/** Which wire to use. `auto` takes the WebSocket, and event streams where something on the way blocks that. */
export type Transport = 'auto' | 'websocket' | 'sse'

export interface ClientOptions extends TokenOptions {
  /** Where the gateway is: `https://host`, with a path before its routes if it has one. @default the page's own origin */
  readonly url?: string
  /** A token for good. */
  readonly token?: string | undefined
  /**
   * Gives a token. It is asked at the first connection, and again when a token is refused or has expired; a fresh one
   * that is refused, too, closes the client.
   */
  readonly getToken?: (() => string | undefined | Promise<string | undefined>) | undefined
  /** @default 'auto' */
  readonly transport?: Transport
  /** @default the global one */
  readonly fetch?: Fetch
  /** @default the global one */
  readonly WebSocket?: WebSocketConstructor
  /** Messages and commands that may wait for a connection. @default 100 */
  readonly maxQueued?: number
  /** Time and chance, for tests. */
  readonly clock?: Clock
  /** What tells about the network and the page, for tests and for shells that know better. */
  readonly surroundings?: Surroundings
  /** Wires in place of those that `transport` names: the preferred one, and one to fall back to. */
  readonly wires?: readonly [preferred: Wire, fallback?: Wire]
}

/** A client of one gateway. Everything it has shares one connection, which it opens when something needs it. */
export interface Client extends AsyncDisposable {
  readonly threads: Threads
  readonly runs: {
    /**
     * Stops a run: the answer is `cancelling`, and its last event follows. Of one that has ended it tells how.
     *
     * @throws GatewayError `unknown-run`
     */
    cancel(runId: string): Promise<Answers['run.cancel']>
  }
  readonly approvals: {
    /**
     * Decides what an `approval-pending` asked for. `first` tells whether this answer was the one that counted.
     *
     * @throws GatewayError `unknown-approval`
     */
    resolve(decision: PayloadOf<'approval.resolve'>): Promise<Answers['approval.resolve']>
  }
  readonly agents: {
    /** The agents that are served; the first one is the default. */
    list(options?: { readonly signal?: AbortSignal }): Promise<readonly AgentInfo[]>
  }
  readonly connection: {
    readonly state: ConnectionState
    /** Calls back with every change; returns what stops it. */
    onChange(listener: (state: ConnectionState) => void): () => void
  }
  /** Ends everything; runs go on. */
  close(): void
}

/**
 * Makes a client of the gateway at `url`.
 *
 * @example
 * const client = createClient({ url: 'http://127.0.0.1:3000' })
 * const stream = await client.threads.stream({ message: 'Hello' })
 * for await (const event of stream) {
 *   if (event.type === 'text-delta') show(event.delta)
 * }
 */
export function createClient(options: ClientOptions = {}): Client {
  const url = addressOf(options.url)
  const { clock = systemClock, surroundings = surroundingsOf(url), maxQueued = 100 } = options
  const fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init))
  const tokens = new Tokens({ ...options, clock })
  const http = new Http({ url, fetch, tokens, clock })
  const listeners = new Set<(state: ConnectionState) => void>()
  const onTrouble = (error?: GatewayError): void => connection.restart(error)
  const feeds = new Feeds({ clock, onTrouble })
  const outbox = new Outbox({ onTrouble, clock })

  const connection = new Connection({
    url,
    wires: options.wires ?? wiresOf(options, fetch),
    tokens,
    clock,
    surroundings,
    look: () => http.look(),
    onLink(link) {
      feeds.attach(link)
      outbox.attach(link)
    },
    onFrame: (frame) => feeds.take(frame),
    onLost() {
      feeds.detach()
      outbox.detach()
    },
    onState(state) {
      for (const listener of [...listeners]) tell(listener, state)
      if (state.status !== 'closed') return
      const error = state.error ?? closing('The client')
      http.close(error)
      feeds.fail(error)
      outbox.fail(error)
    },
  })

  /** @throws GatewayError where the client is closed, or too much waits already */
  const assertOpen = (waits: boolean): void => {
    const { state } = connection
    if (state.status === 'closed') throw state.error ?? closing('The client')
    if (waits && state.status !== 'open' && feeds.waiting + outbox.size >= maxQueued) {
      throw new GatewayError('early-overflow', `${maxQueued} messages wait for a connection already.`)
    }
    connection.start()
  }
  const request: Outbox['request'] = async (command, payload) => {
    assertOpen(true)
    return outbox.request(command, payload)
  }
  const cancel = (runId: string): Promise<Answers['run.cancel']> => request('run.cancel', { runId })
  const close = (): void => connection.close()

  return {
    threads: createThreads({ feeds, http, cancel, assertOpen }),
    runs: { cancel },
    approvals: { resolve: (decision) => request('approval.resolve', decision) },
    agents: {
      async list({ signal } = {}) {
        const { agents } = await http.get<{ agents: AgentInfo[] }>('/agents', signal)
        return agents
      },
    },
    connection: {
      get state() {
        return connection.state
      },
      onChange(listener) {
        const listen = (state: ConnectionState): void => listener(state)
        listeners.add(listen)
        return () => void listeners.delete(listen)
      },
    },
    close,
    [Symbol.asyncDispose]: async () => close(),
  }
}

/** The address with no slash at the end; relative ones are of the page. */
function addressOf(url: string | undefined): string {
  const { location } = globalThis as { location?: { origin?: string; href?: string } }
  const given = url ?? location?.origin
  if (given === undefined) throw new TypeError('createClient needs a "url": there is no page to be of.')
  const { protocol, href } = parsed(given, location?.href) ?? {}
  if (href === undefined || !/^https?:$/.test(protocol ?? '')) {
    const scheme = '"http://" or "https://"'
    throw new TypeError(
      `createClient cannot use the "url" ${JSON.stringify(given)}: it has to begin with ${scheme}.`,
    )
  }
  return href.replace(/[?#].*$/, '').replace(/\/+$/, '')
}

function parsed(url: string, base: string | undefined): URL | undefined {
  try {
    return new URL(url, base)
  } catch {
    return undefined
  }
}

/** Calls a listener. What it throws is its own: it is reported, and changes nothing here. */
function tell(listener: (state: ConnectionState) => void, state: ConnectionState): void {
  try {
    listener(state)
  } catch (error) {
    const { reportError } = globalThis as { reportError?: (error: unknown) => void }
    if (reportError) return reportError(error)
    queueMicrotask(() => {
      throw error
    })
  }
}

function wiresOf({ transport = 'auto', WebSocket }: ClientOptions, fetch: Fetch): readonly [Wire, Wire?] {
  const sse = sseWire(fetch)
  const Socket = WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket
  if (transport === 'sse') return [sse]
  if (Socket) return transport === 'auto' ? [websocketWire(Socket), sse] : [websocketWire(Socket)]
  if (transport === 'auto') return [sse]
  throw new TypeError('There is no WebSocket here. Give one to createClient, or use the transport "sse".')
}
