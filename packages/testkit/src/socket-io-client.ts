import type { Answer, CommandName, ErrorBody, ThreadEvent, ThreadReset } from '@turnpike/protocol'
import { type Socket, io } from 'socket.io-client'
import { Inbox } from './inbox.ts'
import type { Goodbye } from './websocket-client.ts'

const DEADLINE_MS = 10_000

export interface SocketIoClientOptions {
  /** `http://127.0.0.1:3000` */
  readonly url: string
  /** @default '/streaming' */
  readonly path?: string
  /** @default '/' */
  readonly namespace?: string
  readonly auth?: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string>>
  /** Both: it begins with polling and changes over. @default WebSocket alone */
  readonly transports?: readonly ('polling' | 'websocket')[]
  /** Time for the connect, for an answer, and for the next event. @default 10 s */
  readonly deadlineMs?: number
}

/** A failure that nobody took the answer of. */
export interface CommandError extends ErrorBody {
  readonly type: 'command.error'
  readonly command: string | null
}

/** What a server sends unasked; `type` is the name of the event. */
export type SocketIoEvent = ThreadEvent | ThreadReset | Goodbye | CommandError

/** A server refused the connect, with an error of its own or, where it has none, what the library says. */
export class ConnectRefusal extends Error {
  override readonly name = 'ConnectRefusal'
  readonly data: ErrorBody | undefined

  constructor(error: Error & { data?: ErrorBody }) {
    super(`The connect was refused: ${error.message}`, { cause: error })
    this.data = error.data
  }
}

/**
 * Connects to a namespace with the stock client, which is told to do nothing by itself.
 *
 * @throws ConnectRefusal where the server refuses, or is not there
 */
export async function connectSocketIo(options: SocketIoClientOptions): Promise<SocketIoClient> {
  const { deadlineMs = DEADLINE_MS } = options
  const client = openSocketIo(options)
  // The library's own time-out ends with the handshake of the transport.
  const late = Promise.withResolvers<never>()
  const error = new ConnectRefusal(new Error(`No answer within ${deadlineMs} ms.`))
  const timer = setTimeout(() => late.reject(error), deadlineMs)
  try {
    await Promise.race([client.connected, late.promise])
    return client
  } catch (refusal) {
    client.terminate()
    throw refusal
  } finally {
    clearTimeout(timer)
  }
}

/** As {@link connectSocketIo}, without waiting: what is sent meanwhile waits in the client. */
export function openSocketIo(options: SocketIoClientOptions): SocketIoClient {
  const { url, path = '/streaming', namespace = '/', auth = {}, headers = {} } = options
  const { transports = ['websocket'], deadlineMs = DEADLINE_MS } = options
  const socket = io(url + namespace, {
    path,
    auth,
    extraHeaders: { ...headers },
    transports: [...transports],
    timeout: deadlineMs,
    forceNew: true,
    reconnection: false,
  })
  return new SocketIoClient(socket, deadlineMs)
}

/** A client of wire 3 that neither reconnects nor resumes. */
export class SocketIoClient implements AsyncDisposable {
  readonly socket: Socket
  /** Everything but answers, in order. It ends with the connection. */
  readonly inbox: Inbox<SocketIoEvent>
  readonly connected: Promise<void>
  /** Resolves with the reason, however it ends. */
  readonly closed: Promise<string>
  readonly #deadlineMs: number
  readonly #gone: (reason: string) => void

  constructor(socket: Socket, deadlineMs: number) {
    this.socket = socket
    this.#deadlineMs = deadlineMs
    this.inbox = new Inbox({ name: 'events of a socket', deadlineMs })
    socket.onAny((name: string, event: object) => this.#receive(name, event))
    const closed = Promise.withResolvers<string>()
    const connected = Promise.withResolvers<void>()
    this.closed = closed.promise
    this.#gone = closed.resolve
    this.connected = connected.promise
    this.connected.catch(() => {})
    socket.once('connect', () => connected.resolve())
    socket.on('connect_error', (error) => {
      connected.reject(new ConnectRefusal(error))
      this.inbox.end(new ConnectRefusal(error))
      closed.resolve('refused')
    })
    socket.on('disconnect', (reason) => {
      this.inbox.end()
      closed.resolve(reason)
    })
  }

  /** Sends a command and resolves with its answer, also where that says no. */
  request<Name extends CommandName>(command: Name, payload: unknown): Promise<Answer<Name>> {
    return this.socket.timeout(this.#deadlineMs).emitWithAck(command, payload) as Promise<Answer<Name>>
  }

  /** Which transport it is on at the moment. */
  get transport(): string {
    return this.socket.io.engine.transport.name
  }

  /** Goes without a word, where the transport lets it. */
  terminate(): void {
    const engine: Socket['io']['engine'] | undefined = this.socket.io.engine
    const { ws } = (engine?.transport ?? {}) as { ws?: { terminate?: () => void } }
    if (ws?.terminate) ws.terminate()
    else this.socket.disconnect()
    this.socket.io._close()
    this.inbox.end()
    this.#gone('terminated')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.terminate()
    await this.closed
  }

  #receive(name: string, event: object): void {
    if (name === 'command.error') this.inbox.push({ ...(event as CommandError), type: name })
    else if ('type' in event && event.type === name) this.inbox.push(event as SocketIoEvent)
    else this.inbox.end(new SyntaxError(`The server sent ${JSON.stringify(event)} under the name ${name}.`))
  }
}
