import {
  type EventOf,
  type FinishReason,
  type ThreadReset,
  type Usage,
  GatewayError,
  isErrorCode,
  textOf,
} from '@turnpike/protocol'
import type { Dialect } from '@turnpike/protocol/wire'
import type { Principal } from '@turnpike/agents'
import type { Gateway } from '../../gateway.ts'
import { lineFraming } from '../../links/line-framing.ts'
import type { Link } from '../../links/link.ts'

/** What a chat comes to, for who asks for the answer as a whole. */
export interface ChatAnswer {
  readonly text: string
  /** Absent where the run has ended too long ago for that to be known. */
  readonly steps?: number
  readonly finishReason: FinishReason
  readonly usage?: Usage
  readonly agent: string
  readonly sessionId: string
  readonly runId: string
}

type Told = EventOf<'finish'> | EventOf<'error'> | ThreadReset

/** Tells of a thread how its runs end, and no more. */
export const chatEndings: Dialect = {
  name: 'chat-endings',
  encode: (event) =>
    event.type === 'finish' || event.type === 'error'
      ? [{ name: event.type, json: JSON.stringify(event) }]
      : [],
  reset: (reset) => [{ name: reset.type, json: JSON.stringify(reset) }],
}

const lines = lineFraming('http')

/** A request that waits for a run's answer, as the gateway sees it: a reader that keeps how the run ended. */
export class ChatAnswerLink implements Link {
  readonly framing = lines
  /** What is written is taken at once. */
  readonly bufferedBytes = 0
  readonly #ended = Promise.withResolvers<void>()
  #told = ''

  constructor() {
    this.#ended.promise.catch(() => {})
  }

  write(bytes: Uint8Array): void {
    this.#told += Buffer.from(bytes).toString()
  }

  pause(): void {}

  close(_code: number, reason: string): void {
    const code = isErrorCode(reason) ? reason : 'internal'
    this.#ended.reject(new GatewayError(code, 'The server stopped waiting for the answer.'))
  }

  /** All that there is to tell has been written. */
  end(): void {
    this.#ended.resolve()
  }

  /**
   * The answer of a run, once that has ended; undefined where the log has let go of it.
   *
   * @throws GatewayError as the run has ended with, or `draining` …
   */
  async answerOf(runId: string): Promise<ChatAnswer | undefined> {
    await this.#ended.promise
    for (const line of this.#told.trimEnd().split('\n').toReversed()) {
      const told = JSON.parse(line) as Told
      if (told.type === 'thread.reset') return undefined
      if (told.runId !== runId) continue
      if (told.type === 'error') throw GatewayError.from(told.error)
      const { text, steps, finishReason, usage, agent, threadId: sessionId } = told
      return { text, steps, finishReason, usage, agent, sessionId, runId }
    }
    throw lost()
  }
}

/** The same out of the store: of a run that was asked for again long after its end. @throws GatewayError as it has ended */
export async function storedAnswer(
  { access, runs, store }: Gateway,
  principal: Principal,
  { runId, sessionId }: Pick<ChatAnswer, 'runId' | 'sessionId'>,
): Promise<ChatAnswer> {
  const { owner } = await access.threadToRead(principal, sessionId)
  await runs.settled(owner, runId)
  const [run, message] = await Promise.all([store.runs.find(owner, runId), store.runs.answer(owner, runId)])
  if (message?.error) throw GatewayError.from(message.error)
  if (!run?.finishReason) throw lost()
  const { agent, finishReason, usage } = run
  return {
    text: message ? textOf(message) : '',
    finishReason,
    ...(usage && { usage }),
    agent,
    sessionId,
    runId,
  }
}

function lost(): GatewayError {
  return new GatewayError('internal', 'The answer is not there any more.')
}
