import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  type AgentGatewayOptions,
  type Gateway,
  type GatewayOptions,
  createAgentGateway,
} from '@turnpike/gateway'
import { type ServerOptions, Server } from 'socket.io'
import { type ManagerOptions, type Socket, type SocketOptions, io } from 'socket.io-client'
import { recordingLogger, testGateway } from './harness.ts'
import { Noticing } from './noticing.ts'

/** What the server has said, under the name it said it. */
export interface Told {
  readonly name: string
  readonly body: Body
}

export type Body = Readonly<Record<string, unknown>>

interface Settings {
  /** Makes the machine, where none is given. */
  readonly machine?: Partial<GatewayOptions>
  readonly socketIo?: Partial<ServerOptions>
  /** Whether the Socket.IO server is put on its HTTP server behind all else. */
  readonly late?: boolean
}

export interface AgentServer extends AsyncDisposable {
  readonly url: string
  readonly io: Server
  readonly gateway: Gateway
  readonly logger: ReturnType<typeof recordingLogger>
  connect(options?: Partial<ManagerOptions & SocketOptions>, namespace?: string): AgentClient
}

/** An agent gateway on a free port, with a machine of its own unless it is given one. */
export async function serveAgentGateway(
  options: Omit<AgentGatewayOptions, 'io'>,
  { machine = {}, socketIo = {}, late = false }: Settings = {},
): Promise<AgentServer> {
  const logger = recordingLogger()
  const gateway = options.gateway ?? testGateway([], { logger, ...machine })
  const server = createServer()
  const sockets = late ? new Server(socketIo) : new Server(server, socketIo)
  createAgentGateway({ registry: false, ...options, gateway, io: sockets })
  if (late) sockets.attach(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const clients: AgentClient[] = []
  return {
    url,
    io: sockets,
    gateway,
    logger,
    connect(given = {}, namespace = '/turnpike') {
      const client = new AgentClient(`${url}${namespace}`, given)
      clients.push(client)
      return client
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.socket.disconnect()
      await sockets.close()
      await gateway.drain(0)
    },
  }
}

/** A stock client, and all that it was told. */
export class AgentClient {
  readonly socket: Socket
  readonly told: Told[] = []
  readonly #noticing = new Noticing()

  constructor(url: string, options: Partial<ManagerOptions & SocketOptions>) {
    this.socket = io(url, { transports: ['websocket'], forceNew: true, reconnection: false, ...options })
    this.socket.onAny((name: string, body: Body) => {
      this.told.push({ name, body })
      this.#noticing.notice()
    })
  }

  get connected(): Promise<this> {
    if (this.socket.connected) return Promise.resolve(this)
    return new Promise((resolve, reject) => {
      this.socket.once('connect', () => resolve(this))
      this.socket.once('connect_error', reject)
    })
  }

  /** What keeps it out. */
  get refusal(): Promise<Error & { readonly data?: unknown }> {
    return new Promise((resolve) => this.socket.once('connect_error', resolve))
  }

  /** Why it was closed. */
  get gone(): Promise<string> {
    return new Promise((resolve) => this.socket.once('disconnect', resolve))
  }

  send(name: string, payload?: unknown): void {
    this.socket.emit(name, payload)
  }

  /** Resolves with what the ack was given. */
  ask(name: string, ...payload: unknown[]): Promise<unknown> {
    return this.socket.timeout(15_000).emitWithAck(name, ...payload)
  }

  /** Asks for a run, and resolves with its id. */
  async run(name: string, payload: Body): Promise<string> {
    const answer = (await this.ask(name, payload)) as Body
    if (answer['ok'] !== true) throw new Error(JSON.stringify(answer))
    return String(answer['runId'])
  }

  /** The code of what is expected to be refused. */
  async refusalOf(name: string, ...payload: unknown[]): Promise<unknown> {
    const { ok, error } = (await this.ask(name, ...payload)) as { ok?: unknown; error?: { code: unknown } }
    return ok === true ? 'not refused' : error?.code
  }

  /** The bodies of all events of that name. */
  all(name: string, runId?: string): Body[] {
    const bodies = this.told.filter((told) => told.name === name).map(({ body }) => body)
    return runId === undefined ? bodies : bodies.filter((body) => body['runId'] === runId)
  }

  /** The first event of that name, of that run where one is given; those that came earlier count. */
  async next(name: string, runId?: string): Promise<Body> {
    const [first] = await this.until(() => this.all(name, runId))
    return first ?? {}
  }

  /** Resolves once something is found in what was told. */
  until(find: () => readonly Body[]): Promise<readonly Body[]> {
    return this.#noticing.until(find)
  }

  /** The text of a run, as far as it was told. */
  text(runId: string): string {
    return this.all('agent.chunk', runId)
      .map(({ chunk }) => String(chunk))
      .join('')
  }

  /** The ids of all events so far, in the order they came. */
  get eventIds(): string[] {
    return this.told.flatMap(({ body: { eventId } }) => (typeof eventId === 'string' ? [eventId] : []))
  }
}
