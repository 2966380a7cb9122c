import { type ChatRecord, ChatTranscript, agentSocketWords } from '@turnpike/testkit/chat'
import { type Chat, type Told, SILENCE_MS } from './chat-history-socket.ts'

/** A client of the agent handler: it hears of its own requests alone, and cannot ask again. */
export class AgentSocketClient {
  readonly #url: string
  readonly #told: Told[]
  #transcript: ChatTranscript | undefined
  #asked: Chat[] = []

  constructor(url: string, told: Told[]) {
    this.#url = url
    this.#told = told
  }

  async connect(): Promise<void> {
    this.#transcript = await ChatTranscript.open({ url: this.#url, words: agentSocketWords })
  }

  /** By the run id that the chat would have: here it is the request's. */
  ask(chat: Chat, kind: 'stream' | 'generate'): void {
    const { runId: key, sessionId, message: prompt } = chat
    this.#asked.push(chat)
    const options = sessionId === undefined ? {} : { sessionId }
    this.#open.ask({ runId: key, key, kind }, { type: kind, payload: { prompt, options, requestId: key } })
  }

  cancel(requestId: string): void {
    this.#open.cancel(requestId, { type: 'cancel', payload: { requestId } })
  }

  pause(): void {
    this.#open.pause()
  }

  resume(): void {
    this.#open.resume()
  }

  terminate(): void {
    this.#transcript?.terminate()
  }

  async cut(): Promise<void> {
    const cut = this.#open
    cut.terminate()
    await cut.closed
    this.#leave(cut.records, 'cut')
    await this.connect()
  }

  /** Resolves when nothing that it asked goes on. */
  async answered(): Promise<void> {
    const isOver = (): boolean => this.#asked.every(({ runId }) => this.#open.isOver(runId))
    await this.#open.until(isOver, { silenceMs: SILENCE_MS })
  }

  leave(): void {
    this.#open.terminate()
    this.#leave(this.#open.records, 'answered')
  }

  /** Which run a request came to, the server does not say; its prompt is in the log. */
  #leave(records: readonly ChatRecord[], left: 'cut' | 'answered'): void {
    const who = `agent socket ${this.#asked.map(({ runId }) => runId).join(' ')}`
    const asked = new Map(this.#asked.map(({ runId, message }) => [runId, message]))
    this.#told.push({ who, records, how: { left, words: agentSocketWords }, asked })
    this.#asked = []
  }

  get #open(): ChatTranscript {
    if (!this.#transcript) throw new Error('Not connected.')
    return this.#transcript
  }
}
