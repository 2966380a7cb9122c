import { createHash, randomUUID } from 'node:crypto'
import type { Runnable, Principal } from '@turnpike/agents'
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
import type { ApprovalDesk } from './approvals.ts'
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
  readonly desk: ApprovalDesk
  readonly findAgent: (name?: string) => Runnable | undefined
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

  /**
   * Starts a run, or queues it behind the thread's active one; resolves once that is in the log or in the queue.
   *
   * @param apiKey - The caller's key for the model; it is kept with the run and nowhere else.
   * @throws GatewayError `unknown-agent` | `thread-busy` | `run-id-conflict` | `draining`
   */
  send(principal: Principal, request: PayloadOf<'thread.send'>, apiKey?: string): Promise<Sent> {
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
    const run = this.#make({ id, thread, principal, agent, apiKey, message: request.message })
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
    for (const run of [...this.#active])
      if (run.state === 'queued' || run.state === 'parked') run.stop('interrupted')
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
    agent: Runnable
    apiKey: string | undefined
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
    const { log, store, desk, limits, wheel, logger } = this.#options
    const run = new Run({
      ...rest,
      input,
      log,
      store,
      desk,
      limits,
      wheel,
      logger,
      onEnd: (ended) => this.#onEnd(ended),
      onIdle: (ended) => this.#remember(ended),
    })
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
      const { history } = await readHistory(store, thread, { snapshot, limits, reasoning: true })
      await run.start(history)
    } catch (error) {
      run.fail(error)
    }
  }

  /** The thread is free at once; the messages go to the store, and until then the log has them. */
  async #onEnd(run: Run): Promise<void> {
    this.#active.delete(run)
    this.#remember(run)
    const { key } = run.thread
    const lane = this.#lanes.get(key)
    lane?.release(run)
    if (lane?.isEmpty) this.#lanes.delete(key)
    await this.#store(run)
  }

  async #store({ id, thread }: Run): Promise<void> {
    const { log, store } = this.#options
    const { messages } = await log.snapshot(thread)
    await store.saveMessages(
      thread,
      messages.filter((entry) => entry.message.runId === id),
    )
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
