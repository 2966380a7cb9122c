import type { Runnable } from '@turnpike/agents'
import {
  type HttpService,
  type HttpServiceOptions,
  attachWebSocketTransport,
  createHttpService,
} from '@turnpike/gateway'
import { type ClientOptions, WebSocket } from 'ws'
import { Noticing } from './noticing.ts'

export type Frame = Readonly<Record<string, unknown>> & { readonly type: string }

export interface ChatService extends HttpService, AsyncDisposable {
  readonly url: string
  /** A stock WebSocket; resolves once it is open. */
  connect(path?: string, options?: ClientOptions): Promise<ChatClient>
  /** Posts a chat. */
  chat(agent: string, body: unknown, headers?: Record<string, string>): Promise<Response>
}

/** A service on a free port, with WebSockets on it, that closes with its test. */
export async function serveChat(
  agents: Readonly<Record<string, Runnable>>,
  options: Omit<HttpServiceOptions, 'agents'> = {},
): Promise<ChatService> {
  const service = createHttpService({ agents, ...options })
  attachWebSocketTransport(service.server, agents)
  const url = await service.listen(0)
  const clients: ChatClient[] = []
  return {
    ...service,
    url,
    async connect(path = '/ws', given = {}) {
      const client = new ChatClient(`${url.replace('http', 'ws')}${path}`, given)
      clients.push(client)
      await client.opened
      return client
    },
    chat: (agent, body, headers = {}) =>
      fetch(`${url}/v1/chat/${agent}`, {
        method: 'POST',
        body: typeof body === 'string' ? body : JSON.stringify(body),
        headers: { 'content-type': 'application/json', ...headers },
      }),
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.socket.terminate()
      await service.close(0)
    },
  }
}

/** A stock client, and all that it was told but pings. */
export class ChatClient {
  readonly socket: WebSocket
  readonly told: Frame[] = []
  readonly pings: Frame[] = []
  readonly opened: Promise<void>
  /** The code that it was closed with. */
  readonly closed: Promise<number>
  readonly #noticing = new Noticing()

  constructor(url: string, options: ClientOptions = {}) {
    this.socket = new WebSocket(url, options)
    this.socket.on('message', (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as Frame
      if (frame.type === 'ping') this.pings.push(frame)
      else this.told.push(frame)
      this.#noticing.notice()
    })
    this.opened = new Promise((resolve, reject) => {
      this.socket.once('open', resolve)
      this.socket.once('error', reject)
    })
    this.opened.catch(() => {})
    this.closed = new Promise((resolve) => this.socket.once('close', resolve))
  }

  send(frame: unknown): void {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
  }

  chat(message: unknown, fields: object = {}): void {
    this.send({ type: 'chat', message, ...fields })
  }

  /** All frames of that type, of that run where one is given. */
  all(type: string, runId?: string): Frame[] {
    const frames = type === 'ping' ? this.pings : this.told.filter((frame) => frame.type === type)
    return runId === undefined ? frames : frames.filter((frame) => frame['runId'] === runId)
  }

  /** The first frame of that type, of that run where one is given; those that came earlier count. */
  async next(type: string, runId?: string): Promise<Frame> {
    const [first] = await this.until(() => this.all(type, runId))
    return first ?? { type }
  }

  /** Resolves with so many frames of a type. */
  async atLeast(count: number, type: string): Promise<readonly Frame[]> {
    return this.until(() => (this.all(type).length >= count ? this.all(type) : []))
  }

  /** Resolves once something is found in what was told. */
  until(find: () => readonly Frame[]): Promise<readonly Frame[]> {
    return this.#noticing.until(find)
  }

  /** The text of a run, as far as it was told. */
  text(runId: string): string {
    return this.all('chunk', runId)
      .map(({ text }) => String(text))
      .join('')
  }
}
