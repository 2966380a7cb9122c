import { type Runnable, Registry, defaultRegistry } from '@turnpike/agents'
import { type Limits, type WhenBusy, GatewayError, LIMITS } from '@turnpike/protocol'
import { type Dialect, type DuplexDialect } from '@turnpike/protocol/wire'
import type { Principal } from '@turnpike/agents'
import { Admission, type AdmissionOptions } from './admission.ts'
import { ApprovalDesk } from './approvals.ts'
import { Connection } from './connection.ts'
import type { EventLog } from './event-log.ts'
import type { Attachment, Link } from './link.ts'
import { type Logger, defaultLogger } from './logger.ts'
import { Runs } from './runs.ts'
import { Session } from './session.ts'
import type { Store } from './store.ts'
import { TimerWheel } from './timer-wheel.ts'

/** Connections told to leave in one tick of a drain, and the time between ticks: no herd comes back at once. */
const DRAIN_BATCH = 250
const DRAIN_TICK_MS = 100

export interface GatewayOptions extends Pick<AdmissionOptions, 'authenticate' | 'allowedOrigins'> {
  readonly log: EventLog
  readonly store: Store
  /** What is served. @default the process-wide registry, so an agent made later is reachable at once */
  readonly agents?: Registry | Iterable<Runnable>
  /** Overrides of {@link LIMITS}. */
  readonly limits?: Partial<Omit<Limits, 'jsonDepth' | 'idChars' | 'messageParts' | 'reasonChars'>>
  /** What happens to a message for a busy thread. @default 'enqueue' */
  readonly whenBusy?: WhenBusy
  readonly logger?: Logger
}

/** Node reports a socket as drained only where it held this much; a lower mark would wait for ever. */
const SOCKET_MARK_BYTES = 65_536

/** Something that can be told to leave. */
interface Leaver {
  goodbye(error: GatewayError): void
}

/** The machine: runs and the log behind any number of links, whatever their wire. */
export class Gateway {
  readonly agents: Registry
  readonly limits: Limits
  readonly log: EventLog
  readonly store: Store
  readonly runs: Runs
  readonly approvals: ApprovalDesk
  readonly admission: Admission
  readonly wheel = new TimerWheel()
  readonly logger: Logger
  readonly #leavers = new Set<Leaver>()
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
    this.admission = new Admission({ ...options, logger, wheel, deadlineMs: limits.earlyMs })
    const findAgent = (name?: string): Runnable | undefined => this.agents.get(name)
    this.approvals = new ApprovalDesk(limits, wheel)
    this.runs = new Runs({ log, store, limits, wheel, logger, desk: this.approvals, findAgent, whenBusy })
  }

  get isDraining(): boolean {
    return this.#draining
  }

  get connectionCount(): number {
    return this.#leavers.size
  }

  /** @throws GatewayError `draining` | `too-many-connections` */
  assertRoom(): void {
    if (this.#draining) throw new GatewayError('draining', 'The server is shutting down.')
    if (this.#leavers.size < this.limits.connections) return
    throw new GatewayError('too-many-connections', 'The server has all the connections it takes.', {
      retryAfterMs: 1_000,
    })
  }

  /** Takes a link on which the client speaks too; who it is, is settled behind it. */
  accept(link: Link, dialect: DuplexDialect, token: string | undefined): Attachment {
    const connection: Connection = new Connection({
      ...this.#parts(),
      link,
      dialect,
      token,
      admission: this.admission,
      wheel: this.wheel,
      logger: this.logger,
      onClose: () => this.#leavers.delete(connection),
    })
    this.#leavers.add(connection)
    return connection
  }

  /** Opens a session on a link that only listens, for somebody whose identity is settled. */
  listen(link: Link, dialect: Dialect, principal: Principal): Session {
    const close = (error: GatewayError): void => {
      session.pump()
      session.close()
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
      onClose: () => this.#leavers.delete(leaver),
    })
    this.#leavers.add(leaver)
    return session
  }

  #parts(): Pick<Gateway, 'log' | 'store' | 'runs' | 'approvals' | 'limits'> {
    const { log, store, runs, approvals, limits } = this
    return { log, store, runs, approvals, limits }
  }

  /**
   * Shuts down without losing a turn: no new runs, those in progress may end for `graceMs` and are interrupted then;
   * when every run has its last event in the log, the connections are told to come back elsewhere, a few at a time.
   */
  async drain(graceMs = 10_000): Promise<void> {
    this.#draining = true
    await this.runs.drain(graceMs)
    const leavers = [...this.#leavers]
    for (let i = 0; i < leavers.length; i += DRAIN_BATCH) {
      if (i > 0) await new Promise((resolve) => setTimeout(resolve, DRAIN_TICK_MS))
      for (const leaver of leavers.slice(i, i + DRAIN_BATCH)) {
        const retryAfterMs = Math.ceil(Math.random() * 1_000)
        leaver.goodbye(new GatewayError('draining', 'The server is shutting down.', { retryAfterMs }))
      }
    }
    this.wheel.close()
    await this.log.close()
  }
}
