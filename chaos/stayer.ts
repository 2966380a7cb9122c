import { type Client, type Message, type ThreadSubscription, createClient } from '@turnpike/client'

/** A client of the SDK that stays with its thread, whatever happens to the server. */
export class Stayer implements AsyncDisposable {
  readonly threadId: string
  readonly faults: string[] = []
  attempts = 0
  resets = 0
  openedAt = 0
  readonly #client: Client
  readonly #subscription: ThreadSubscription
  readonly #waiting = new Map<string, () => void>()

  constructor(baseUrl: string, threadId: string) {
    this.threadId = threadId
    this.#client = createClient({ url: baseUrl, transport: 'websocket' })
    this.#client.connection.onChange(({ status }) => {
      if (status === 'connecting') this.attempts++
      if (status === 'open') this.openedAt = performance.now()
      if (status === 'closed') this.faults.push('was closed')
    })
    this.#subscription = this.#client.threads.subscribe({ threadId })
    void this.#read().catch((error: unknown) => this.faults.push(String(error)))
  }

  get messages(): readonly Message[] {
    return this.#subscription.messages
  }

  /** Begins to count from here on. */
  forget(): void {
    this.attempts = this.resets = 0
  }

  /** Resolves when the answer of one of the thread's runs is as `is` says. */
  until(run: string, is: (answer: Message) => boolean): Promise<void> {
    const runId = `${this.threadId}-${run}`
    return new Promise((resolve) => {
      const check = (): void => {
        const answer = this.messages.findLast((each) => each.runId === runId && each.role === 'assistant')
        if (!answer || !is(answer)) return
        this.#waiting.delete(runId)
        resolve()
      }
      this.#waiting.set(runId, check)
      check()
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#waiting.clear()
    this.#subscription.close()
    this.#client.close()
  }

  async #read(): Promise<void> {
    for await (const update of this.#subscription) {
      if (update.type === 'reset') this.resets++
      for (const check of [...this.#waiting.values()]) check()
    }
  }
}
