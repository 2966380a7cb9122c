import { text } from 'node:stream/consumers'
import type { Answer, CommandName, ThreadEvent, ThreadReset } from '@turnpike/protocol'
import type { RequestId } from '@turnpike/protocol/wire'
import { WebSocket } from 'ws'
import { Inbox } from './inbox.ts'

export interface WebSocketClientOptions {
  /** `ws://127.0.0.1:3000/stream` */
  readonly url: string
  /** @default ['turnpike.v1'] */
  readonly protocols?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  /** Time for the handshake, for an answer, and for the next frame. @default 10 s */
  readonly deadlineMs?: number
}

/** Said before a close that the client should know how to take. */
export interface Goodbye {
  readonly type: 'goodbye'
  readonly code: string
  readonly retryAfterMs?: number
  readonly ticket?: string
}

/** An answer to something that was not sent by `request`: its id is null where it could not be read. */
export type StrayAnswer = { readonly type?: never; readonly id: RequestId } & Answer

/** What a server sends unasked. */
export type StreamFrame = ThreadEvent | ThreadReset | Goodbye | StrayAnswer

/** A server refused the handshake, and answered in HTTP. */
export class HandshakeError extends Error {
  override readonly name = 'HandshakeError'
  readonly status: number
  readonly body: string

  constructor(status: number, body: string) {
    super(`The handshake was answered with ${status}: ${body}`)
    this.status = status
    this.body = body
  }
}

/**
 * Opens the native WebSocket of a gateway, and resolves once it is open.
 *
 * @throws HandshakeError where the server answers something else
 */
export async function connectWebSocket(options: WebSocketClientOptions): Promise<WebSocketClient> {
  const { url, protocols = ['turnpike.v1'], headers = {}, deadlineMs = 10_000 } = options
  const websocket = new WebSocket(url, [...protocols], {
    headers,
    handshakeTimeout: deadlineMs,
    perMessageDeflate: false,
  })
  // Made before it is open, since frames may come in the same turn.
  const client = new WebSocketClient(websocket, { url, deadlineMs })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  websocket.once('open', resolve)
  websocket.on('error', reject)
  websocket.once('unexpected-response', (_request, response) => {
    text(response).then((body) => reject(new HandshakeError(response.statusCode ?? 0, body)), reject)
    void client.closed.then(() => response.destroy())
  })
  try {
    await promise
    return client
  } catch (error) {
    websocket.terminate()
    throw error
  }
}

interface Pending {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: Error) => void
}

/** A client of wire 0 that does nothing by itself: no reconnecting, no resuming. */
export class WebSocketClient implements AsyncDisposable {
  /** Everything but the answers to requests. It ends with the connection. */
  readonly inbox: Inbox<StreamFrame>
  /** Resolves, however it ends. */
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>
  readonly #websocket: WebSocket
  readonly #deadlineMs: number
  readonly #pending = new Map<RequestId, Pending>()
  #lastId = 0

  constructor(websocket: WebSocket, { url, deadlineMs }: { url: string; deadlineMs: number }) {
    this.#websocket = websocket
    this.#deadlineMs = deadlineMs
    this.inbox = new Inbox({ name: `frames of ${url}`, deadlineMs })
    websocket.on('message', (data: Buffer, isBinary) => this.#receive(data.toString(), isBinary))
    websocket.on('error', (error) => this.inbox.end(error))
    this.closed = new Promise((resolve) => {
      websocket.once('close', (code, reason) => {
        this.inbox.end()
        for (const { reject } of this.#pending.values())
          reject(new Error(`Closed with ${code} before the answer.`))
        this.#pending.clear()
        resolve({ code, reason: reason.toString() })
      })
    })
  }

  /** The subprotocol that the server chose; empty where it chose none. */
  get protocol(): string {
    return this.#websocket.protocol
  }

  /** Sends a command and resolves with its answer, also where that says no. */
  request<Name extends CommandName>(command: Name, payload: unknown): Promise<Answer<Name>> {
    const id = ++this.#lastId
    return new Promise<Answer>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id)
        reject(new Error(`No answer to ${command} within ${this.#deadlineMs} ms.`))
      }, this.#deadlineMs)
      const settle = (act: () => void): void => {
        clearTimeout(timer)
        act()
      }
      this.#pending.set(id, {
        resolve: (answer) => settle(() => resolve(answer)),
        reject: (error) => settle(() => reject(error)),
      })
      if (this.#websocket.readyState === WebSocket.OPEN)
        this.sendRaw(JSON.stringify({ id, command, payload }))
      else this.#take(id)?.reject(new Error(`Not open: ${command} was not sent.`))
    }) as Promise<Answer<Name>>
  }

  /** Sends a frame as it is; an answer to it comes to the inbox. */
  sendRaw(data: string | Uint8Array): void {
    this.#websocket.send(data)
  }

  /** Stops reading from the socket, so that the server has to hold what it writes. */
  pause(): void {
    this.#websocket.pause()
  }

  resume(): void {
    this.#websocket.resume()
  }

  /** Closes with a handshake; resolves with what the server made of it. */
  close(code = 1000, reason = ''): WebSocketClient['closed'] {
    this.resume()
    this.#websocket.close(code, reason)
    return this.closed
  }

  /** Goes without a word. */
  terminate(): void {
    this.#websocket.terminate()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.terminate()
    await this.closed
  }

  #receive(data: string, isBinary: boolean): void {
    try {
      if (isBinary) throw new SyntaxError('The frame is binary.')
      const frame = JSON.parse(data) as StreamFrame
      const pending = 'ok' in frame ? this.#take(frame.id) : undefined
      if (pending && 'ok' in frame) pending.resolve(frame)
      else this.inbox.push(frame)
    } catch (cause) {
      this.inbox.end(new SyntaxError(`The server sent a frame that is not of this wire: ${data}`, { cause }))
      this.terminate()
    }
  }

  #take(id: RequestId): Pending | undefined {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    return pending
  }
}
