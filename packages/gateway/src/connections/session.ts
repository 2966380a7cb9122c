import { randomUUID } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Principal } from '@turnpike/agents'
import { type Answer, type Limits, type PayloadOf, GatewayError, parseEventId } from '@turnpike/protocol'
import { type Command, type Dialect } from '@turnpike/protocol/wire'
import type { Access } from '../access/access.ts'
import type { ApprovalDesk } from '../runs/approvals.ts'
import type { EventLog } from '../logs/event-log.ts'
import type { Link } from '../links/link.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { SendSettings } from '../runs/run-requests.ts'
import type { Runs, Sent } from '../runs/runs.ts'
import type { ConnectionInfo, Sessions } from './sessions.ts'
import type { Store } from '../stores/store.ts'
import { AwaitedEnds } from './awaited-ends.ts'
import { Subscription } from './subscription.ts'
import type { UserLimits } from '../access/user-limits.ts'

/** Runs that may be asked for again at once: what has to be kept of each is little. */
const RETELLINGS = 1_000
const RETRY_MS = 1_000

export interface SessionOptions {
  readonly log: EventLog
  readonly store: Store
  readonly runs: Runs
  readonly approvals: ApprovalDesk
  readonly access: Access
  readonly users: UserLimits
  readonly sessions: Sessions
  readonly limits: Limits
  readonly metrics: Metrics
  readonly link: Link
  readonly dialect: Dialect
  /** It cannot go on, since what it needs could not be read. */
  readonly onFailure: (error: unknown) => void
  /** Closes the connection, and tells why. */
  readonly dismiss: (error: GatewayError) => void
  readonly onClose?: () => void
}

/** How a run is followed. */
interface Following {
  readonly reasoning: boolean
  readonly onRunEnd: (() => void) | undefined
  readonly awaitsEnd: boolean | undefined
}

/** What a command answers, and what goes on once the answer is written. */
export interface Outcome {
  readonly answer: Answer & { ok: true }
  readonly begin?: () => void
  /** Settles when the run that a message came to has ended. */
  readonly ended?: Promise<unknown>
}

/**
 * What the server remembers of one connection: who it is and which threads it follows. Nothing in it is lost with the
 * connection; the next one resumes from a cursor.
 */
export class Session {
  readonly id = randomUUID()
  readonly #since = Date.now()
  readonly #options: SessionOptions
  /** By the id that this client means a thread by. */
  readonly #subscriptions = new Map<string, Subscription>()
  /** Threads that are followed since something was sent there, with how much of that goes on. */
  readonly #sentTo = new Map<string, { going: number }>()
  /** A run that is told once more, and how many wait for that. */
  #retold: Subscription | undefined
  #retelling: Promise<void> = Promise.resolve()
  #retellings = 0
  /** Where a thread is followed from the first of its runs to begin, those not placed yet. */
  readonly #unplaced = new Map<string, PromiseWithResolvers<number>>()
  readonly #leave: () => void
  #principal: Principal
  #closed = false

  /** @throws GatewayError `too-many-connections` where the user has as many as it may */
  constructor(principal: Principal, options: SessionOptions) {
    this.#leave = options.users.enter(principal)
    this.#principal = principal
    this.#options = options
    options.sessions.add(this)
  }

  get principal(): Principal {
    return this.#principal
  }

  get info(): ConnectionInfo {
    const { link } = this.#options
    const subscriptions = [...this.#subscriptions.values()]
    return {
      id: this.id,
      user: this.#principal.id,
      wire: link.framing.name,
      threads: [...this.#subscriptions.keys()],
      lagEvents: subscriptions.reduce((sum, { lag }) => sum + lag, 0),
      bufferedBytes: link.bufferedBytes,
      since: this.#since,
    }
  }

  /** Closes the connection for a reason that its client is told. */
  dismiss(error: GatewayError): void {
    this.#options.dismiss(error)
  }

  /** Goes on with a renewed credential. @throws GatewayError `forbidden` where it is somebody else's */
  renew(principal: Principal): void {
    if (principal.id !== this.#principal.id) {
      throw new GatewayError('forbidden', 'A connection cannot change its user. Open another one.')
    }
    this.#principal = principal
  }

  /**
   * @param settings - What the wire knows of a message that is sent.
   * @throws GatewayError by what the command checks
   */
  async execute(command: Exclude<Command, { name: 'auth' }>, settings?: SendSettings): Promise<Outcome> {
    const { users, access, runs, approvals } = this.#options
    const principal = this.#principal
    await users.takeCommand(principal)
    switch (command.name) {
      case 'thread.send':
        return this.send(command.payload, undefined, settings)
      case 'thread.subscribe':
        return this.subscribe(command.payload)
      case 'thread.unsubscribe':
        return this.#unsubscribe(command.payload)
      case 'run.cancel': {
        const { runId } = command.payload
        const owner = await access.ownerOfRun(principal, runId)
        return { answer: { ok: true, status: await runs.cancel(owner, runId) } }
      }
      case 'approval.resolve': {
        const owner = await access.ownerOfApproval(principal, command.payload.approvalId)
        return { answer: { ok: true, ...(await approvals.resolve(owner, principal, command.payload)) } }
      }
      default:
        return command satisfies never
    }
  }

  /**
   * Sends a message; its sender follows the run from the `start` on, as any other reader would.
   *
   * @param onRunEnd - Given, the subscription ends with the run, and this is called then.
   */
  async send(
    payload: PayloadOf<'thread.send'>,
    onRunEnd?: () => void,
    settings: SendSettings = {},
  ): Promise<Outcome> {
    this.#assertRoom(payload.threadId)
    const { access, runs } = this.#options
    const principal = this.#principal
    const into = await access.threadToWrite(principal, payload.threadId, payload.agent)
    const sent = await runs.send({ ...settings, principal, thread: into, payload })
    if (sent.isRepeated) this.#assertRetellings()
    const { thread, runId, status } = sent
    return {
      answer: { ok: true, threadId: thread.id, runId, status },
      ended: sent.ended,
      begin: () =>
        this.#followRun(sent, {
          reasoning: payload.reasoning ?? false,
          onRunEnd,
          awaitsEnd: settings.awaitsEnd,
        }),
    }
  }

  async subscribe(payload: PayloadOf<'thread.subscribe'>): Promise<Outcome> {
    const { threadId, lastEventId, reasoning = false } = payload
    const after = lastEventId === undefined ? undefined : parseEventId(lastEventId).id
    await this.#options.runs.recover()
    const thread = await this.#options.access.threadToRead(this.#principal, threadId)
    this.#assertRoom(threadId)
    this.#subscriptions.get(threadId)?.close()
    const subscription = new Subscription({ ...this.#options, thread, reasoning })
    this.#subscriptions.set(threadId, subscription)
    this.#unplaced.delete(threadId)
    this.#sentTo.delete(threadId)
    if (this.#closed) subscription.close()
    const opening = await subscription.place(after ? { after } : 'head').catch((error: unknown) => {
      subscription.close()
      this.#subscriptions.delete(threadId)
      throw error
    })
    return { answer: { ok: true, ...opening }, begin: () => subscription.begin() }
  }

  /**
   * Makes room: ceases to follow the thread that was sent to longest ago, of those where nothing that was sent goes on
   * and everything was given.
   *
   * @returns Its id; undefined where there is none, since what was subscribed to is not given up.
   */
  leaveIdle(): string | undefined {
    for (const [threadId, { going }] of this.#sentTo) {
      if (going > 0 || this.#subscriptions.get(threadId)?.isCaughtUp === false) continue
      this.#unsubscribe({ threadId })
      return threadId
    }
    return undefined
  }

  /** Writes what is new, as far as the link takes it. Called when the link has drained, and before it is closed. */
  pump(): void {
    for (const subscription of this.#subscriptions.values()) subscription.pump()
    this.#retold?.pump()
  }

  close(): void {
    this.#closed = true
    for (const subscription of this.#subscriptions.values()) subscription.close()
    this.#retold?.close()
    this.#subscriptions.clear()
    this.#leave()
    this.#options.sessions.remove(this)
    this.#options.onClose?.()
  }

  #unsubscribe({ threadId }: PayloadOf<'thread.unsubscribe'>): Outcome {
    this.#subscriptions.get(threadId)?.close()
    this.#subscriptions.delete(threadId)
    this.#unplaced.delete(threadId)
    this.#sentTo.delete(threadId)
    return { answer: { ok: true } }
  }

  #assertRoom(threadId: string | undefined): void {
    const { subscriptions } = this.#options.limits
    if (this.#subscriptions.size < subscriptions) return
    if (threadId !== undefined && this.#subscriptions.has(threadId)) return
    throw new GatewayError('too-many-subscriptions', `A connection follows at most ${subscriptions} threads.`)
  }

  /** A connection that follows the thread already gets the run's events there, and no second copy. */
  #followRun(sent: Sent, options: Following): void {
    const { id, key } = sent.thread
    if (this.#closed) return
    const following = this.#subscriptions.get(id)
    // By that id the client may have meant somebody else's thread, as long as that was open to it.
    if (following && following.thread.key !== key) this.#unsubscribe({ threadId: id })
    const isFollowed = this.#subscriptions.has(id)
    if (!isFollowed) {
      this.#followFromStart(sent, options)
      this.#sentTo.set(id, { going: 0 })
    }
    if (isFollowed && options.awaitsEnd) this.#awaitEnd(sent, options)
    this.#countIn(sent)
    // Of several runs that wait, a later one may begin first.
    const start = this.#unplaced.get(id)
    if (start) sent.started.then(start.resolve, start.reject)
  }

  #awaitEnd(sent: Sent, { reasoning }: Following): void {
    if (!sent.isRepeated) return this.#subscriptions.get(sent.thread.id)?.awaitEnd(sent)
    // One after the other: each may be a whole run.
    const stay = this.#stayWith(sent.thread.id)
    this.#retellings++
    this.#retelling = this.#retelling
      .then(() => this.#retell(sent, reasoning))
      .catch(this.#options.onFailure)
      .finally(() => {
        this.#retellings--
        stay()
      })
  }

  #countIn({ thread: { id }, ended }: Sent): void {
    const sentTo = this.#sentTo.get(id)
    if (!sentTo) return
    // What was sent to last comes last.
    this.#sentTo.delete(id)
    this.#sentTo.set(id, sentTo)
    const leave = this.#stayWith(id)
    ended.then(leave, leave)
  }

  /** A thread is not given up before what is returned is called. */
  #stayWith(threadId: string): () => void {
    const sentTo = this.#sentTo.get(threadId)
    if (!sentTo) return () => {}
    sentTo.going++
    return () => void sentTo.going--
  }

  #assertRetellings(): void {
    if (this.#retellings < RETELLINGS) return
    const message = `A connection asks again for at most ${RETELLINGS} runs at once.`
    throw new GatewayError('rate-limited', message, { retryAfterMs: RETRY_MS })
  }

  /**
   * Tells of a run that this client did not hear of where it follows the thread: from the log, or, where that has let go
   * of it, how it has ended.
   */
  async #retell(sent: Sent, reasoning: boolean): Promise<void> {
    const { thread, started, ended } = sent
    const end = await Promise.race([ended.catch(() => undefined), nextTurn(undefined)])
    const following = this.#subscriptions.get(thread.id)
    if (this.#closed || !following) return
    if (end === undefined) return following.awaitEnd(sent)
    if (await following.awaitPast(sent, end)) return
    following.noteTold(sent)
    const told = Promise.withResolvers<void>()
    const onLost = (): void => {
      following.tellEnd(sent, end)
      told.resolve()
    }
    const options = { thread, reasoning, onEnd: told.resolve, onLost }
    this.#retold = new Subscription({ ...this.#options, ...options })
    this.#retold.endAt(end)
    await this.#retold.beginFrom(await started)
    await told.promise
    this.#retold = undefined
  }

  #followFromStart(sent: Sent, options: Following): void {
    const { thread } = sent
    const { reasoning, onRunEnd, awaitsEnd } = options
    const subscription = new Subscription({
      ...this.#options,
      thread,
      reasoning,
      ...(onRunEnd && { onEnd: onRunEnd }),
      ...(awaitsEnd && { ends: new AwaitedEnds(this.#options) }),
    })
    this.#subscriptions.set(thread.id, subscription)
    // Before the subscription is to end there.
    subscription.awaitEnd(sent)
    if (onRunEnd) sent.ended.then((seq) => subscription.endAt(seq), this.#options.onFailure)
    const start = Promise.withResolvers<number>()
    this.#unplaced.set(thread.id, start)
    start.promise
      .then((seq) => {
        if (this.#unplaced.get(thread.id) === start) this.#unplaced.delete(thread.id)
        return subscription.beginFrom(seq)
      })
      .catch(this.#options.onFailure)
  }
}
