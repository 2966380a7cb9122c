import { ERRORS } from '@turnpike/protocol'
import { lineFraming, linesIn } from '../links/line-framing.ts'
import type { Channel } from './channel.ts'
import { isPromise } from './is-promise.ts'
import { Outgoing } from './outgoing.ts'
import type { ManagedSocket } from './websocket-handler.ts'

const OPEN = 1
/** How often a socket is looked at that has something left to take. */
const LOOK_MS = 20
const FINAL_CODE = ERRORS['invalid-frame'].close
/** What stands for codes of the RFC after which a client may come back; after others it is not to. */
const PRIVATE_CODES: ReadonlyMap<number, number> = new Map([
  [1_000, 1_000],
  [1_001, ERRORS['connection-closed'].close],
  [1_011, ERRORS.internal.close],
  [1_012, ERRORS['connection-closed'].close],
  [1_013, ERRORS['connection-closed'].close],
])
const framing = lineFraming('foreign-websocket')

/** A socket of another framework, which frames and reads itself. It may throw where it is closed already. */
export class ForeignChannel implements Channel {
  readonly framing = framing
  readonly #socket: ManagedSocket

  constructor(socket: ManagedSocket) {
    this.#socket = socket
  }

  get isOpen(): boolean {
    try {
      return (this.#socket.readyState ?? OPEN) === OPEN
    } catch {
      return false
    }
  }

  get canPause(): boolean {
    return false
  }

  get bufferedBytes(): number {
    try {
      return this.#socket.bufferedAmount ?? 0
    } catch {
      return 0
    }
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
      else task()
    }
    setTimeout(look, LOOK_MS).unref()
  }

  close(code: number, reason: string): void {
    if (succeeds(() => this.#socket.close(code, reason))) return
    // Sockets with the interface of browsers send but 1000 and 3000 to 4999.
    const other = code < 3_000 ? (PRIVATE_CODES.get(code) ?? FINAL_CODE) : code
    if (other === code || !succeeds(() => this.#socket.close(other, reason))) {
      succeeds(() => this.#socket.close())
    }
  }

  dismiss(code: number, reason: string): void {
    this.close(code, reason)
  }

  terminate(): void {
    succeeds(() => this.#socket.terminate?.())
  }
}

/** Whether a dead socket still did it; one that does it later may still say that it could not. */
function succeeds(work: () => unknown): boolean {
  try {
    const done = work()
    if (isPromise(done)) done.then(undefined, nothing)
    return true
  } catch {
    return false
  }
}

function nothing(): void {}
