import type { Message, MessageInput } from '@turnpike/protocol'
import type { RunStream } from '../run-stream.ts'

interface Entry {
  readonly runId: string
  readonly message: Message
  /** Sees to it that the message is sent until its run has begun. */
  stream: RunStream | undefined
}

/** Messages that were sent from here and are not in the thread yet. */
export class Outgoing {
  /** To be shown behind those of the thread. The list is replaced, never changed. */
  messages: readonly Message[] = []
  #entries: Entry[] = []

  /** The run of the one that was sent last. */
  get lastRunId(): string | undefined {
    return this.#entries.at(-1)?.runId
  }

  add(runId: string, input: MessageInput): void {
    if (this.#entries.some((entry) => entry.runId === runId)) return
    const message: Message = {
      id: `outgoing-${runId}`,
      role: 'user',
      parts: typeof input === 'string' ? [{ type: 'text', text: input }] : input.parts,
      runId,
      status: 'open',
      createdAt: Date.now(),
    }
    this.#become([...this.#entries, { runId, message, stream: undefined }])
  }

  /** The server has it. Where its run has begun there is nothing to wait for. */
  taken(runId: string, stream: RunStream): void {
    const entry = this.#entries.find((each) => each.runId === runId)
    if (!entry) return stream.close()
    entry.stream = stream
  }

  /** Tells whether the message of that stream still waits. */
  waitsFor(stream: RunStream): boolean {
    return this.#entries.some((entry) => entry.stream === stream)
  }

  remove(runId: string): void {
    const entry = this.#entries.find((each) => each.runId === runId)
    if (!entry) return
    this.#become(this.#entries.filter((each) => each !== entry))
    const { stream } = entry
    entry.stream = undefined
    stream?.close()
  }

  /** Lets go of those that the thread has. */
  settle(messages: readonly Message[]): void {
    for (const { runId } of this.#entries) {
      if (messages.some((message) => message.runId === runId)) this.remove(runId)
    }
  }

  /** Stops watching over those that the server has. */
  rest(): void {
    for (const entry of this.#entries) {
      const { stream } = entry
      entry.stream = undefined
      stream?.close()
    }
  }

  #become(entries: Entry[]): void {
    this.#entries = entries
    this.messages = entries.map(({ message }) => message)
  }
}
