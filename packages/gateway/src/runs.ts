import { createHash, randomUUID } from 'node:crypto'
import type { DirectCall, Principal, RunSettings, Runnable } from '@turnpike/agents'
import type { RemoteTools } from '@turnpike/agents/host'
import {
  type CancelStatus,
  type Limits,
  type Message,
  type PayloadOf,
  type WhenBusy,
  GatewayError,
  textOf,
} from '@turnpike/protocol'
import { type ThreadKey, type ThreadRef, ANONYMOUS, ownedKey } from './thread-ref.ts'
import type { ApprovalDesk } from './approvals.ts'
import { type Budgets, type Payer, isSamePayer } from './budgets.ts'
import type { EventLog } from './event-log.ts'
import { readHistory } from './history.ts'
import { Lane } from './lane.ts'
import type { Logger } from './logger.ts'
import { loggerWithout } from './redaction.ts'
import type { Metrics } from './metrics.ts'
import { Run } from './run.ts'
import { type RunObserver, runObserver } from './run-observer.ts'
import type { OpenTelemetry } from './run-spans.ts'
import type { RunRecord, Store, StoredMessage } from './store.ts'
import type { TimerWheel } from './timer-wheel.ts'
import type { UserLimits } from './user-limits.ts'

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

/** Finds what is to run, by the name a client knows it by. */
export type FindAgent = (name?: string) => Runnable | undefined

/** What a wire knows of a message beside what the command says. */
export interface SendSettings {
  /** The caller's key for the model; it is kept with the run and nowhere else. */
  readonly apiKey?: string
  /** Where the wire has names of its own. @default what the gateway serves */
  readonly findAgent?: FindAgent
  /** Whom the sender says it is for. It counts where the sender is anonymous; who has authenticated pays. */
  readonly chargedTo?: string
  /** What the sender asks of the model. */
  readonly settings?: RunSettings
  /** A tool that is called in place of an answer; the message says so in words. */
  readonly toolCall?: DirectCall
}

/** A message to be answered in a thread that its sender may write to. */
export interface SendRequest extends SendSettings {
  readonly principal: Principal
  readonly thread: ThreadRef
  readonly payload: PayloadOf<'thread.send'>
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
  /** Those that have ended and are being stored. */
  readonly #settling = new Set<Run>()
  readonly #finders = new Set<FindAgent>()
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
    if (run.state === 'queued') return !this.#lanes.get(run.thread.key)?.isActive(run)
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
    const run = this.#make(record, { created: Promise.resolve() })
    if (state !== 'queued' && state !== 'parked') return run.lose(approvals)
    const place = this.#laneOf(thread).add(run, 'enqueue')
    const status = place === 'active' ? 'started' : 'queued'
    this.#know(run, Promise.resolve({ ...sentOf(run), status }))
    if (state === 'parked') run.restore(approvals, decisionsIn(messages))
    else if (place === 'active') await this.#beginNext(run)
  }

  /** A run that this process has forgotten, or never knew, may still be in the store. */
  async #find(request: SendRequest, ids: Pick<RunRecord, 'id' | 'fingerprint'>): Promise<Sent> {
    const { thread, payload } = request
    const record = payload.runId && (await this.#options.store.runs.find(thread.owner, ids.id))
    if (!record) return this.#spend(request, ids)
    assertSame(record, { threadId: payload.threadId, fingerprint: ids.fingerprint })
    const { endSeq, startSeq = endSeq } = record
    if (startSeq === undefined || endSeq === undefined) throw draining()
    // The store knows it better than a note of it would.
    this.#known.delete(ownedKey(thread.owner, ids.id))
    const [started, ended] = [Promise.resolve(startSeq), Promise.resolve(endSeq)]
    return { thread: record.thread, runId: record.id, status: 'started', started, ended }
  }

  #spend(request: SendRequest, ids: Pick<RunRecord, 'id' | 'fingerprint'>): Promise<Sent> {
    const payer = payerOf(request)
    const stored = (): Promise<unknown> => {
      const runs = [...this.#unended, ...this.#settling].filter(({ record }) => isSamePayer(record, payer))
      return Promise.all(runs.map((run) => run.stored))
    }
    return this.#options.budgets.spend(payer, { stored, takeOn: () => this.#take(request, ids) })
  }

  async #take(request: SendRequest, ids: Pick<RunRecord, 'id' | 'fingerprint'>): Promise<Sent> {
    const { users, budgets, store } = this.#options
    const { principal, thread, payload, apiKey, findAgent = this.#options.findAgent } = request
    const agent = findAgent(payload.agent)
    if (!agent) throw new GatewayError('unknown-agent', 'There is no agent of that name.')
    const lane = this.#laneOf(thread)
    const whenBusy = payload.whenBusy ?? this.#options.whenBusy
    lane.assertRoom(whenBusy)
    if (!lane.isBusy || whenBusy === 'interrupt') {
      const payer = payerOf(request)
      const has = this.#runsOf(payer, lane)
      users.assertRun(principal, has)
      budgets.assertRoom(payer, has.going)
    }
    const record = recordOf(request, { ...ids, agent: this.#nameOf(agent) })
    const created = Promise.withResolvers<void>()
    // By the name that was asked for: what it is called in the record may be another one on this wire.
    const again = request.findAgent && ((): Runnable | undefined => findAgent(payload.agent))
    const run = this.#make(record, { created: created.promise, apiKey, findAgent: again })
    const place = lane.add(run, whenBusy)
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
    })
    this.#unended.add(run)
    return run
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

  #laneOf(thread: ThreadRef): Lane {
    let lane = this.#lanes.get(thread.key)
    if (!lane) {
      lane = new Lane(this.#options.limits, (run) => void this.#beginNext(run))
      this.#lanes.set(thread.key, lane)
    }
    return lane
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

  /** The turn of a run that waited has come. */
  async #beginNext(run: Run): Promise<void> {
    const { store, logger } = this.#options
    // The next process begins it.
    if (this.#draining && store.isDurable) return
    try {
      await run.willBegin()
      await this.#begin(run)
    } catch (error) {
      logger.error({ runId: run.id, error }, 'a run that waited could not begin')
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

  /** The runs of a user, but for the active one of a lane that another is to take the place of. */
  #runsOf(payer: Payer, freed: Lane): { going: number; parked: number } {
    let going = 0
    let parked = 0
    for (const run of this.#unended) {
      if (!isSamePayer(run.record, payer) || freed.isActive(run)) continue
      if (run.state === 'parked') parked++
      else if (this.#lanes.get(run.thread.key)?.isActive(run)) going++
    }
    return { going, parked }
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

/** @throws GatewayError `run-id-conflict` */
function assertSame(
  known: Pick<RunRecord, 'thread' | 'fingerprint'>,
  asked: { threadId: string | undefined; fingerprint: string },
): void {
  const isSameThread = asked.threadId === undefined || asked.threadId === known.thread.id
  if (isSameThread && asked.fingerprint === known.fingerprint) return
  throw new GatewayError('run-id-conflict', 'This run id was used with another thread or message.')
}

/** Who has authenticated pays, whatever it says. */
function payerOf({ principal, chargedTo }: SendRequest): Payer {
  return { principal, ...(principal.id === ANONYMOUS.id && chargedTo !== undefined && { chargedTo }) }
}

function recordOf(request: SendRequest, of: Pick<RunRecord, 'id' | 'fingerprint' | 'agent'>): RunRecord {
  const { thread, payload, settings, toolCall } = request
  const { message } = payload
  const input: Message = {
    id: randomUUID(),
    role: 'user',
    parts: typeof message === 'string' ? [{ type: 'text', text: message }] : message.parts,
    runId: of.id,
    status: 'done',
    createdAt: Date.now(),
  }
  const asked = { ...(settings && { settings }), ...(toolCall && { toolCall }) }
  return { ...of, ...payerOf(request), ...asked, thread, input, messageId: randomUUID(), state: 'queued' }
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
