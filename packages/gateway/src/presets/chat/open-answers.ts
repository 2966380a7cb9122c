import { GatewayError } from '@turnpike/protocol'
import type { Session } from '../../connections/session.ts'

/** The requests of one server that wait for the answer of a run. */
export class OpenAnswers {
  readonly #sessions = new Set<Session>()
  readonly #allAnswered = Promise.withResolvers<void>()
  #isClosing = false

  get isClosing(): boolean {
    return this.#isClosing
  }

  /** @throws GatewayError `draining` once the server closes */
  assertOpen(): void {
    if (this.#isClosing) throw new GatewayError('draining', 'The server is shutting down.')
  }

  /** Counts a request in until what it returns is called. */
  enter(session: Session): () => void {
    this.#sessions.add(session)
    return () => {
      this.#sessions.delete(session)
      if (this.#isClosing && this.#sessions.size === 0) this.#allAnswered.resolve()
    }
  }

  /** Takes no more requests, and resolves once those that wait have been answered, or after a time. */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true
    if (this.#sessions.size === 0) return
    const timer = setTimeout(this.#allAnswered.resolve, graceMs)
    await this.#allAnswered.promise
    clearTimeout(timer)
  }

  /** Tells those that still wait why they get no answer. */
  dismiss(reason: GatewayError): void {
    for (const session of this.#sessions) session.dismiss(reason)
  }
}
