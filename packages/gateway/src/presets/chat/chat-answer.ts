import { type EventOf, type FinishReason, type Usage, GatewayError, isErrorCode } from '@turnpike/protocol'
import type { Dialect } from '@turnpike/protocol/wire'
import { lineFraming } from '../../links/line-framing.ts'
import type { Link } from '../../links/link.ts'

/** What a chat comes to, for who asks for the answer as a whole. */
export interface ChatAnswer {
  readonly text: string
  readonly steps: number
  readonly finishReason: FinishReason
  readonly usage: Usage
  readonly agent: string
  readonly sessionId: string
  readonly runId: string
}

type Told = EventOf<'finish'> | EventOf<'error'>

/** Tells of a thread how its runs end, and no more. */
export const chatEndings: Dialect = {
  name: 'chat-endings',
  encode: (event) =>
    event.type === 'finish' || event.type === 'error'
      ? [{ name: event.type, json: JSON.stringify(event) }]
      : [],
  reset: () => [],
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

  /** The answer of a run, once that has ended. @throws GatewayError as the run has ended with, or `draining` … */
  async answerOf(runId: string): Promise<ChatAnswer> {
    await this.#ended.promise
    for (const line of this.#told.trimEnd().split('\n').toReversed()) {
      const told = JSON.parse(line) as Told
      if (told.runId !== runId) continue
      if (told.type === 'error') throw GatewayError.from(told.error)
      const { text, steps, finishReason, usage, agent, threadId: sessionId } = told
      return { text, steps, finishReason, usage, agent, sessionId, runId }
    }
    throw new GatewayError('internal', 'The answer is not there any more.')
  }
}
