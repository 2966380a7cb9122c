import type { Message } from '@turnpike/protocol'
import { WebSocket } from 'ws'
import type { ChatRecord } from './chat-checker.ts'
import { type ChatAsk, type ChatFrame, type ChatWords, chatJsonWords } from './chat-words.ts'

export interface ChatTranscriptOptions {
  /** `ws://127.0.0.1:3000/ws` */
  readonly url: string
  /** @default {@link chatJsonWords} */
  readonly words?: ChatWords
  /** Time for the handshake. @default 10 s */
  readonly deadlineMs?: number
}

/** One connection of a wire with words of its own, and all that was said on it. */
export class ChatTranscript implements AsyncDisposable {
  /** For `checkChat`. */
  readonly records: ChatRecord[] = []
  readonly closed: Promise<void>
  /** Called with each frame, once it is written down. */
  onTold: (frame: ChatFrame) => void = () => {}
  readonly #websocket: WebSocket
  readonly #words: ChatWords
  readonly #asked = new Set<string | number>()
  readonly #over = new Set<string | number>()
  readonly #waiting = new Set<() => void>()
  #isClosed = false
  #toldAt = performance.now()

  private constructor({ url, words = chatJsonWords, deadlineMs = 10_000 }: ChatTranscriptOptions) {
    this.#words = words
    this.#websocket = new WebSocket(url, { handshakeTimeout: deadlineMs, perMessageDeflate: false })
    this.#websocket.on('message', (data: Buffer) => this.#take(JSON.parse(data.toString()) as ChatFrame))
    this.#websocket.on('error', () => {})
    this.closed = new Promise((resolve) => {
      this.#websocket.once('close', () => {
        this.#isClosed = true
        this.#wake()
        resolve()
      })
    })
  }

  /** Resolves once it is open. Rejects where it closes before that. */
  static async open(options: ChatTranscriptOptions): Promise<ChatTranscript> {
    const transcript = new ChatTranscript(options)
    const opened = new Promise<void>((resolve) => transcript.#websocket.once('open', resolve))
    await Promise.race([opened, transcript.closed])
    if (transcript.#isClosed) throw new Error(`${options.url} was closed before it was open.`)
    return transcript
  }

  /** Asks, in a frame that the wire understands. */
  ask(ask: ChatAsk, frame: object): void {
    this.records.push({ type: 'asked', ask })
    this.#asked.add(ask.key ?? ask.runId)
    this.send(frame)
  }

  cancel(runId: string, frame: object): void {
    this.records.push({ type: 'cancelled', runId })
    this.send(frame)
  }

  send(frame: object): void {
    if (this.#websocket.readyState === WebSocket.OPEN) this.#websocket.send(JSON.stringify(frame))
  }

  /** Whether nothing more is to come of a question: it has ended, was refused, or is another's and in a history. */
  isOver(key: string | number): boolean {
    return this.#over.has(key)
  }

  /**
   * Resolves with true once something holds, which is looked at whenever something was told; with false where the
   * connection ends before that, or falls silent.
   */
  until(holds: () => boolean, { silenceMs }: { silenceMs: number }): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const look = (): void => {
      const isSilent = performance.now() - this.#toldAt >= silenceMs
      const held = holds()
      if (!held && !this.#isClosed && !isSilent) return
      clearInterval(timer)
      this.#waiting.delete(look)
      resolve(held)
    }
    this.#toldAt = performance.now()
    const timer = setInterval(look, Math.min(50, silenceMs))
    this.#waiting.add(look)
    look()
    return promise
  }

  /** Takes nothing more from its socket, so that the server has to hold it. */
  pause(): void {
    this.#websocket.pause()
  }

  resume(): void {
    this.#websocket.resume()
  }

  /** Goes without a word. */
  terminate(): void {
    this.#websocket.terminate()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.terminate()
    await this.closed
  }

  #take(frame: ChatFrame): void {
    this.#toldAt = performance.now()
    if (!this.#words.asides.includes(frame.type)) this.records.push({ type: 'told', frame })
    const key = frame[this.#words.keyField]
    const isKey = typeof key === 'string' || typeof key === 'number'
    // That there is no such run to be stopped is not the end of one that comes later.
    const isEnd = this.#words.ends.includes(frame.type) && frame['code'] !== 'unknown-run'
    if (isKey && isEnd) this.#over.add(key)
    if (frame.type === 'reset') {
      for (const message of frame['history'] as (Message & Record<string, unknown>)[]) {
        const key = message[this.#words.keyField] as string | number | undefined
        if (key === undefined || this.#asked.has(key)) continue
        if (message.role === 'assistant' && message.status !== 'open') this.#over.add(key)
      }
    }
    this.onTold(frame)
    this.#wake()
  }

  #wake(): void {
    for (const look of this.#waiting) look()
  }
}
