import { lineFraming, linesIn } from '../line-framing.ts'
import type { Channel } from './channel.ts'
import { Outgoing } from './outgoing.ts'
import type { ManagedSocket } from './websocket-handler.ts'

const OPEN = 1
/** How often a socket is looked at that has something left to take. */
const LOOK_MS = 20
const framing = lineFraming('foreign-websocket')

/** A socket of another framework, which frames and reads itself. It may throw where it is closed already. */
export class ForeignChannel implements Channel {
  readonly framing = framing
  readonly #socket: ManagedSocket

  constructor(socket: ManagedSocket) {
    this.#socket = socket
  }

  get isOpen(): boolean {
    return (this.#socket.readyState ?? OPEN) === OPEN
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount ?? 0
  }

  /** As far as that can be told from what is left. */
  get takenBytes(): number {
    return -this.bufferedBytes
  }

  write({ payload }: Outgoing): boolean {
    return this.isOpen && succeeds(() => this.#socket.send(payload))
  }

  writeFrames(bytes: Uint8Array): boolean {
    return this.isOpen && linesIn(bytes).every((line) => succeeds(() => this.#socket.send(line)))
  }

  ping(): boolean {
    if (this.#socket.ping) return succeeds(() => this.#socket.ping?.())
    return this.write(new Outgoing({ type: 'ping', timestamp: Date.now() }))
  }

  pause(): void {}

  onceDrained(task: () => void): void {
    const look = (): void => {
      if (this.bufferedBytes === 0) task()
      else if (this.isOpen) setTimeout(look, LOOK_MS).unref()
    }
    setTimeout(look, LOOK_MS).unref()
  }

  close(code: number, reason: string): void {
    succeeds(() => this.#socket.close(code, reason))
  }

  dismiss(code: number, reason: string): void {
    this.close(code, reason)
  }

  terminate(): void {
    succeeds(() => this.#socket.terminate?.())
  }
}

/** Whether a dead socket still did it. */
function succeeds(work: () => unknown): boolean {
  try {
    work()
    return true
  } catch {
    return false
  }
}
