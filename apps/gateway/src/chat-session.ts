import { randomUUID } from 'node:crypto'
import { type Client, type Message, type ThreadUpdate, GatewayError } from '@turnpike/client'
import { plainJson, plainLine } from './terminal/plain-text.ts'
import type { Style } from './terminal/paint.ts'
import { Terminal } from './terminal/terminal.ts'
import type { Piece, Transcript } from './terminal/transcript.ts'

export interface ChatOptions {
  readonly client: Client
  readonly transcript: Transcript
  /** @default a new one */
  readonly threadId?: string | undefined
  readonly agent?: string | undefined
  readonly reasoning: boolean
}

interface Question {
  readonly approvalId: string
  readonly text: string
}

/**
 * One conversation at a terminal, or through a pipe.
 *
 * All that is shown comes from one subscription of the thread, so what other devices do there is shown as well. Lines
 * of a pipe wait for their turn: each one is a message, or the answer to a question.
 */
export class ChatSession implements Disposable {
  readonly #options: ChatOptions
  readonly #threadId: string
  readonly #terminal: Terminal
  readonly #left = Promise.withResolvers<number>()
  readonly #held: string[] = []
  /** Runs that were asked for here and are not over. */
  readonly #pending = new Set<string>()
  readonly #cancelled = new Set<string>()
  readonly #decided = new Set<string>()
  readonly #announced = new Set<string>()
  readonly #stopWatching: () => void
  #questions: readonly Question[] = []
  #activeRunId: string | undefined
  /** What the thread has so far is shown. */
  #isReady: boolean
  #isFollowing = false
  #isInputOver = false
  #isFailed = false
  #isOver = false

  constructor(options: ChatOptions) {
    const { client, transcript, threadId } = options
    this.#options = options
    this.#threadId = threadId ?? randomUUID()
    this.#isReady = threadId === undefined
    this.#terminal = new Terminal({
      onLine: (line) => this.#hear(line),
      onEnd: () => this.#endInput(),
      onInterrupt: () => this.#interrupt(),
      onGone: () => this.#leave(),
    })
    this.#stopWatching = client.connection.onChange((state) => {
      this.#show(transcript.connection(state))
      if (state.status === 'closed' && state.error) this.#fail(state.error)
      else this.#goOn()
    })
  }

  /** Resolves with the exit code when it is over. */
  run(): Promise<number> {
    if (this.#terminal.isInteractive) {
      const agent = plainLine(this.#options.agent ?? 'nobody')
      this.#note('dim', `Talking to ${agent}. Ctrl-C stops an answer, Ctrl-D leaves.`)
    }
    if (!this.#isReady) void this.#follow()
    this.#goOn()
    return this.#left.promise
  }

  [Symbol.dispose](): void {
    this.#stopWatching()
    this.#terminal[Symbol.dispose]()
  }

  async #follow(): Promise<void> {
    const { client, reasoning } = this.#options
    const threadId = this.#threadId
    this.#isFollowing = true
    try {
      for await (const update of client.threads.subscribe({ threadId, reasoning })) this.#take(update)
    } catch (error) {
      // A thread that is not there yet is made by the first message.
      if (!(error instanceof GatewayError) || error.code !== 'unknown-thread') this.#fail(error)
    }
    this.#isFollowing = false
    this.#activeRunId = undefined
    this.#questions = []
    this.#isReady = true
    // A message that was typed at that very moment makes the thread anew.
    if (this.#pending.size > 0 && !this.#isOver) return this.#follow()
    this.#goOn()
  }

  #take(update: ThreadUpdate): void {
    const { transcript } = this.#options
    const { messages } = update
    if (update.type === 'event') {
      const { event } = update
      this.#show(transcript.event(event))
      // Deltas, the most of all events, change nothing else.
      if (event.type === 'text-delta') return
      if (event.type === 'finish') this.#ended(event.runId, event.finishReason === 'stop')
      if (event.type === 'error') this.#ended(event.runId, false)
    } else {
      if (update.more && !update.cause) this.#note('dim', '(older messages are left out)')
      this.#show(transcript.history(messages))
      this.#isReady = true
      for (const { role, runId, status } of messages) {
        if (role === 'assistant' && runId && status !== 'open') this.#ended(runId, status === 'done')
      }
    }
    this.#activeRunId = messages.findLast(
      ({ role, status }) => role === 'assistant' && status === 'open',
    )?.runId
    this.#questions = questionsIn(messages)
    this.#goOn()
  }

  async #send(message: string): Promise<void> {
    const { client, transcript, agent, reasoning } = this.#options
    const runId = randomUUID()
    const threadId = this.#threadId
    this.#pending.add(runId)
    transcript.expect(runId)
    try {
      const sending = client.threads.stream({
        message,
        threadId,
        runId,
        reasoning,
        ...(agent !== undefined && { agent }),
      })
      // After the message, since that makes the thread.
      if (!this.#isFollowing) void this.#follow()
      // How it ended is told by the subscription.
      await (
        await sending
      ).finished
    } catch (error) {
      if (this.#isOver) return
      this.#ended(runId, false)
      this.#tell(error)
    }
  }

  #ended(runId: string, isGood: boolean): void {
    if (this.#pending.delete(runId) && !isGood && !this.#cancelled.has(runId)) this.#isFailed = true
    this.#cancelled.delete(runId)
  }

  #hear(line: string): void {
    this.#held.push(line)
    this.#goOn()
  }

  #endInput(): void {
    this.#isInputOver = true
    if (this.#terminal.isInteractive) this.#leave()
    else this.#goOn()
  }

  /** Does what there is to do, and asks for what is needed next. */
  #goOn(): void {
    if (this.#isOver || !this.#isReady) return
    const question = this.#questions.find(({ approvalId }) => !this.#decided.has(approvalId))
    const isBusy = this.#pending.size > 0 || this.#activeRunId !== undefined
    // Who types meanwhile may be sure that it is taken; what a pipe holds has time.
    const takes = question !== undefined || !isBusy || this.#terminal.isInteractive
    const line = takes ? this.#held.shift() : undefined
    if (question) this.#announce(question)
    if (line !== undefined) {
      if (question) this.#decide(question, line)
      else if (line.trim() !== '') void this.#send(line)
      return this.#goOn()
    }
    if (question) this.#ask(question.text)
    else this.#ask(isBusy ? undefined : '› ')
    if (!this.#isInputOver || (isBusy && !question)) return
    if (question) {
      this.#note('yellow', `Nobody is there to answer. It waits: turnpike chat --thread ${this.#threadId}`)
      this.#isFailed = true
    }
    this.#leave()
  }

  #ask(text: string | undefined): void {
    if (text !== undefined) this.#terminal.show(this.#options.transcript.rest())
    this.#terminal.ask(text)
  }

  /** A pipe has no prompt, but somebody may read along. */
  #announce({ approvalId, text }: Question): void {
    if (this.#terminal.isInteractive || this.#announced.has(approvalId)) return
    this.#announced.add(approvalId)
    this.#note('yellow', text.trim())
  }

  #decide({ approvalId }: Question, line: string): void {
    const word = line.trim().toLowerCase()
    if (!['', 'y', 'yes', 'n', 'no'].includes(word)) return this.#note('dim', 'Answer y or n.')
    this.#decided.add(approvalId)
    const approved = word.startsWith('y')
    this.#options.client.approvals.resolve({ approvalId, approved }).catch((error) => this.#tell(error))
  }

  /** Stops the run in progress. Asked for once more, or where there is none, it leaves. */
  #interrupt(): void {
    const [first] = this.#pending
    const runId = this.#activeRunId ?? first
    if (runId === undefined || this.#cancelled.has(runId)) return this.#leave()
    this.#cancelled.add(runId)
    this.#note('dim', 'Stopping …')
    this.#options.client.runs.cancel(runId).catch((error) => this.#tell(error))
  }

  #fail(error: unknown): void {
    if (this.#isOver) return
    this.#isFailed = true
    this.#tell(error)
    this.#leave(1)
  }

  #tell(error: unknown): void {
    const { code = '', message } = error instanceof GatewayError ? error : { message: String(error) }
    this.#note('red', plainLine(`✗ ${code && `${code}: `}${message}`))
    this.#goOn()
  }

  #note(style: Style, text: string): void {
    this.#show(this.#options.transcript.note({ style, text }))
  }

  #show(pieces: readonly Piece[]): void {
    if (this.#isOver || pieces.length === 0) return
    this.#terminal.show(pieces)
  }

  #leave(code?: number): void {
    if (this.#isOver) return
    this.#terminal.ask(undefined)
    this.#terminal.show(this.#options.transcript.rest())
    if (this.#isFollowing && this.#terminal.isInteractive) {
      this.#note('dim', `To go on: turnpike chat --thread ${plainLine(this.#threadId)}`)
    }
    this.#isOver = true
    // Who sits there has seen what went wrong.
    this.#left.resolve(code ?? (this.#isFailed && !this.#terminal.isInteractive ? 1 : 0))
  }
}

/** What waits for a decision. Nothing of the arguments is left out, for it is they that are approved. */
function questionsIn(messages: readonly Message[]): readonly Question[] {
  return messages.flatMap(({ parts }) =>
    parts.flatMap((part) =>
      part.type === 'tool' && part.state === 'approval' && part.approval
        ? [
            {
              approvalId: part.approval.approvalId,
              text: `Approve ${plainLine(part.tool)}(${plainJson(part.args)})? [y/N] `,
            },
          ]
        : [],
    ),
  )
}
