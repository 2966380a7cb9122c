import { once } from 'node:events'
import { type Socket, connect } from 'node:net'
import { clockMs } from './order.ts'

const HEAD_END = '\r\n\r\n'
const DEADLINE_MS = 120_000
const TEXT_FRAME = 0x81
const MASKED = 0x80
const SHORT_MAX = 125

/** How what a run says ends on a WebSocket: with the last field of `finish`. */
export const FINISHED = '"outputTokens":0}}'
/** The same in a packet of Socket.IO. */
export const FINISHED_PACKET = `${FINISHED}]`
/** How a response of unknown length ends. */
export const RESPONSE_ENDED = '\r\n0\r\n\r\n'

/**
 * A client that keeps what it reads and looks at it later, so that it is never what the server waits for.
 *
 * `until` watches for an end of all that is sent; `when` for something anywhere in it.
 */
export class Reader implements Disposable {
  readonly #socket: Socket
  readonly #chunks: Buffer[] = []
  readonly #times: number[] = []
  #speaksSocketIo = false
  #tail: Buffer = Buffer.alloc(0)
  #watch: { readonly isMet: (chunk: Buffer) => boolean; readonly met: () => void } | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('data', (chunk) => this.#take(chunk))
  }

  static async connect(port: number): Promise<Reader> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new Reader(socket)
  }

  static async openWebSocket(port: number, path = '/stream'): Promise<Reader> {
    const reader = await Reader.connect(port)
    // Something may come right behind it.
    const upgraded = reader.when(HEAD_END)
    reader.#socket.write(
      `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n` +
        `sec-websocket-version: 13\r\nsec-websocket-key: ${Buffer.alloc(16).toString('base64')}\r\n\r\n`,
    )
    await upgraded
    reader.clear()
    return reader
  }

  /** By WebSocket from the beginning, in the namespace `/`. */
  static async openSocketIo(port: number): Promise<Reader> {
    const reader = await Reader.openWebSocket(port, '/streaming/?EIO=4&transport=websocket')
    const joined = reader.when('40{"sid"')
    reader.#send('40')
    await joined
    reader.clear()
    reader.#speaksSocketIo = true
    return reader
  }

  get chunks(): readonly Buffer[] {
    return this.#chunks
  }

  /** When each chunk came. */
  get times(): readonly number[] {
    return this.#times
  }

  get bytes(): number {
    return this.#chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  }

  /** Sends a command; the answer is not waited for. */
  command(command: string, payload: object): void {
    const isEvent = this.#speaksSocketIo
    this.#send(
      isEvent ? `421${JSON.stringify([command, payload])}` : JSON.stringify({ id: 1, command, payload }),
    )
  }

  /** Sends text as a frame, masked with zeros. */
  #send(text: string): void {
    const json = Buffer.from(text)
    const { length } = json
    const size = length > SHORT_MAX ? [MASKED | 126, length >> 8, length & 255] : [MASKED | length]
    this.#socket.write(Buffer.concat([Buffer.from([TEXT_FRAME, ...size, 0, 0, 0, 0]), json]))
  }

  post(path: string, body: object): void {
    const json = JSON.stringify(body)
    this.#socket.write(
      `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n` +
        `content-length: ${Buffer.byteLength(json)}\r\n\r\n${json}`,
    )
  }

  /** Resolves once what was read ends with `end`. */
  until(end: string): Promise<number> {
    return this.#watchFor(end, (chunk) => {
      this.#tail =
        chunk.length < end.length ? Buffer.concat([this.#tail, chunk]).subarray(-end.length) : chunk
      return this.#tail.toString('latin1', Math.max(0, this.#tail.length - end.length)) === end
    })
  }

  /** Resolves with the time at which a chunk came with `text` in it. */
  when(text: string): Promise<number> {
    return this.#watchFor(text, (chunk) => chunk.includes(text))
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Forgets what was read. */
  clear(): void {
    this.#chunks.length = this.#times.length = 0
    this.#tail = Buffer.alloc(0)
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }

  #watchFor(what: string, isMet: (chunk: Buffer) => boolean): Promise<number> {
    return new Promise((resolve, reject) => {
      const fail = (): void => reject(new Error(`Not there in time: ${what}; got ${this.#lastChars()}`))
      const timer = setTimeout(fail, DEADLINE_MS)
      const met = (): void => {
        clearTimeout(timer)
        this.#watch = undefined
        resolve(this.#times.at(-1) ?? 0)
      }
      this.#watch = { isMet, met }
    })
  }

  #lastChars(): string {
    return this.#chunks.at(-1)?.toString('latin1').slice(-300) ?? 'nothing'
  }

  #take(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#times.push(clockMs())
    if (this.#watch?.isMet(chunk)) this.#watch.met()
  }
}
