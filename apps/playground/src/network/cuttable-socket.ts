/** The close code for a connection that went away without a word. */
const GONE = 1006

interface SocketEvents {
  open: () => void
  error: () => void
  message: (event: { readonly data: unknown }) => void
  close: (event: { readonly code: number }) => void
}

type Listeners = { [Type in keyof SocketEvents]: Set<SocketEvents[Type]> }

/** A WebSocket that can go dead in the middle, as one does when the network goes away. */
export class CuttableSocket {
  readonly #listeners: Listeners = { open: new Set(), error: new Set(), message: new Set(), close: new Set() }
  #socket: WebSocket | undefined
  #isOver = false

  /** @param socket - undefined where there is no network: it fails as such a socket does */
  constructor(socket: WebSocket | undefined) {
    this.#socket = socket
    if (!socket) {
      setTimeout(() => this.cut())
      return
    }
    socket.addEventListener('open', () => this.#tell('open'))
    socket.addEventListener('error', () => this.#tell('error'))
    socket.addEventListener('message', (event) => {
      if (!this.#isOver) for (const listener of this.#listeners.message) listener(event)
    })
    socket.addEventListener('close', ({ code }) => this.#end(code))
  }

  addEventListener<Type extends keyof SocketEvents>(type: Type, listener: SocketEvents[Type]): void {
    this.#listeners[type].add(listener)
  }

  send(data: string): void {
    this.#socket?.send(data)
  }

  close(code?: number): void {
    this.#socket?.close(code)
  }

  /** Nothing comes and nothing goes from now on. */
  cut(): void {
    if (this.#isOver) return
    const socket = this.#socket
    this.#socket = undefined
    this.#tell('error')
    this.#end(GONE)
    socket?.close()
  }

  #tell(type: 'open' | 'error'): void {
    if (!this.#isOver) for (const listener of this.#listeners[type]) listener()
  }

  #end(code: number): void {
    if (this.#isOver) return
    this.#isOver = true
    for (const listener of this.#listeners.close) listener({ code })
  }
}
