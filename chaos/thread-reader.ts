import { once } from 'node:events'
import {
  type Answer,
  type EventId,
  type Message,
  type ThreadEvent,
  type ThreadReset,
  advance,
  seqOf,
  textOf,
} from '@turnpike/protocol'
import { WebSocket } from 'ws'
import { answerTo, faultsOf } from './order.ts'

/** Follows a thread over one WebSocket and compares what comes with what was ordered, keeping next to nothing. */
export class ThreadReader implements AsyncDisposable {
  /** What was wrong. */
  readonly faults: string[] = []
  readonly resets: ThreadReset['cause'][] = []
  /** Time from the log to here: how many frames took so many milliseconds, the last one for all beyond. */
  readonly delays = new Uint32Array(10_001)
  bytes = 0
  closed: number | undefined
  readonly #threadId: string
  readonly #socket: WebSocket
  readonly #ends = new Map<string, () => void>()
  readonly #ended = new Set<string>()
  #seq = 0
  /** What the run in progress is to say, and how much of it has been said. */
  #expected = ''
  #said = 0

  private constructor(socket: WebSocket, threadId: string) {
    this.#socket = socket
    this.#threadId = threadId
    socket.on('close', (code) => (this.closed = code))
    socket.on('error', (error) => this.faults.push(error.message))
  }

  /** Opens a connection and subscribes; resolves once it reads. */
  static async open(url: string, threadId: string): Promise<ThreadReader> {
    const socket = new WebSocket(url, ['turnpike.v1'], { perMessageDeflate: false })
    const reader = new ThreadReader(socket, threadId)
    await once(socket, 'open')
    const answered = Promise.withResolvers<void>()
    socket.on('message', (data: Buffer) => {
      reader.bytes += data.length
      const frame = JSON.parse(data.toString()) as
        | ThreadEvent
        | ThreadReset
        | ({ id: 1 } & Answer<'thread.subscribe'>)
      if (!('ok' in frame)) return reader.#take(frame)
      if (!frame.ok) return answered.reject(new Error(frame.error.code))
      if (!frame.recovered) reader.#place(frame)
      answered.resolve()
    })
    socket.send(JSON.stringify({ id: 1, command: 'thread.subscribe', payload: { threadId } }))
    await answered.promise
    return reader
  }

  /** Resolves when this run has ended here. */
  ended(runId: string): Promise<void> {
    if (this.#ended.has(runId)) return Promise.resolve()
    return new Promise((resolve) => this.#ends.set(runId, resolve))
  }

  /** Takes nothing more from its socket. */
  stall(): void {
    this.#socket.pause()
  }

  goOn(): void {
    this.#socket.resume()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.closed !== undefined) return
    const closed = once(this.#socket, 'close')
    this.#socket.terminate()
    await closed
  }

  #take(frame: ThreadEvent | ThreadReset): void {
    if (frame.type === 'thread.reset') {
      this.resets.push(frame.cause)
      return this.#place(frame)
    }
    this.#note(Date.now() - frame.ts)
    const step = advance(this.#seq, frame)
    if (step !== 'apply') this.#fault(`${step} at ${frame.seq} behind ${this.#seq}`)
    this.#seq = frame.seq
    if (frame.type === 'start') {
      this.#expected = answerTo(textOf(frame.input)) ?? ''
      this.#said = 0
    } else if (frame.type === 'text-delta') {
      if (!this.#expected.startsWith(frame.delta, this.#said)) this.#fault(`other text at ${frame.seq}`)
      this.#said += frame.delta.length
    } else if (frame.type === 'finish') {
      if (this.#said !== this.#expected.length) this.#fault(`${frame.runId} is incomplete`)
      this.#end(frame.runId)
    } else if (frame.type === 'error') {
      this.#fault(`${frame.runId} failed`)
      this.#end(frame.runId)
    }
  }

  #place({ head, history }: { head: EventId; history: readonly Message[] }): void {
    if (seqOf(head) < this.#seq) this.#fault(`a reset goes back to ${head}`)
    this.#seq = seqOf(head)
    for (const fault of faultsOf(history)) this.#fault(fault)
    const question = history.findLast(({ role }) => role === 'user')
    const answer = history.findLast(({ role }) => role === 'assistant')
    this.#expected = (question && answerTo(textOf(question))) ?? ''
    this.#said = answer && answer.runId === question?.runId ? textOf(answer).length : 0
    for (const { runId, role, status } of history) {
      if (runId !== undefined && role === 'assistant' && status !== 'open') this.#end(runId)
    }
  }

  #end(runId: string): void {
    this.#ended.add(runId)
    this.#ends.get(runId)?.()
    this.#ends.delete(runId)
  }

  #note(delayMs: number): void {
    const index = Math.min(this.delays.length - 1, Math.max(0, delayMs))
    this.delays[index] = (this.delays[index] ?? 0) + 1
  }

  #fault(what: string): void {
    if (this.faults.length < 5) this.faults.push(`${this.#threadId}: ${what}`)
  }
}

/** The delay that so large a share of all frames did not exceed. */
export function delayAt(share: number, readers: readonly ThreadReader[]): number {
  const sum = new Uint32Array(10_001)
  for (const { delays } of readers) delays.forEach((count, ms) => (sum[ms] = (sum[ms] ?? 0) + count))
  const total = sum.reduce((all, count) => all + count, 0)
  let seen = 0
  return sum.findIndex((count) => (seen += count) >= total * share)
}
