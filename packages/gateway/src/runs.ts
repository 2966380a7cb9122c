import { createHash, randomUUID } from 'node:crypto'
import type { Principal, Runnable } from '@turnpike/agents'
import {
  type CancelStatus,
  type Limits,
  type Message,
  type PayloadOf,
  type WhenBusy,
  GatewayError,
  textOf,
} from '@turnpike/protocol'
import { type ThreadKey, type ThreadRef, ownedKey } from './thread-ref.ts'
import type { ApprovalDesk } from './approvals.ts'
import type { EventLog } from './event-log.ts'
import { readHistory } from './history.ts'
import { Lane } from './lane.ts'
import type { Logger } from './logger.ts'
import { Run } from './run.ts'
import type { RunRecord, Store } from './store.ts'
import type { TimerWheel } from './timer-wheel.ts'
import type { UserLimits } from './user-limits.ts'

const TITLE_CHARS = 80

export interface RunsOptions {
  readonly log: EventLog
  readonly store: Store
  readonly limits: Limits
  readonly users: UserLimits
  readonly wheel: TimerWheel
  readonly logger: Logger
  readonly desk: ApprovalDesk
  readonly findAgent: (name?: string) => Runnable | undefined
  readonly whenBusy: WhenBusy
}

/** A message to be answered in a thread that its sender may write to. */
export interface SendRequest {
  readonly principal: Principal
  readonly thread: ThreadRef
  readonly payload: PayloadOf<'thread.send'>
  /** The caller's key for the model; it is kept with the run and nowhere else. */
  readonly apiKey?: string
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

interface KnownRun extends Pick<RunRecord, 'thread' | 'fingerprint'> {
  /** Let go of once nothing of it goes on; it holds the whole answer. */
  readonly run: Run | undefined
  readonly outcome: CancelStatus
  readonly sent: Promise<Sent>
}

/** Starts, finds, stops and ends runs. One active run a thread; a run id names one run for good. */
export class Runs {
  readonly #options: RunsOptions
  readonly #lanes = new Map<ThreadKey, Lane>()
  readonly #known = new Map<string, KnownRun>()
  readonly #unended = new Set<Run>()
  /** Of runs taken on here: when each is in the store. */
  readonly #created = new WeakMap<Run, Promise<void>>()
  #recovered: Promise<void> | undefined
  #draining = false

  constructor(options: RunsOptions) {
    this.#options = options
  }

  /**
   * Takes up what the process before this one has left in the store: runs that were going on are lost, those that wait
   * for approval or for their turn go on waiting. Runs are sent and found only after it.
   */
  recover(): Promise<void> {
    return (this.#recovered ??= this.#recover())
  }

  /**
   * Starts a run, or queues it behind the thread's active one; resolves once that is stored.
   *
   * @throws GatewayError `unknown-agent` | `thread-busy` | `too-many-runs` | `run-id-conflict` | `draining`
   */
  async send(request: SendRequest): Promise<Sent> {
    await this.recover()
    const { thread, payload } = request
    const id = payload.runId ?? randomUUID()
    const fingerprint = createHash('sha256').update(JSON.stringify(payload.message)).digest('base64')
    const key = ownedKey(thread.owner, id)
    const known = this.#known.get(key)
    if (known) {
      assertSame(known, { threadId: payload.threadId, fingerprint })
      return known.sent
    }
    if (this.#draining) throw draining()
    const sent = this.#find(request, { id, fingerprint })
    // So that the same request again does not overtake this one while the store is asked.
    if (!this.#known.has(key)) {
      this.#known.set(key, { run: undefined, outcome: 'cancelling', thread, fingerprint, sent })
    }
    sent.catch(() => this.#known.delete(key))
    return sent
  }

  /**
   * @param owner - Of the run's thread.
   * @throws GatewayError `unknown-run`
   */
  async cancel(owner: string, runId: string): Promise<CancelStatus> {
    await this.recover()
    const key = ownedKey(owner, runId)
    await this.#known.get(key)?.sent.catch(() => {})
    const known = this.#known.get(key)
    if (known?.run) return known.run.stop('cancelled')
    if (known && known.outcome !== 'cancelling') return known.outcome
    const record = await this.#options.store.runs.find(owner, runId)
    if (!record) throw new GatewayError('unknown-run', 'There is no run of that id.')
    return outcomeOf(record)
  }

  /**
   * Refuses new runs, lets those in progress end for `graceMs`, then interrupts them. What only waits is left to the
   * next process, where the store lasts that long.
   */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true
    const { store, wheel } = this.#options
    const ending = [...this.#unended].filter((run) => !store.isDurable || run.state === 'running')
    for (const run of this.#unended) run.leave(store.isDurable ? 'kept' : 'ended')
    for (const run of ending) if (run.state === 'queued') run.stop('interrupted')
    const stopTimer = wheel.schedule(graceMs, () => {
      for (const run of ending) if (run.state === 'running') run.stop('interrupted')
    })
    await Promise.all(ending.map((run) => run.rested))
    stopTimer()
    const known = [...this.#known.values()].flatMap(({ run }) => run ?? [])
    for (const run of known) if (run.hasBackground) run.stop('interrupted')
    await Promise.all(known.map((run) => run.stored))
  }

  async #recover(): Promise<void> {
    const { store, logger } = this.#options
    for (const record of await store.runs.unfinished()) {
      try {
        await this.#restore(record)
      } catch (error) {
        logger.error({ runId: record.id, error }, 'a run could not be recovered')
      }
    }
  }

  async #restore(record: RunRecord): Promise<void> {
    const { store, log } = this.#options
    const { thread, id, state } = record
    const approvals = await store.approvals.ofRun(thread.owner, id)
    // Brings the messages that are open into the log.
    await log.snapshot(thread)
    const run = this.#make(record)
    if (state !== 'queued' && state !== 'parked') return run.lose(approvals)
    const place = this.#laneOf(thread).add(run, 'enqueue')
    const status = place === 'active' ? 'started' : 'queued'
    this.#know(run, Promise.resolve({ ...sentOf(run), status }))
    if (state === 'parked') run.restore(approvals)
    else if (place === 'active') await this.#begin(run)
  }

  /** A run that this process has forgotten, or never knew, may still be in the store. */
  async #find(request: SendRequest, ids: Pick<RunRecord, 'id' | 'fingerprint'>): Promise<Sent> {
    const { thread, payload } = request
    const record = payload.runId && (await this.#options.store.runs.find(thread.owner, ids.id))
    if (!record) return this.#take(request, ids)
    assertSame(record, { threadId: payload.threadId, fingerprint: ids.fingerprint })
    const { endSeq, startSeq = endSeq } = record
    if (startSeq === undefined || endSeq === undefined) throw draining()
    const [started, ended] = [Promise.resolve(startSeq), Promise.resolve(endSeq)]
    return { thread: record.thread, runId: record.id, status: 'started', started, ended }
  }

  async #take(request: SendRequest, ids: Pick<RunRecord, 'id' | 'fingerprint'>): Promise<Sent> {
    const { findAgent, users, store } = this.#options
    const { principal, thread, payload, apiKey } = request
    const agent = findAgent(payload.agent)
    if (!agent) throw new GatewayError('unknown-agent', 'There is no agent of that name.')
    const lane = this.#laneOf(thread)
    const whenBusy = payload.whenBusy ?? this.#options.whenBusy
    lane.assertRoom(whenBusy)
    if (!lane.isBusy) users.assertRun(principal, this.#goingOf(principal))
    const record = recordOf(request, { ...ids, agent: agent.name })
    const run = this.#make(record, apiKey)
    const place = lane.add(run, whenBusy)
    const created = store.threads
      .open(thread, textOf(record.input).slice(0, TITLE_CHARS))
      .then(() => store.runs.create(record))
    this.#created.set(run, created)
    const sent = created.then(async (): Promise<Sent> => {
      if (place === 'active') await this.#begin(run)
      return { ...sentOf(run), status: place === 'active' ? 'started' : 'queued' }
    })
    this.#know(run, sent)
    created.catch(() => this.#release(run))
    return sent
  }

  #make(record: RunRecord, apiKey?: string): Run {
    const run = new Run({
      ...this.#options,
      record,
      apiKey,
      onEnd: (ended) => {
        this.#release(ended)
        this.#remember(ended)
      },
      onIdle: (ended) => this.#remember(ended),
    })
    this.#unended.add(run)
    return run
  }

  #laneOf(thread: ThreadRef): Lane {
    let lane = this.#lanes.get(thread.key)
    if (!lane) {
      lane = new Lane(this.#options.limits, (run) => void this.#begin(run))
      this.#lanes.set(thread.key, lane)
    }
    return lane
  }

  async #begin(run: Run): Promise<void> {
    const { log, store, limits } = this.#options
    const { thread } = run
    try {
      await this.#created.get(run)
    } catch {
      // It was refused, and told so.
      return
    }
    try {
      const snapshot = await log.snapshot(thread)
      const { history } = await readHistory(store.threads, thread, { snapshot, limits, reasoning: true })
      // The next process begins it.
      if (this.#draining && store.isDurable) return
      await run.start(history)
    } catch (error) {
      run.fail(error)
    }
  }

  /** The thread is free for the next run. */
  #release(run: Run): void {
    this.#unended.delete(run)
    const { key } = run.thread
    const lane = this.#lanes.get(key)
    lane?.release(run)
    if (lane?.isEmpty) this.#lanes.delete(key)
  }

  /** Runs of a principal that take something: neither parked nor behind another one. */
  #goingOf({ id }: Principal): number {
    let count = 0
    for (const run of this.#unended) {
      if (run.record.principal.id !== id || run.state === 'parked') continue
      if (this.#lanes.get(run.thread.key)?.isActive(run)) count++
    }
    return count
  }

  #know(run: Run, sent: Promise<Sent>): void {
    const { thread, id, fingerprint } = run.record
    this.#known.set(ownedKey(thread.owner, id), { run, outcome: 'cancelling', thread, fingerprint, sent })
  }

  #remember(run: Run): void {
    const key = ownedKey(run.thread.owner, run.id)
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

/** @throws GatewayError `run-id-conflict` */
function assertSame(
  known: Pick<RunRecord, 'thread' | 'fingerprint'>,
  asked: { threadId: string | undefined; fingerprint: string },
): void {
  const isSameThread = asked.threadId === undefined || asked.threadId === known.thread.id
  if (isSameThread && asked.fingerprint === known.fingerprint) return
  throw new GatewayError('run-id-conflict', 'This run id was used with another thread or message.')
}

function recordOf(
  { principal, thread, payload }: SendRequest,
  of: Pick<RunRecord, 'id' | 'fingerprint' | 'agent'>,
): RunRecord {
  const { message } = payload
  const input: Message = {
    id: randomUUID(),
    role: 'user',
    parts: typeof message === 'string' ? [{ type: 'text', text: message }] : message.parts,
    runId: of.id,
    status: 'done',
    createdAt: Date.now(),
  }
  return { ...of, thread, principal, input, messageId: randomUUID(), state: 'queued' }
}

function sentOf({ thread, id, started, ended }: Run): Omit<Sent, 'status'> {
  return { thread, runId: id, started, ended }
}

function draining(): GatewayError {
  return new GatewayError('draining', 'The server is shutting down. Connect again and resend.')
}

function outcomeOf({ state }: RunRecord): CancelStatus {
  return state === 'done' || state === 'failed' || state === 'cancelled' ? state : 'cancelling'
}
