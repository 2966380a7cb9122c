import type { IncomingMessage, ServerResponse } from 'node:http'
import { GatewayError } from '@turnpike/protocol'
import { type Framing, type Link, writeText } from '../links/link.ts'
import type { TimerWheel } from '../timing/timer-wheel.ts'

/** Fields of Server-Sent Events: the id to resume after, the name, the JSON. JSON has no line breaks to escape. */
export const sseFraming: Framing = {
  name: 'sse',
  maxBytes: ({ name, id, json }) => 32 + name.length + (id?.length ?? 0) + json.length * 3,
  write({ name, id, json }, target, offset) {
    const idField = id === undefined ? '' : `id: ${id}\n`
    return offset + writeText(`${idField}event: ${name}\ndata: ${json}\n\n`, target, offset)
  },
}

/** The same for who reads the data alone: it tells everything itself. */
export const dataFraming: Framing = {
  name: 'sse',
  scope: 'data',
  maxBytes: ({ json }) => 16 + json.length * 3,
  write: ({ json }, target, offset) => offset + writeText(`data: ${json}\n\n`, target, offset),
}

const HEARTBEAT = Buffer.from(': still here\n\n')

export interface EventStreamOptions {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly wheel: TimerWheel
  readonly heartbeatMs: number
  /** Whether a page may send its cookies with the request. */
  readonly cookies: boolean
  /** @default {@link sseFraming} */
  readonly framing?: Framing | undefined
}

/**
 * An event stream as the gateway sees it: a connection that sent its one frame with the request.
 *
 * Nothing is sent before {@link EventStream.open}, so that what fails until then can still be answered in JSON.
 */
export class EventStream implements Link {
  readonly framing: Framing
  readonly #options: EventStreamOptions
  #stopHeartbeat: () => void = () => {}
  #state: 'waiting' | 'open' | 'refused' = 'waiting'

  constructor(options: EventStreamOptions) {
    this.#options = options
    this.framing = options.framing ?? sseFraming
  }

  get bufferedBytes(): number {
    return this.#options.response.writableLength
  }

  /**
   * Sends the head of the response; tells whether there still is somebody to send to.
   *
   * @throws GatewayError `draining` where the server closed it meanwhile
   */
  open({ onDrain, onClose }: { onDrain: () => void; onClose: () => void }): boolean {
    const { request, response, cookies } = this.#options
    if (this.#state === 'refused') throw new GatewayError('draining', 'The server is shutting down.')
    this.#state = 'open'
    if (response.destroyed) {
      onClose()
      return false
    }
    const { origin } = request.headers
    const cors = { 'access-control-allow-origin': origin, vary: 'Origin' }
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
      'x-content-type-options': 'nosniff',
      ...(origin !== undefined && cors),
      ...(origin !== undefined && cookies && { 'access-control-allow-credentials': 'true' }),
    })
    response.flushHeaders()
    response.on('drain', onDrain)
    response.on('close', () => {
      this.#stopHeartbeat()
      onClose()
    })
    this.#heartbeat()
    return true
  }

  /** Names the place to resume from without telling an event. */
  mark(id: string): void {
    this.write(Buffer.from(`id: ${id}\n\n`))
  }

  write(bytes: Uint8Array): void {
    const { response } = this.#options
    if (!response.writableEnded && !response.destroyed) response.write(bytes)
  }

  pause(): void {}

  close(): void {
    if (this.#state !== 'open') {
      this.#state = 'refused'
      return
    }
    this.#stopHeartbeat()
    this.#options.response.end()
  }

  #heartbeat(): void {
    const { response, wheel, heartbeatMs } = this.#options
    this.#stopHeartbeat = wheel.schedule(heartbeatMs, () => {
      if (response.writableLength === 0) this.write(HEARTBEAT)
      this.#heartbeat()
    })
  }
}
