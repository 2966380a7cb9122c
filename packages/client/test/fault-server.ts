import { once } from 'node:events'
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { json } from 'node:stream/consumers'
import { type CommandName, type PayloadOf, GatewayError } from '@turnpike/protocol'
import { type WebSocket, WebSocketServer } from 'ws'
import type { ConnectFault, EventFault, FaultPlan } from './conformance-cases.ts'
import { type ModelFrame, type ModelConnection, ModelGateway } from './model-gateway.ts'

/** A server that speaks the documented wires, and does wrong what a plan says; each plan at a path of its own. */
export interface FaultServer extends AsyncDisposable {
  readonly origin: string
}

/** Starts it on a free port. `POST /cases` with a plan answers `{ path }`; `GET {path}/facts`, what it saw. */
export async function startFaultServer(): Promise<FaultServer> {
  const cases = new Map<string, FaultCase>()
  const sockets = new WebSocketServer({ noServer: true })
  const server = createServer((request, response) => void answer(request, response))
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    response.setHeader('access-control-allow-origin', '*')
    response.setHeader('access-control-allow-headers', 'authorization, content-type')
    if (request.method === 'OPTIONS') return void response.end()
    if (request.url === '/cases') {
      const path = `/case-${cases.size}`
      cases.set(path, new FaultCase((await json(request)) as FaultPlan))
      return say(response, { path })
    }
    const [, path = '', rest = ''] = /^(\/case-\d+)(\/.*)$/.exec(request.url ?? '') ?? []
    const found = cases.get(path)
    if (!found) return say(response, { error: { code: 'unknown-route', message: 'No.' } }, 404)
    await found.answer({ request, response, url: new URL(rest, 'http://server') })
  }
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const [, path = '', rest = ''] = /^(\/case-\d+)(\/.*)$/.exec(request.url ?? '') ?? []
    const found = cases.get(path)
    const ticket = new URL(rest, 'http://server').searchParams.get('ticket')
    const open = (): void =>
      sockets.handleUpgrade(request, socket, head, (websocket) => found?.serve(websocket, ticket))
    socket.on('error', () => {})
    if (found?.mayUpgrade(socket)) open()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const websocket of sockets.clients) websocket.terminate()
      server.closeAllConnections()
      server.close()
    },
  }
}

function say(response: ServerResponse, body: object, status = 200): void {
  response.statusCode = status
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(body))
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly url: URL
}

/** How one connection sends, on whichever wire. */
interface Sender {
  write(frame: ModelFrame): void
  /** Half of it. */
  writeHalf(frame: ModelFrame): void
  goodbye(): void
  /** Without a word; what was written before still arrives where `isLate`. */
  cut(isLate: boolean): void
}

/** One plan at work. */
class FaultCase {
  readonly #gateway = new ModelGateway()
  readonly #connects: ConnectFault[]
  readonly #events: EventFault[]
  readonly #sends: string[]
  readonly #isBlocked: boolean
  readonly #tickets: string[] = []
  #verdict: ConnectFault = 'none'
  #count = 0
  #stepping = false

  constructor({ connects = [], events = [], sends = [], blockWebSocket = false }: FaultPlan) {
    this.#connects = [...connects]
    this.#events = [...events]
    this.#sends = [...sends]
    this.#isBlocked = blockWebSocket
  }

  mayUpgrade(socket: Socket): boolean {
    const verdict = this.#isBlocked ? 'refuse' : this.#decide()
    if (verdict === 'refuse') socket.destroy()
    if (verdict === 'busy') socket.end('HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n')
    return !['refuse', 'busy', 'silence'].includes(verdict)
  }

  /** The native WebSocket. */
  serve(websocket: WebSocket, ticket: string | null): void {
    const verdict = this.#verdict
    if (ticket !== null) this.#tickets.push(ticket)
    const tell = (frame: object): void => websocket.send(JSON.stringify(frame))
    const line = new Line(this.#gateway, this.#events, {
      write: tell,
      writeHalf: (frame) => websocket.send(JSON.stringify(frame).slice(0, 40)),
      goodbye() {
        tell({ type: 'goodbye', code: 'draining', retryAfterMs: 1_000, ticket: 'once' })
        websocket.close(1012)
      },
      cut: () => websocket.terminate(),
    })
    websocket.on('error', () => {})
    websocket.on('close', () => line.close())
    websocket.on('message', (data: Buffer) => {
      if (line.isMute) return
      const { id, command, payload } = JSON.parse(data.toString()) as {
        id: number
        command: CommandName
        payload: PayloadOf<CommandName>
      }
      if (command === 'auth' && (verdict === 'unauthorized' || verdict === 'forbidden')) {
        tell({ id, ok: false, error: { code: verdict, message: 'No.' } })
        return websocket.close(verdict === 'forbidden' ? 4403 : 4401)
      }
      const fault = command === 'thread.send' ? this.#sends.shift() : undefined
      if (fault === 'unheard') return websocket.terminate()
      try {
        if (fault === 'busy') throw new GatewayError('rate-limited', 'Slower.', { retryAfterMs: 100 })
        const { answer, begin } = line.connection.handle(command, payload)
        if (fault === 'unanswered') websocket.terminate()
        else tell({ id, ok: true, ...answer })
        begin?.()
      } catch (error) {
        if (error instanceof GatewayError) tell({ id, ok: false, error })
        else throw error
      }
      this.#run()
    })
  }

  /** HTTP with event streams. */
  async answer(exchange: Exchange): Promise<void> {
    const { request, response, url } = exchange
    try {
      const [, kind, id = '', what] = url.pathname.split('/').map(decodeURIComponent)
      if (kind === 'facts') return say(response, this.#facts())
      if (kind === 'readyz') return this.#ready(request, response)
      if (kind === 'agents' && what === undefined) return this.#agents(request, response)
      if (kind === 'agents') return await this.#send(exchange, { agent: id })
      if (what === 'messages') {
        const line = new Line(this.#gateway, [], quiet)
        const { answer } = line.connection.handle('thread.subscribe', { threadId: id })
        line.close()
        const { history, head } = answer as { history: object[]; head: string }
        return say(response, { messages: history, head })
      }
      if (what === 'events') return this.#follow(exchange, { threadId: id })
      throw new GatewayError('unknown-route', 'No.')
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      if (error.retryAfterMs !== undefined) response.setHeader('retry-after', error.retryAfterMs / 1_000)
      say(response, { error }, error.row.http)
    }
  }

  #facts(): object {
    const log = [...this.#gateway.threads.values()].flatMap((thread) => thread.log)
    return { log, runs: this.#gateway.runs.size, connects: this.#count, tickets: this.#tickets }
  }

  #ready(request: IncomingMessage, response: ServerResponse): void {
    if (this.#verdict === 'refuse') return void request.socket.destroy()
    if (this.#verdict === 'busy') throw new GatewayError('draining', 'Later.', { retryAfterMs: 1_000 })
    say(response, { status: 'ok' })
  }

  #agents(request: IncomingMessage, response: ServerResponse): void {
    const verdict = this.#decide()
    if (verdict === 'refuse') return void request.socket.destroy()
    if (verdict === 'silence') return
    if (verdict === 'busy') throw new GatewayError('draining', 'Later.', { retryAfterMs: 1_000 })
    if (verdict !== 'none') throw new GatewayError(verdict, 'No.')
    say(response, { agents: [{ name: 'model' }] })
  }

  async #send({ request, response }: Exchange, { agent }: { agent: string }): Promise<void> {
    const body = (await json(request)) as PayloadOf<'thread.send'>
    const fault = this.#sends.shift()
    if (fault === 'unheard') return void request.socket.destroy()
    if (fault === 'busy') throw new GatewayError('rate-limited', 'Slower.', { retryAfterMs: 1_000 })
    const line = this.#stream({ request, response }, body.runId)
    const { begin } = line.connection.handle('thread.send', { ...body, agent })
    if (fault === 'unanswered') request.socket.destroy()
    else open(response)
    begin?.()
    this.#run()
  }

  #follow({ request, response, url }: Exchange, { threadId }: { threadId: string }): void {
    const lastEventId = url.searchParams.get('after') ?? undefined
    const line = this.#stream({ request, response })
    const { answer, begin } = line.connection.handle('thread.subscribe', {
      threadId,
      ...(lastEventId !== undefined && { lastEventId }),
    })
    open(response)
    if ('cause' in answer) line.deliver({ type: 'thread.reset', threadId, ...answer } as ModelFrame)
    begin?.()
    this.#run()
  }

  #stream({ request, response }: Omit<Exchange, 'url'>, runId?: string): Line {
    const block = (frame: object & { type: string }): string =>
      `event: ${frame.type}\ndata: ${JSON.stringify(frame)}\n\n`
    const line = new Line(this.#gateway, this.#events, {
      write(frame) {
        if (response.writableEnded) return
        response.write(block(frame))
        if (frame.type === 'finish' && frame.runId === runId) response.end()
      },
      writeHalf(frame) {
        response.write(block(frame).slice(0, 60), () => request.socket.destroy())
      },
      goodbye: () => response.end(block({ type: 'goodbye', code: 'draining', retryAfterMs: 1_000 } as never)),
      cut: (isLate) => (isLate ? void response.end() : void request.socket.destroy()),
    })
    response.on('close', () => line.close())
    return line
  }

  #decide(): ConnectFault {
    this.#count++
    this.#verdict = this.#connects.shift() ?? 'none'
    return this.#verdict
  }

  /** Every run says its next thing each turn, whoever listens. */
  #run(): void {
    if (this.#stepping) return
    this.#stepping = true
    setImmediate(() => {
      this.#stepping = false
      const moved = [...this.#gateway.threads.keys()].map((threadId) => this.#gateway.step(threadId))
      if (moved.includes(true)) this.#run()
    })
  }
}

const quiet: Sender = { write() {}, writeHalf() {}, goodbye() {}, cut() {} }

function open(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.flushHeaders()
}

/** One connection, with what goes wrong on it. */
class Line {
  readonly connection: ModelConnection
  readonly #gateway: ModelGateway
  readonly #faults: EventFault[]
  readonly #sender: Sender
  #held: ModelFrame | undefined
  isMute = false

  constructor(gateway: ModelGateway, faults: EventFault[], sender: Sender) {
    this.#gateway = gateway
    this.#faults = faults
    this.#sender = sender
    this.connection = gateway.connect((frame) => this.deliver(frame))
  }

  close(): void {
    this.isMute = true
    this.connection.close()
  }

  deliver(frame: ModelFrame): void {
    if (this.isMute) return
    const index = frame.type === 'thread.reset' ? -1 : this.#faults.findIndex(({ seq }) => seq === frame.seq)
    const [fault] = index < 0 ? [] : this.#faults.splice(index, 1)
    if (fault) return this.#fail(frame, fault)
    this.#sender.write(frame)
    const held = this.#held
    this.#held = undefined
    if (held) this.#sender.write(held)
  }

  #fail(frame: ModelFrame, { then, meanwhile }: EventFault): void {
    const { threadId } = frame
    switch (then) {
      case 'twice':
        this.#sender.write(frame)
        return this.#sender.write(frame)
      case 'late':
        this.#held = frame
        return
      case 'lose':
        return
      case 'unknown':
        this.#sender.write(frame)
        if (frame.type !== 'thread.reset')
          this.#gateway.append(threadId, { type: 'weather', sky: 'blue' }, frame.runId)
        return
      case 'lag':
        // The frame itself is what was lagging.
        queueMicrotask(() => {
          this.connection.stall(threadId, () => {
            this.#finish(threadId)
            this.#gateway.expire(threadId)
          })
        })
        return
      case 'drop':
      case 'goodbye':
      case 'silence':
      case 'truncate':
        return this.#cut(frame, { then, meanwhile })
      default:
        return then satisfies never
    }
  }

  #cut(
    frame: ModelFrame,
    { then, meanwhile }: Pick<EventFault, 'then'> & { meanwhile: string | undefined },
  ): void {
    const { threadId } = frame
    this.isMute = true
    if (then === 'silence') return
    this.connection.close()
    if (meanwhile === 'expire') {
      this.#finish(threadId)
      this.#gateway.expire(threadId)
    } else if (meanwhile) {
      this.#gateway.rollBack(threadId, 4)
      // Nothing takes the place of what was lost before somebody is back.
      this.#gateway.isPaused = meanwhile === 'forget'
      if (meanwhile === 'rewrite') this.#finish(threadId)
    }
    if (then === 'truncate') this.#sender.writeHalf(frame)
    else if (then === 'goodbye') this.#sender.goodbye()
    else this.#sender.cut(meanwhile !== undefined)
  }

  #finish(threadId: string): void {
    while (this.#gateway.step(threadId));
  }
}
