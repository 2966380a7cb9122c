import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import { websocketFraming } from '../transports/websocket-framing.ts'
import type { Channel } from './channel.ts'
import type { Outgoing } from './outgoing.ts'

const NOTHING = new Uint8Array()

/** A socket of `ws`: it reads, checks and closes; whole frames go to the stream below it, so that many can share one. */
export class NativeChannel implements Channel {
  readonly framing = websocketFraming
  readonly #websocket: WebSocket
  readonly #socket: Socket

  constructor(websocket: WebSocket, socket: Socket) {
    this.#websocket = websocket
    this.#socket = socket
  }

  get isOpen(): boolean {
    return this.#websocket.readyState === this.#websocket.OPEN
  }

  get canPause(): boolean {
    return true
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength
  }

  get takenBytes(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength
  }

  write({ frame }: Outgoing): boolean {
    return this.writeFrames(frame)
  }

  writeFrames(bytes: Uint8Array): boolean {
    if (!this.isOpen) return false
    this.#socket.write(bytes)
    return true
  }

  ping(): boolean {
    this.#websocket.ping()
    return true
  }

  pause(paused: boolean): void {
    if (paused !== this.#websocket.isPaused) this.#websocket[paused ? 'pause' : 'resume']()
  }

  onceDrained(task: () => void): void {
    // Not the event "drain": that comes only where much waited.
    this.#socket.write(NOTHING, task)
  }

  close(code: number, reason: string): void {
    this.pause(false)
    this.#websocket.close(code, reason)
  }

  dismiss(code: number, reason: string): void {
    this.close(code, reason)
    // Read, so that the peer gets to see the close, and dropped, since `ws` would go on to keep it.
    this.#socket.removeAllListeners('data')
    this.#socket.resume()
    this.#socket.end()
  }

  terminate(): void {
    this.#websocket.terminate()
  }
}
