import type { Runnable } from '@turnpike/agents'
import type { RemoteTools } from '@turnpike/agents/host'
import { type CancelStatus, type Limits, type WhenBusy, GatewayError, textOf } from '@turnpike/protocol'
import { type ThreadKey, type ThreadRef, ownedKey } from '../stores/thread-ref.ts'
import type { ApprovalDesk } from './approvals.ts'
import { type Budgets, type Payer, isSamePayer } from './budgets.ts'
import type { EventLog } from '../logs/event-log.ts'
import { readHistory } from '../logs/history.ts'
import { Lane } from './lane.ts'
import type { Logger } from '../telemetry/logger.ts'
import { loggerWithout } from '../telemetry/redaction.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { Run } from './run.ts'
import { type RunObserver, runObserver } from './run-observer.ts'
import {
  type FindAgent,
  type RequestIds,
  type SendRequest,
  assertSame,
  idsOf,
  payerOf,
  recordOf,
} from './run-requests.ts'
import type { OpenTelemetry } from './run-spans.ts'
import type { RunRecord, Store, StoredMessage } from '../stores/store.ts'
import type { TimerWheel } from '../timing/timer-wheel.ts'
import { Turnstile } from './turnstile.ts'
import type { UserLimits } from '../access/user-limits.ts'

const TITLE_CHARS = 80

export interface RunsOptions {
  readonly log: EventLog
  readonly store: Store
  readonly limits: Limits
  readonly users: UserLimits
  readonly budgets: Budgets
  readonly wheel: TimerWheel
  readonly logger: Logger
  readonly metrics: Metrics
  readonly telemetry: OpenTelemetry | undefined
  readonly desk: ApprovalDesk
  /** Goes on to the runs. */
  readonly remoteTools?: RemoteTools
  readonly findAgent: FindAgent
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
  /** It was asked for before. */
  readonly isRepeated?: true
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
  /** Those that have ended and are being stored. */
  readonly #settling = new Set<Run>()
  readonly #finders = new Set<FindAgent>()
  readonly #turnstile: Turnstile
  #recovered: Promise<void> | undefined
  #draining = false

  constructor(options: RunsOptions) {
    const { users, budgets } = options
    this.#options = options
    this.#turnstile = new Turnstile(
      (payer, going) => users.hasRoom(payer.principal, going) && budgets.hasRoom(payer, going),
    )
  }

  /**
   * Takes up what the process before this one has left in the store: runs that were going on are lost, those that wait
   * for approval or for their turn go on waiting. Runs are sent and found only after it.
   */
  recover(): Promise<void> {
    this.#recovered ??= this.#recover().catch((error: unknown) => {
      // Asked again with the next command.
      this.#recovered = undefined
      throw error
    })
    return this.#recovered
  }

  /**
   * Where a run of an earlier process may find its agent, too: a wire serves more than the gateway does. Told before
   * {@link recover}.
   */
  alsoFind(finder: FindAgent): void {
    this.#finders.add(finder)
  }

  /**
   * Starts a run, or queues it behind the thread's active one; resolves once that is stored.
   *
   * @throws GatewayError `unknown-agent` | `thread-busy` | `too-many-runs` | `run-id-conflict` | `draining`
   */
  async send(request: SendRequest): Promise<Sent> {
    await this.recover()
    const { thread } = request
    const ids = idsOf(request)
    const key = ownedKey(thread.owner, ids.id)
    const known = this.#known.get(key)
    if (known) {
      assertSame(known, request, ids)
      return { ...(await known.sent), isRepeated: true }
    }
    if (this.#draining) throw draining()
    const sent = this.#find(request, ids)
    // So that the same request again does not overtake this one while the store is asked.
    if (!this.#known.has(key)) {
      const { fingerprint } = ids
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

  /** Resolves once the store knows what became of a run that has ended. */
  async settled(owner: string, runId: string): Promise<void> {
    const settling = [...this.#settling].filter(({ id, thread }) => id === runId && thread.owner === owner)
    await Promise.all(settling.map((run) => run.rested))
  }

  /**
   * Refuses new runs, lets those in progress end for `graceMs`, then interrupts them. What only waits is left to the
   * next process, where the store lasts that long.
   */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true
    const { store, limits, wheel } = this.#options
    const isKept = (run: Run): boolean => store.isDurable && this.#isWaiting(run)
    const ending = [...this.#unended].filter((run) => !isKept(run))
    for (const run of this.#unended) run.leave(store.isDurable ? 'kept' : 'ended')
    for (const run of ending) if (this.#isWaiting(run)) run.stop('interrupted')
    const stopTimer = wheel.schedule(graceMs, () => {
      for (const run of ending) if (run.state !== 'parked') run.stop('interrupted')
    })
    // A store that hangs must not keep the server from leaving.
    const late = Promise.withResolvers<void>()
    const stopDeadline = wheel.schedule(graceMs + 2 * limits.graceMs, late.resolve)
    await Promise.race([late.promise, this.#rest(ending)])
    stopTimer()
    stopDeadline()
  }

  /** How many have not ended, by what they do. */
  count(): Readonly<Record<'running' | 'queued' | 'parked', number>> {
    const counts = { running: 0, queued: 0, parked: 0 }
    for (const { state } of this.#unended) if (state !== 'ended') counts[state]++
    return counts
  }

  /** Parked, or behind another run. */
  #isWaiting(run: Run): boolean {
    if (this.#turnstile.isWaiting(run)) return true
    if (run.state === 'queued') return this.#lanes.get(run.thread.key)?.active !== run
    return run.state === 'parked'
  }

  /** Resolves when the runs have ended, with all they did beside it, and everything is stored. */
  async #rest(ending: readonly Run[]): Promise<void> {
    await Promise.all(ending.map((run) => run.rested))
    const known = [...this.#known.values()].flatMap(({ run }) => run ?? [])
    for (const run of known) run.cancelBackground()
    await Promise.all([...known, ...this.#settling].map((run) => run.stored))
  }

  /** What was lost ends first, what is parked has its thread, and what waits comes behind all that. */
  async #recover(): Promise<void> {
    const { store } = this.#options
    const records = await store.runs.unfinished()
    const isWaiting = ({ state }: RunRecord): boolean => state === 'parked' || state === 'queued'
    for (const record of records) if (!isWaiting(record)) await this.#restore(record)
    for (const record of records) if (record.state === 'parked') await this.#restore(record)
    for (const record of records) if (record.state === 'queued') await this.#restore(record)
  }

  async #restore(record: RunRecord): Promise<void> {
    try {
      await this.#takeUp(record)
    } catch (error) {
      this.#options.logger.error({ runId: record.id, error }, 'a run could not be recovered')
    }
  }

  async #takeUp(record: RunRecord): Promise<void> {
    const { store, log } = this.#options
    const { thread, id, state } = record
    const approvals = await store.approvals.ofRun(thread.owner, id)
    // Brings the messages that are open into the log.
    const { messages } = await log.snapshot(thread)
    const findAgent = (name?: string): Runnable | undefined => this.#findAgain(name)
    const run = this.#make(record, { created: Promise.resolve(), findAgent })
    if (state !== 'queued' && state !== 'parked') return run.lose(approvals)
    const place = this.#join(this.#laneOf(thread), run, 'enqueue')
    const status = place === 'active' ? 'started' : 'queued'
    this.#know(run, Promise.resolve({ ...sentOf(run), status }))
    if (state === 'parked') run.restore(approvals, decisionsIn(messages))
    else if (place === 'active') this.#beginNext(run)
  }

  /** A run that this process has forgotten, or never knew, may still be in the store. */
  async #find(request: SendRequest, ids: RequestIds): Promise<Sent> {
    const { thread, payload } = request
    const record = payload.runId && (await this.#options.store.runs.find(thread.owner, ids.id))
    if (!record) return this.#spend(request, ids)
    assertSame(record, request, ids)
    const { endSeq, startSeq = endSeq } = record
    if (startSeq === undefined || endSeq === undefined) throw draining()
    // The store knows it better than a note of it would.
    this.#known.delete(ownedKey(thread.owner, ids.id))
    const [started, ended] = [Promise.resolve(startSeq), Promise.resolve(endSeq)]
    return { thread: record.thread, runId: record.id, status: 'started', started, ended, isRepeated: true }
  }

  #spend(request: SendRequest, ids: RequestIds): Promise<Sent> {
    const payer = payerOf(request)
    const takeOn = (): Promise<Sent> => this.#take(request, ids)
    return this.#options.budgets.spend(payer, { stored: () => this.#storedOf(payer), takeOn })
  }

  /** Resolves once the store knows what the runs of a sender have come to. */
  #storedOf(payer: Payer): Promise<unknown> {
    const runs = [...this.#unended, ...this.#settling].filter(({ record }) => isSamePayer(record, payer))
    return Promise.all(runs.map((run) => run.stored))
  }

  async #take(request: SendRequest, ids: RequestIds): Promise<Sent> {
    // The store may have been asked meanwhile.
    if (this.#draining) throw draining()
    const { store } = this.#options
    const { thread, payload, apiKey, findAgent = this.#options.findAgent } = request
    const agent = findAgent(payload.agent)
    if (!agent) throw new GatewayError('unknown-agent', 'There is no agent of that name.')
    const lane = this.#laneOf(thread)
    const whenBusy = payload.whenBusy ?? this.#options.whenBusy
    this.#assertRoom(request, lane, whenBusy)
    const record = recordOf(request, { ...ids, agent: this.#nameOf(agent) })
    const created = Promise.withResolvers<void>()
    // By the name that was asked for: what it is called in the record may be another one on this wire.
    const again = request.findAgent && ((): Runnable | undefined => findAgent(payload.agent))
    const run = this.#make(record, { created: created.promise, apiKey, findAgent: again })
    const place = this.#join(lane, run, whenBusy)
    if (place === 'active') this.#turnstile.enter(run)
    const sent = created.promise.then(async (): Promise<Sent> => {
      if (place === 'active') await this.#begin(run)
      return { ...sentOf(run), status: place === 'active' ? 'started' : 'queued' }
    })
    this.#know(run, sent)
    // One that begins at once is never begun again: after a restart it would do everything twice.
    const state = place === 'active' ? 'running' : 'queued'
    store.threads
      .open(thread, textOf(record.input).slice(0, TITLE_CHARS))
      .then(() => store.runs.create({ ...record, state }))
      .then(created.resolve, (error: unknown) => {
        this.#release(run)
        created.reject(error)
      })
    return sent
  }

  #make(
    record: RunRecord,
    given: { created: Promise<void>; apiKey?: string | undefined; findAgent?: FindAgent | undefined },
  ): Run {
    const { created, apiKey, findAgent = (name) => this.#findAgent(name) } = given
    const run = new Run({
      ...this.#options,
      observe: this.#observerOf(record, findAgent(record.agent)),
      findAgent,
      apiKey,
      logger: apiKey === undefined ? this.#options.logger : loggerWithout(apiKey, this.#options.logger),
      created,
      record,
      onEnd: (ended) => {
        this.#release(ended)
        this.#settling.add(ended)
        void ended.rested.then(() => this.#settling.delete(ended))
        this.#remember(ended)
      },
      onIdle: (ended) => this.#remember(ended),
      onPark: (parked) => this.#turnstile.leave(parked),
      onReady: (ready, goOn) => this.#turnstile.pass(ready, goOn),
    })
    this.#unended.add(run)
    return run
  }

  /**
   * The agent of a run of an earlier process, of which only the name is known: where wires have several of that name, none
   * of them is asked what may have been meant for another.
   */
  #findAgain(name?: string): Runnable | undefined {
    const found = [this.#options.findAgent, ...this.#finders].flatMap((find) => find(name) ?? [])
    if (new Set(found).size <= 1) return found[0]
    this.#options.logger.error({ agent: name }, 'several agents have the name of a run that was left')
    return undefined
  }

  #findAgent(name?: string): Runnable | undefined {
    const served = this.#options.findAgent(name)
    if (served) return served
    for (const find of this.#finders) {
      const found = find(name)
      if (found) return found
    }
    return undefined
  }

  /** What finds it again, also in the next process: a team may be called as an agent is. */
  #nameOf(agent: Runnable): string {
    const found = this.#findAgent(agent.name)
    return found && found.info.kind !== agent.info.kind ? `${agent.info.kind}:${agent.name}` : agent.name
  }

  #observerOf({ agent: name }: RunRecord, agent: Runnable | undefined): RunObserver {
    const { model = null, provider = null } = agent?.info ?? {}
    return runObserver({ name, model, provider }, this.#options)
  }

  /** The lane of a thread; kept once there is a run in it. */
  #laneOf({ key }: ThreadRef): Lane {
    return this.#lanes.get(key) ?? new Lane(this.#options.limits, (run) => this.#beginNext(run))
  }

  #join(lane: Lane, run: Run, whenBusy: WhenBusy): 'active' | 'waiting' {
    this.#lanes.set(run.thread.key, lane)
    return lane.add(run, whenBusy)
  }

  /** @throws GatewayError `thread-busy` | `too-many-runs` */
  #assertRoom(request: SendRequest, lane: Lane, whenBusy: WhenBusy): void {
    lane.assertRoom(whenBusy)
    // What waits is counted when its turn has come.
    if (lane.isBusy && whenBusy !== 'interrupt') return
    const payer = payerOf(request)
    const going = this.#turnstile.count(payer, lane.active)
    const isParked = (run: Run): boolean => run.state === 'parked' && isSamePayer(run.record, payer)
    const parked = [...this.#unended].filter((run) => run !== lane.active && isParked(run)).length
    this.#options.users.assertRun(payer.principal, { going, parked })
    this.#options.budgets.assertRoom(payer, going)
  }

  /** @throws what keeps it from being told of at all */
  async #begin(run: Run): Promise<void> {
    const { log, store, limits } = this.#options
    const { thread } = run
    let history
    try {
      const snapshot = await log.snapshot(thread)
      history = (await readHistory(store.threads, thread, { snapshot, limits, reasoning: true })).history
    } catch (error) {
      return run.fail(error)
    }
    await run.start(history)
  }

  /** The turn of a run that waited has come, where its sender may have one more. */
  #beginNext(run: Run): void {
    this.#turnstile.pass(run, () => void this.#beginWaiting(run))
  }

  async #beginWaiting(run: Run): Promise<void> {
    const { store, logger, budgets } = this.#options
    // The next process begins it.
    if (this.#draining && store.isDurable) return
    try {
      await run.willBegin()
      const refusal = await budgets.refusalOf(run.record, () => this.#storedOf(run.record))
      if (refusal) await run.fail(refusal)
      else await this.#begin(run)
    } catch (error) {
      logger.error({ runId: run.id, error }, 'a run that waited could not begin')
      // Nothing else frees its thread, and its place among its sender's.
      await run.fail(error).catch(() => {})
    }
  }

  /** The thread is free for the next run. */
  #release(run: Run): void {
    this.#unended.delete(run)
    this.#turnstile.leave(run)
    const { key } = run.thread
    const lane = this.#lanes.get(key)
    lane?.release(run)
    if (lane?.isEmpty) this.#lanes.delete(key)
  }

  #know(run: Run, sent: Promise<Sent>): void {
    const { thread, id, fingerprint } = run.record
    this.#known.set(ownedKey(thread.owner, id), { run, outcome: 'cancelling', thread, fingerprint, sent })
  }

  #remember(run: Run): void {
    const key = ownedKey(run.thread.owner, run.id)
    const known = this.#known.get(key)
    if (known && !run.hasBackground) this.#known.set(key, { ...known, run: undefined, outcome: run.outcome })
    for (const [key, { run }] of this.#known) {
      if (this.#known.size <= this.#options.limits.rememberedRuns) return
      if (!run || run.state === 'ended') this.#known.delete(key)
    }
  }
}

function sentOf({ thread, id, started, ended }: Run): Omit<Sent, 'status'> {
  return { thread, runId: id, started, ended }
}

/** The approvals that messages show as decided. */
function decisionsIn(messages: readonly StoredMessage[]): ReadonlySet<string> {
  const decided = new Set<string>()
  for (const { message } of messages) {
    for (const part of message.parts) {
      if (part.type === 'tool' && part.approval?.approved !== undefined) decided.add(part.approval.approvalId)
    }
  }
  return decided
}

function draining(): GatewayError {
  return new GatewayError('draining', 'The server is shutting down. Connect again and resend.')
}

function outcomeOf({ state }: RunRecord): CancelStatus {
  return state === 'done' || state === 'failed' || state === 'cancelled' ? state : 'cancelling'
}
