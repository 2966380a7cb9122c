import type { Message } from '@turnpike/protocol'
import {
  type ChatFrame,
  type ChatRecord,
  type CheckChatOptions,
  ChatTranscript,
} from '@turnpike/testkit/chat'

/** Time for what is certain to come. */
export const SILENCE_MS = 10_000

export interface Chat {
  readonly runId: string
  /** Absent for one of the socket's own. */
  readonly sessionId: string | undefined
  readonly message: string
}

/** A connection of the past or the present, or a request. */
export interface Told {
  readonly who: string
  readonly records: readonly ChatRecord[]
  readonly how: Pick<CheckChatOptions, 'left' | 'words' | 'endsWithRun'>
  /** The prompts of requests whose runs the server names, by request. */
  readonly asked?: ReadonlyMap<string, string>
}

/** A client over WebSocket that comes back when it is cut, and asks again. */
export class SocketClient {
  readonly #url: string
  readonly #told: Told[]
  /** What it wants to know, in the order in which it asked. */
  #wanted: Chat[] = []
  #transcript: ChatTranscript | undefined
  #approved = new Set<unknown>()

  constructor(url: string, told: Told[]) {
    this.#url = url
    this.#told = told
  }

  async connect(): Promise<void> {
    const transcript = await ChatTranscript.open({ url: this.#url })
    transcript.onTold = (frame) => this.#decide(frame)
    this.#transcript = transcript
    this.#approved.clear()
  }

  chat(chat: Chat): void {
    const { runId, sessionId, message } = chat
    this.#wanted.push(chat)
    this.#open.ask({ runId }, { type: 'chat', message, runId, sessionId })
  }

  /** Whether it has asked in a session over the connection there is. */
  asksIn(sessionId: string | undefined): boolean {
    return this.#wanted.some((chat) => chat.sessionId === sessionId)
  }

  cancel(runId: string): void {
    this.#open.cancel(runId, { type: 'cancel', runId })
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

  /** Is cut, comes back, and asks again: for what it has not heard to the end, or for everything. */
  async cut(again: 'open' | 'all'): Promise<void> {
    const cut = this.#open
    cut.terminate()
    await cut.closed
    this.#told.push({ who: this.#name, records: cut.records, how: { left: 'cut' } })
    // A chat of the socket's own session is gone with the socket.
    const wanted = this.#wanted.filter(
      ({ runId, sessionId }) =>
        sessionId !== undefined && !wasRefused(cut, runId) && (again === 'all' || !cut.isOver(runId)),
    )
    this.#wanted = []
    await this.connect()
    for (const chat of wanted) this.chat(chat)
  }

  /** Resolves when nothing that it asked goes on. */
  async answered(): Promise<void> {
    const isOver = (): boolean => this.#wanted.every(({ runId }) => this.#open.isOver(runId))
    await this.#open.until(isOver, { silenceMs: SILENCE_MS })
  }

  /** Waits for all there is to tell, where the last run of each session is known, and goes. */
  async leave(lastRuns: ReadonlyMap<string, string> | undefined): Promise<void> {
    const { records } = this.#open
    if (lastRuns) {
      const sessions = new Set(this.#wanted.flatMap(({ sessionId }) => sessionId ?? []))
      const followed = [...sessions].filter((sessionId) =>
        this.#wanted.some((chat) => chat.sessionId === sessionId && !wasRefused(this.#open, chat.runId)),
      )
      const isOver = (): boolean => followed.every((id) => this.#open.isOver(lastRuns.get(id) ?? ''))
      await this.#open.until(isOver, { silenceMs: SILENCE_MS })
    }
    this.#open.terminate()
    this.#told.push({ who: this.#name, records, how: { left: lastRuns ? 'settled' : 'answered' } })
  }

  get #open(): ChatTranscript {
    if (!this.#transcript) throw new Error('Not connected.')
    return this.#transcript
  }

  get #name(): string {
    return `socket ${this.#wanted.map(({ runId }) => runId).join(' ')}`
  }

  /** Approves whatever it is asked, also where a history asks. */
  #decide(frame: ChatFrame): void {
    const asked = frame.type === 'reset' ? pendingIn(frame['history'] as Message[]) : [frame['approvalId']]
    if (frame.type !== 'reset' && frame.type !== 'approval_pending') return
    for (const approvalId of asked) {
      if (this.#approved.has(approvalId)) continue
      this.#approved.add(approvalId)
      this.#open.send({ type: 'approve', approvalId, approved: true })
    }
  }
}

function pendingIn(history: readonly Message[]): unknown[] {
  return history.flatMap(({ parts }) =>
    parts.flatMap((part) =>
      part.type === 'tool' && part.state === 'approval' && part.approval ? [part.approval.approvalId] : [],
    ),
  )
}

const REFUSALS: readonly unknown[] = ['thread-busy', 'too-many-subscriptions']

function wasRefused({ records }: ChatTranscript, runId: string): boolean {
  return records.some(
    (each) =>
      each.type === 'told' &&
      each.frame.type === 'error' &&
      each.frame['runId'] === runId &&
      REFUSALS.includes(each.frame['code']),
  )
}
