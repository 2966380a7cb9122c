import { type Runnable, Registry, defaultRegistry } from '@turnpike/agents'
import { type Limits, type WhenBusy, GatewayError, LIMITS } from '@turnpike/protocol'
import { type Dialect, type DuplexDialect } from '@turnpike/protocol/wire'
import type { Principal } from '@turnpike/agents'
import { Access, type AccessOptions } from './access/access.ts'
import { Admission, type AdmissionOptions } from './access/admission.ts'
import { ApprovalDesk } from './runs/approvals.ts'
import { type UserBudget, Budgets } from './runs/budgets.ts'
import { type ConnectionOptions, Connection } from './connections/connection.ts'
import { type FarewellOptions, type Leaver, farewell } from './connections/farewell.ts'
import { EntityTools } from './entities/entity-tools.ts'
import type { EventLog } from './logs/event-log.ts'
import { type Link, bytesOf } from './links/link.ts'
import { type Logger, defaultLogger } from './telemetry/logger.ts'
import { Metrics } from './telemetry/metrics.ts'
import type { OpenTelemetry } from './runs/run-spans.ts'
import { Runs } from './runs/runs.ts'
import { Session } from './connections/session.ts'
import { Sessions } from './connections/sessions.ts'
import type { Store } from './stores/store.ts'
import { Tickets } from './access/tickets.ts'
import { TimerWheel } from './timing/timer-wheel.ts'
import { UserLimits } from './access/user-limits.ts'

export interface GatewayOptions
  extends Pick<AdmissionOptions, 'authenticate' | 'allowedOrigins' | 'cookieName'>, AccessOptions {
  readonly log: EventLog
  readonly store: Store
  /** What is served. @default the process-wide registry, so an agent made later is reachable at once */
  readonly agents?: Registry | Iterable<Runnable>
  /** Overrides of {@link LIMITS}. */
  readonly limits?: Partial<
    Omit<Limits, 'jsonDepth' | 'idChars' | 'messageParts' | 'reasonChars' | 'apiKeyChars'>
  >
  /** What the runs of each user may take. @default as much as they like, within the limits */
  readonly budget?: UserBudget | undefined
  /** What happens to a message for a busy thread. @default 'enqueue' */
  readonly whenBusy?: WhenBusy
  readonly logger?: Logger
  /** Traces runs: the module `@opentelemetry/api` as it is. @default nothing is traced */
  readonly telemetry?: OpenTelemetry | undefined
}

/** What a wire knows of a connection that it brings. */
export interface Accepted extends Pick<ConnectionOptions, 'presented' | 'admitted' | 'commands' | 'pace'> {
  /** Called once it has ended, whoever ended it. */
  readonly onEnd?: () => void
}

/** Node reports a socket as drained only where it held this much; a lower mark would wait for ever. */
const SOCKET_MARK_BYTES = 65_536

/** The machine: runs and the log behind any number of links, whatever their wire. */
export class Gateway {
  readonly agents: Registry
  readonly limits: Limits
  readonly log: EventLog
  readonly store: Store
  readonly runs: Runs
  readonly approvals: ApprovalDesk
  readonly access: Access
  readonly users: UserLimits
  readonly sessions = new Sessions()
  readonly admission: Admission
  readonly wheel = new TimerWheel()
  readonly metrics = new Metrics()
  /** The tools that other programs have brought. */
  readonly entityTools: EntityTools
  readonly logger: Logger
  readonly #leavers = new Map<Leaver, { readonly wire: string; readonly isAdmitted: () => boolean }>()
  /** Places of connections that are being let in. */
  #reserved = 0
  #draining = false

  constructor(options: GatewayOptions) {
    const { log, store, agents = defaultRegistry, logger = defaultLogger, whenBusy = 'enqueue' } = options
    this.agents = agents instanceof Registry ? agents : new Registry(agents)
    const given = { ...LIMITS, ...options.limits }
    this.limits = {
      ...given,
      highWaterBytes: Math.max(given.highWaterBytes, SOCKET_MARK_BYTES),
      answerBytes: Math.max(given.answerBytes, SOCKET_MARK_BYTES),
    }
    this.log = log
    this.store = store
    this.logger = logger
    const { limits, wheel } = this
    const tickets = new Tickets({ store: store.tickets, limits })
    const { earlyMs: deadlineMs, earlyConnections: waiting } = limits
    this.admission = new Admission({ ...options, tickets, logger, wheel, deadlineMs, waiting })
    const findAgent = (name?: string): Runnable | undefined => this.agents.get(name)
    this.access = new Access(store, options)
    this.users = new UserLimits(limits)
    this.entityTools = new EntityTools({ limits, wheel })
    this.approvals = new ApprovalDesk({
      store: store.approvals,
      recovered: () => this.open(),
      limits,
      wheel,
      logger,
    })
    const { users, metrics, approvals: desk, entityTools: remoteTools } = this
    const budgets = new Budgets(store.runs, options.budget)
    const parts = { log, store, limits, users, budgets, wheel, logger, desk, metrics, remoteTools }
    this.runs = new Runs({ ...parts, findAgent, whenBusy, telemetry: options.telemetry })
  }

  /**
   * Takes up what an earlier process has left in the store. Commands wait for it; called before a server listens, it
   * tells at once where the store cannot be opened.
   */
  open(): Promise<void> {
    return this.runs.recover()
  }

  get isDraining(): boolean {
    return this.#draining
  }

  get connectionCount(): number {
    return this.#leavers.size
  }

  /** How many connections of each wire there are, and how many of their users have authenticated. */
  countConnections(): ReadonlyMap<string, { readonly all: number; readonly authenticated: number }> {
    const counts = new Map<string, { all: number; authenticated: number }>()
    for (const { wire, isAdmitted } of this.#leavers.values()) {
      const count = counts.get(wire) ?? { all: 0, authenticated: 0 }
      count.all++
      if (this.admission.isRequired && isAdmitted()) count.authenticated++
      counts.set(wire, count)
    }
    return counts
  }

  /** @throws GatewayError `draining` | `too-many-connections` */
  assertRoom(): void {
    if (this.#draining) throw new GatewayError('draining', 'The server is shutting down.')
    if (this.#leavers.size + this.#reserved < this.limits.connections) return
    throw new GatewayError('too-many-connections', 'The server has all the connections it takes.', {
      retryAfterMs: 1_000,
    })
  }

  /**
   * Keeps a place for a connection that is being let in, until what it returns is called.
   *
   * @throws GatewayError `draining` | `too-many-connections`
   */
  reserve(): () => void {
    this.assertRoom()
    this.#reserved++
    let left = false
    return () => {
      if (!left) this.#reserved--
      left = true
    }
  }

  /**
   * Takes a link on which the client speaks too.
   *
   * @param who - A credential, which is checked behind the link; or what the wire knows otherwise.
   */
  accept(link: Link, dialect: DuplexDialect, { onEnd, ...accepted }: Accepted = {}): Connection {
    const connection: Connection = new Connection({
      ...this.#parts(),
      ...accepted,
      link,
      dialect,
      admission: this.admission,
      wheel: this.wheel,
      logger: this.logger,
      onClose: () => {
        this.#leavers.delete(connection)
        onEnd?.()
      },
    })
    this.#leavers.set(connection, { wire: link.framing.name, isAdmitted: () => connection.isAdmitted })
    return connection
  }

  /**
   * Opens a session on a link that only listens, for somebody whose identity is settled. Where the dialect has a word for
   * it, who is sent away is told why.
   */
  listen(
    link: Link,
    dialect: Dialect & Partial<Pick<DuplexDialect, 'goodbye'>>,
    principal: Principal,
  ): Session {
    const close = (error: GatewayError): void => {
      session.pump()
      session.close()
      if (dialect.goodbye) link.write(bytesOf(link.framing, dialect.goodbye(error.toJSON())))
      link.close(error.row.close ?? 4500, error.code)
    }
    const onFailure = (error: unknown): void => {
      this.logger.error({ error }, 'a stream failed')
      close(new GatewayError('internal', 'Something went wrong on the server.'))
    }
    const leaver: Leaver = { goodbye: close }
    const session = new Session(principal, {
      ...this.#parts(),
      link,
      dialect,
      onFailure,
      dismiss: close,
      onClose: () => this.#leavers.delete(leaver),
    })
    this.#leavers.set(leaver, { wire: link.framing.name, isAdmitted: () => true })
    return session
  }

  #parts(): Pick<
    Gateway,
    'log' | 'store' | 'runs' | 'approvals' | 'access' | 'users' | 'sessions' | 'limits' | 'metrics'
  > {
    const { log, store, runs, approvals, access, users, sessions, limits, metrics } = this
    return { log, store, runs, approvals, access, users, sessions, limits, metrics }
  }

  /**
   * Shuts down without losing a turn: no new runs, those in progress may end for `graceMs` and are interrupted then;
   * when every run has its last event in the log, the connections are told to come back elsewhere, a few at a time.
   */
  async drain(graceMs = 10_000): Promise<void> {
    this.#draining = true
    try {
      await this.#leave(graceMs)
    } finally {
      this.wheel.close()
      await this.log.close()
      await this.store.close()
    }
  }

  async #leave(graceMs: number): Promise<void> {
    await this.runs.drain(graceMs)
    const { admission, logger } = this
    const returnTicket: FarewellOptions['returnTicket'] = async (admitted) =>
      // Tickets of a store that ends with this process are good for nothing.
      this.store.isDurable ? admission.returnTicket(admitted) : undefined
    await farewell([...this.#leavers.keys()], { returnTicket, logger })
  }
}
