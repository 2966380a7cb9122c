import type { Channel } from './channel.ts'
import { Outgoing } from './outgoing.ts'
import type { ManagedSocket } from './websocket-handler.ts'

const OPEN = 1

/** A socket of another framework, which frames and reads itself. It may throw where it is closed already. */
export class ForeignChannel implements Channel {
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

  ping(): boolean {
    if (this.#socket.ping) return succeeds(() => this.#socket.ping?.())
    return this.write(new Outgoing({ type: 'ping', timestamp: Date.now() }))
  }

  pause(): void {}

  onceDrained(): void {}

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
