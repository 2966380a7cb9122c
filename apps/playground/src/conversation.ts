import { type ThreadEvent, GatewayError, LIMITS, ORIGIN } from '@turnpike/protocol'
import { type Channel, ChannelLost } from './channel.ts'
import type { Inbound } from './inbound.ts'
import { newId } from './new-id.ts'
import { type Pending, withProgress, withoutRuns } from './pending.ts'
import { headOf } from './thread-head.ts'
import {
  type ThreadState,
  emptyThread,
  withEvent,
  withHistory,
  withLoss,
  withReplay,
  withReplayEnd,
  withoutHistory,
} from './thread-state.ts'

/** What a request adds to its payload, and some to spare. */
const FRAME_OVERHEAD = 256

/** One thread over whatever channel there is: follows it, resumes it, and sends what has not arrived. */
export class Conversation {
  readonly #onChange: () => void
  #state: ThreadState
  #channel: Channel | undefined
  #following = false
  /** A subscription is being asked for; what comes of an older one is no gap. */
  #asking = false

  constructor(threadId: string, onChange: () => void) {
    this.#state = emptyThread(threadId)
    this.#onChange = onChange
  }

  get state(): ThreadState {
    return this.#state
  }

  /** Takes up a new channel: what was missed comes first, then what has not been sent goes out. */
  async attach(channel: Channel): Promise<void> {
    this.#channel = channel
    await this.#subscribe(channel)
    for (const message of this.#state.pending) void this.#deliver(message)
  }

  detach(lost: { cut: boolean }): void {
    this.#channel = undefined
    this.#following = false
    this.#become(withLoss(this.#state, lost))
  }

  /** Leaves this thread for another one. */
  async open(threadId: string): Promise<void> {
    if (threadId === this.#state.threadId) return
    const channel = this.#channel
    const left = this.#state.threadId
    this.#following = false
    this.#become(emptyThread(threadId))
    if (!channel) return
    await Promise.all([this.#subscribe(channel), channel.request('thread.unsubscribe', { threadId: left })])
  }

  /** Asks again for a thread that the server did not know: somebody else may have begun it. */
  async lookAgain(): Promise<void> {
    if (this.#channel && !this.#following && !this.#asking) await this.#subscribe(this.#channel)
  }

  receive(inbound: Inbound): void {
    const { threadId } = this.#state
    if (inbound.kind === 'event' && inbound.event.threadId === threadId) this.#apply(inbound.event)
    if (inbound.kind === 'reset' && inbound.reset.threadId === threadId) {
      this.#become(withHistory(this.#state, inbound.reset))
    }
  }

  send(text: string, agent: string | undefined): void {
    const message: Pending = { runId: newId(), text, agent, progress: 'waiting' }
    this.#become({ ...this.#state, pending: [...this.#state.pending, message] })
    void this.#deliver(message)
  }

  resend(runId: string): void {
    const message = this.#state.pending.find((pending) => pending.runId === runId)
    if (!message) return
    this.discard(runId)
    this.send(message.text, message.agent)
  }

  discard(runId: string): void {
    this.#become({ ...this.#state, pending: withoutRuns(this.#state.pending, new Set([runId])) })
  }

  async cancel(runId: string): Promise<void> {
    await this.#channel?.request('run.cancel', { runId })
  }

  /** Decides about a tool call; what comes of it comes as an event. */
  async decide(approvalId: string, approved: boolean): Promise<void> {
    await this.#channel?.request('approval.resolve', { approvalId, approved })
  }

  #apply(event: ThreadEvent): void {
    this.#following = true
    const next = withEvent(this.#state, event)
    if (next) this.#become(next)
    else if (this.#channel && !this.#asking) void this.#subscribe(this.#channel).catch(ignoreLoss)
  }

  async #subscribe(channel: Channel): Promise<void> {
    const { threadId, cursor } = this.#state
    const resuming = cursor !== ORIGIN
    this.#asking = true
    try {
      const answer = await channel.request('thread.subscribe', {
        threadId,
        reasoning: true,
        ...(resuming && { lastEventId: cursor }),
      })
      if (channel !== this.#channel || threadId !== this.#state.threadId) return
      this.#following = true
      this.#become(answer.recovered ? withReplay(this.#state) : withHistory(this.#state, answer))
      if (answer.recovered) void this.#endReplay(channel)
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== 'unknown-thread') throw error
      if (threadId === this.#state.threadId) this.#become(withoutHistory(this.#state))
    } finally {
      this.#asking = false
    }
  }

  async #endReplay(channel: Channel): Promise<void> {
    const { threadId } = this.#state
    const head = await headOf(threadId)
    if (channel === this.#channel && threadId === this.#state.threadId) {
      this.#become(withReplayEnd(this.#state, head))
    }
  }

  async #deliver({ runId, text, agent, progress }: Pending): Promise<void> {
    const channel = this.#channel
    if (!channel || progress === 'failed') return
    const { threadId } = this.#state
    const payload = { threadId, message: text, runId, reasoning: true, ...(agent && { agent }) }
    if (sizeOf(payload) > LIMITS.frameBytes - FRAME_OVERHEAD) return this.#fail(runId, 'It is too long.')
    this.#mark(runId, { progress: 'sent' })
    try {
      const { status } = await channel.request('thread.send', payload)
      if (status === 'queued') this.#mark(runId, { progress: 'queued' })
    } catch (error) {
      // The next connection sends it again; under its id it is never a second message.
      const again = !(error instanceof GatewayError) || error.row.retry === 'reconnect'
      if (again) this.#mark(runId, { progress: 'waiting' })
      else this.#fail(runId, error.message)
    }
  }

  #fail(runId: string, error: string): void {
    this.#mark(runId, { progress: 'failed', error })
  }

  #mark(runId: string, change: Pick<Pending, 'progress' | 'error'>): void {
    this.#become({ ...this.#state, pending: withProgress(this.#state.pending, runId, change) })
  }

  #become(state: ThreadState): void {
    this.#state = state
    this.#onChange()
  }
}

function sizeOf(payload: object): number {
  return new TextEncoder().encode(JSON.stringify(payload)).length
}

function ignoreLoss(error: unknown): void {
  if (!(error instanceof ChannelLost)) throw error
}
