import { createHash, randomUUID } from 'node:crypto'
import type { Agent, Principal } from '@turnpike/agents'
import {
  type CancelStatus,
  type Limits,
  type Message,
  type PayloadOf,
  type WhenBusy,
  GatewayError,
  textOf,
} from '@turnpike/protocol'
import { type ThreadKey, type ThreadRef, ownedKey, threadRef } from './access.ts'
import type { EventLog } from './event-log.ts'
import { Lane } from './lane.ts'
import type { Logger } from './logger.ts'
import { Run } from './run.ts'
import { type Store, readHistory } from './store.ts'
import type { TimerWheel } from './timer-wheel.ts'

const TITLE_CHARS = 80

export interface RunsOptions {
  readonly log: EventLog
  readonly store: Store
  readonly limits: Limits
  readonly wheel: TimerWheel
  readonly logger: Logger
  readonly findAgent: (name?: string) => Agent | undefined
  readonly whenBusy: WhenBusy
}

/** What one `thread.send` came to; the same again for the same run id. */
export interface Sent {
  readonly thread: ThreadRef
  readonly runId: string
  readonly status: 'started' | 'queued'
  /** Resolve with the `seq` of the run's `start`, and of its terminal event. */
  readonly started: Promise<number>
  readonly ended: Promise<number>
}

interface KnownRun {
  /** Let go of once nothing of it goes on; it holds the whole answer. */
  readonly run: Run | undefined
  readonly outcome: CancelStatus
  readonly thread: ThreadRef
  /** What was sent, so that the same id with something else is told apart. */
  readonly fingerprint: string
  readonly sent: Promise<Sent>
}

/** Starts, finds, stops and ends runs. One active run a thread; a run id names one run for good. */
export class Runs {
  readonly #options: RunsOptions
  readonly #lanes = new Map<ThreadKey, Lane>()
  readonly #known = new Map<string, KnownRun>()
  readonly #active = new Set<Run>()
  #draining = false

  constructor(options: RunsOptions) {
    this.#options = options
  }

  /** Runs that have not ended. */
  get activeCount(): number {
    return this.#active.size
  }

  /**
   * Starts a run, or queues it behind the thread's active one; resolves once that is in the log or in the queue.
   *
   * @throws GatewayError `unknown-agent` | `thread-busy` | `run-id-conflict` | `draining`
   */
  send(principal: Principal, request: PayloadOf<'thread.send'>): Promise<Sent> {
    const id = request.runId ?? randomUUID()
    const fingerprint = createHash('sha256').update(JSON.stringify(request.message)).digest('base64')
    const known = this.#known.get(ownedKey(principal, id))
    if (known) return this.#again(known, { fingerprint, threadId: request.threadId })

    if (this.#draining)
      throw new GatewayError('draining', 'The server is shutting down. Connect again and resend.')
    const agent = this.#options.findAgent(request.agent)
    if (!agent) throw new GatewayError('unknown-agent', 'There is no agent of that name.')
    const thread = threadRef(principal, request.threadId ?? randomUUID())
    const whenBusy = request.whenBusy ?? this.#options.whenBusy
    const lane = this.#laneOf(thread)
    lane.assertRoom(whenBusy)
    const run = this.#make({ id, thread, principal, agent, message: request.message })
    const sent = lane.add(run, whenBusy).then((status) => {
      const { started, ended } = run
      return { thread, runId: id, status, started, ended }
    })
    this.#known.set(ownedKey(principal, id), { run, outcome: 'cancelling', thread, fingerprint, sent })
    return sent
  }

  /** @throws GatewayError `unknown-run` */
  cancel(principal: Principal, runId: string): CancelStatus {
    const known = this.#known.get(ownedKey(principal, runId))
    if (!known) throw new GatewayError('unknown-run', 'There is no run of that id.')
    return known.run?.stop('cancelled') ?? known.outcome
  }

  /** Refuses new runs, lets those in progress end for `graceMs`, then interrupts them. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true
    for (const run of [...this.#active]) if (run.state === 'queued') run.stop('interrupted')
    const interrupt = this.#options.wheel.schedule(graceMs, () => {
      for (const run of [...this.#active]) run.stop('interrupted')
    })
    await Promise.all([...this.#active].map((run) => run.settled))
    interrupt()
    for (const { run } of this.#known.values()) run?.stop('interrupted')
  }

  #again(known: KnownRun, asked: { fingerprint: string; threadId: string | undefined }): Promise<Sent> {
    const sameThread = asked.threadId === undefined || asked.threadId === known.thread.id
    if (sameThread && asked.fingerprint === known.fingerprint) return known.sent
    throw new GatewayError('run-id-conflict', 'This run id was used with another thread or message.')
  }

  #make(of: {
    id: string
    thread: ThreadRef
    principal: Principal
    agent: Agent
    message: PayloadOf<'thread.send'>['message']
  }): Run {
    const { message, ...rest } = of
    const parts = typeof message === 'string' ? [{ type: 'text' as const, text: message }] : message.parts
    const input: Message = {
      id: randomUUID(),
      role: 'user',
      parts,
      runId: of.id,
      status: 'done',
      createdAt: Date.now(),
    }
    const { log, limits, wheel, logger } = this.#options
    const run = new Run({ ...rest, input, log, limits, wheel, logger, onEnd: (ended) => this.#onEnd(ended) })
    this.#active.add(run)
    return run
  }

  #laneOf(thread: ThreadRef): Lane {
    let lane = this.#lanes.get(thread.key)
    if (!lane) {
      lane = new Lane(this.#options.limits, (run) => this.#begin(run))
      this.#lanes.set(thread.key, lane)
    }
    return lane
  }

  async #begin(run: Run): Promise<void> {
    const { log, store, limits } = this.#options
    const { thread, input } = run
    try {
      await store.openThread(thread, textOf(input).slice(0, TITLE_CHARS))
      const snapshot = await log.snapshot(thread)
      const { history } = await readHistory(store, thread, { snapshot, limit: limits.historyMessages })
      await run.start(history)
    } catch (error) {
      await run.fail(error)
    }
  }

  /** The messages of a run go to the store once they are complete; until then the log has them. */
  async #onEnd(run: Run): Promise<void> {
    const { log, store } = this.#options
    this.#active.delete(run)
    const { messages } = await log.snapshot(run.thread)
    await store.saveMessages(
      run.thread,
      messages.filter((entry) => entry.message.runId === run.id),
    )
    this.#remember(run)
    const lane = this.#lanes.get(run.thread.key)
    await lane?.release(run)
    if (lane?.isEmpty) this.#lanes.delete(run.thread.key)
  }

  #remember(run: Run): void {
    const key = ownedKey({ id: run.thread.owner }, run.id)
    const known = this.#known.get(key)
    if (known && !run.hasBackground) this.#known.set(key, { ...known, run: undefined, outcome: run.outcome })
    if (this.#known.size <= this.#options.limits.rememberedRuns) return
    for (const [key, { run }] of this.#known) {
      if (run && run.state !== 'ended') continue
      this.#known.delete(key)
      return
    }
  }
}
