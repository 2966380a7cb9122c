import type { Message } from '@turnpike/protocol'
import type { RunStream } from '../run-stream.ts'
import type { SendOptions } from '../threads.ts'

/** A message to send, with all that it takes to send it again: under its run's id it starts nothing new. */
export type Sending = SendOptions & { readonly runId: string }

interface Entry {
  readonly runId: string
  readonly message: Message
  readonly sending: Sending
  /** The server has not answered yet. */
  isAsked: boolean
  /** Sees to it that the message is sent until its run has begun. */
  stream: RunStream | undefined
  /** Calls off what was sent again. */
  again: AbortController | undefined
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

  add(sending: Sending): void {
    const { runId, message: input } = sending
    if (this.#find(runId)) return
    const message: Message = {
      id: `outgoing-${runId}`,
      role: 'user',
      parts: typeof input === 'string' ? [{ type: 'text', text: input }] : input.parts,
      runId,
      status: 'open',
      createdAt: Date.now(),
    }
    const entry = { runId, message, sending, isAsked: true, stream: undefined, again: undefined }
    this.#become([...this.#entries, entry])
  }

  /** The server has it. Where its run has begun there is nothing to wait for. */
  taken(runId: string, stream: RunStream): void {
    const entry = this.#find(runId)
    if (!entry) return stream.close()
    if (entry.stream !== stream) entry.stream?.close()
    entry.isAsked = false
    entry.again = undefined
    entry.stream = stream
  }

  /** Tells whether the message of that stream still waits. */
  waitsFor(stream: RunStream): boolean {
    return this.#entries.some((entry) => entry.stream === stream)
  }

  /** Those that nobody watches over, to be sent again; a signal calls off each. */
  unwatched(): readonly (Sending & { readonly signal: AbortSignal })[] {
    return this.#entries.flatMap((entry) => {
      if (entry.isAsked || entry.stream) return []
      entry.again = new AbortController()
      entry.isAsked = true
      return { ...entry.sending, signal: entry.again.signal }
    })
  }

  remove(runId: string): void {
    const entry = this.#find(runId)
    if (!entry) return
    this.#become(this.#entries.filter((each) => each !== entry))
    letGo(entry)
  }

  /** Lets go of those that the thread has. */
  settle(messages: readonly Message[]): void {
    for (const { runId } of this.#entries) {
      if (messages.some((message) => message.runId === runId)) this.remove(runId)
    }
  }

  /** Stops watching over those that the server has. */
  rest(): void {
    for (const entry of this.#entries) letGo(entry)
  }

  #find(runId: string): Entry | undefined {
    return this.#entries.find((each) => each.runId === runId)
  }

  #become(entries: Entry[]): void {
    this.#entries = entries
    this.messages = entries.map(({ message }) => message)
  }
}

function letGo(entry: Entry): void {
  const { stream, again } = entry
  entry.stream = entry.again = undefined
  if (again) entry.isAsked = false
  again?.abort()
  stream?.close()
}
