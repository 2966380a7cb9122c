import { type Answer, type Answers, type CommandName, type PayloadOf, GatewayError } from '@turnpike/protocol'
import { type Goodbye, type Inbound, readInbound } from './inbound.ts'

const SUBPROTOCOL = 'turnpike.v1'
const OPEN_MS = 10_000
const ANSWER_MS = 15_000

/** A request that got no answer because its channel is gone. */
export class ChannelLost extends Error {
  override readonly name = 'ChannelLost'
}

/** Why a channel ended; `goodbye` where the server said so before. */
export interface Ended {
  readonly code: number
  readonly goodbye?: Goodbye | undefined
}

export interface ChannelOptions {
  readonly onOpen: () => void
  readonly onInbound: (inbound: Inbound) => void
  /** Not called where {@link Channel.close} ended it. */
  readonly onEnd: (ended: Ended) => void
}

interface Waiting {
  readonly settle: (answer: Answer) => void
  readonly fail: (error: Error) => void
}

/** One WebSocket, with requests that are answered by id. A channel that does not answer is given up. */
export class Channel {
  readonly #socket: WebSocket
  readonly #options: ChannelOptions
  readonly #waiting = new Map<unknown, Waiting>()
  readonly #opening: number
  #goodbye: Goodbye | undefined
  #lastId = 0
  #ended = false

  constructor(url: string, options: ChannelOptions) {
    this.#options = options
    this.#socket = new WebSocket(url, SUBPROTOCOL)
    this.#opening = window.setTimeout(() => this.#end(0), OPEN_MS)
    this.#socket.addEventListener('open', () => {
      clearTimeout(this.#opening)
      if (!this.#ended) options.onOpen()
    })
    this.#socket.addEventListener('message', ({ data }) => this.#receive(String(data)))
    this.#socket.addEventListener('close', ({ code }) => this.#end(code))
  }

  /**
   * Sends a command.
   *
   * @throws GatewayError where it was refused, ChannelLost where no answer came
   */
  request<Name extends CommandName>(command: Name, payload: PayloadOf<Name>): Promise<Answers[Name]> {
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(new ChannelLost())
      const patience = window.setTimeout(() => this.#end(0), ANSWER_MS)
      this.#waiting.set(id, {
        settle(answer) {
          clearTimeout(patience)
          if (answer.ok) resolve(answer as unknown as Answers[Name])
          else reject(GatewayError.from(answer.error))
        },
        fail(error) {
          clearTimeout(patience)
          reject(error)
        },
      })
      this.#socket.send(JSON.stringify({ id, command, payload }))
    })
  }

  /** Ends it from this side. */
  close(): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#opening)
    this.#socket.close()
    for (const { fail } of this.#waiting.values()) fail(new ChannelLost())
    this.#waiting.clear()
  }

  #receive(text: string): void {
    if (this.#ended) return
    const inbound = readInbound(text)
    if (inbound?.kind === 'answer') {
      this.#waiting.get(inbound.id)?.settle(inbound.answer)
      this.#waiting.delete(inbound.id)
      return
    }
    if (inbound?.kind === 'goodbye') this.#goodbye = inbound.goodbye
    if (inbound) this.#options.onInbound(inbound)
  }

  #end(code: number): void {
    if (this.#ended) return
    this.close()
    this.#options.onEnd({ code, goodbye: this.#goodbye })
  }
}
