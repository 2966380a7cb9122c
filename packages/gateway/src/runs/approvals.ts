import { randomUUID } from 'node:crypto'
import type { Principal } from '@turnpike/agents'
import type { ApprovalDecision, ApprovalRequest } from '@turnpike/agents/host'
import { type Answers, type Limits, type PayloadOf, GatewayError } from '@turnpike/protocol'
import type { Logger } from '../telemetry/logger.ts'
import type { ApprovalRecord, ApprovalStore, RunRecord } from '../stores/store.ts'
import type { TimerWheel } from '../timing/timer-wheel.ts'

/** When a denial by time is tried again that could not be stored. */
const RETRY_MS = 1_000

/** One that nobody has decided yet. */
interface Waiting {
  readonly record: ApprovalRecord
  readonly stopTimer: () => void
}

export interface ApprovalDeskOptions {
  readonly store: ApprovalStore
  /** Settled once what an earlier process has left is waited for again. */
  readonly recovered: () => Promise<void>
  readonly limits: Limits
  readonly wheel: TimerWheel
  readonly logger: Logger
}

/**
 * What waits for somebody's approval, over all runs. Each is decided once: by who may, over any wire and from any
 * device, or by time, which denies it. The store has them all, so a restart forgets none.
 */
export class ApprovalDesk {
  readonly #options: ApprovalDeskOptions
  readonly #waiting = new Map<string, Waiting>()
  /** What is decided and about to be stored. */
  readonly #deciding = new Map<string, ApprovalDecision>()
  readonly #watchers = new Map<string, (decision: ApprovalDecision) => void>()

  constructor(options: ApprovalDeskOptions) {
    this.#options = options
  }

  /** Opens an approval. */
  async open(
    run: Pick<RunRecord, 'thread' | 'id'>,
    { toolCallId, tool }: ApprovalRequest,
  ): Promise<ApprovalRecord> {
    const { store, limits } = this.#options
    const expiresAt = Date.now() + limits.approvalMs
    const record = { thread: run.thread, runId: run.id, id: randomUUID(), toolCallId, tool, expiresAt }
    await store.save(record)
    this.#wait(record)
    return record
  }

  /** Tells once what is decided; of one opened before a restart too, which is waited for from here on. */
  watch(record: ApprovalRecord, decide: (decision: ApprovalDecision) => void): void {
    this.#watchers.set(record.id, decide)
    if (!this.#waiting.has(record.id) && !this.#deciding.has(record.id)) this.#wait(record)
  }

  /**
   * Decides, if nobody has; says in any case what was decided.
   *
   * @param by - Who decides; that they may is settled.
   * @throws GatewayError `unknown-approval`
   */
  async resolve(
    owner: string,
    by: Principal,
    { approvalId, approved, reason }: PayloadOf<'approval.resolve'>,
  ): Promise<Answers['approval.resolve']> {
    await this.#options.recovered()
    const waiting = this.#waiting.get(approvalId)
    if (waiting?.record.thread.owner === owner) {
      const decided = { approvalId, approved, by: by.id, ...(reason !== undefined && { reason }) }
      await this.#settle(waiting, decided).stored
      return { approved, first: true }
    }
    const record = await this.#options.store.find(owner, approvalId)
    const decision = record?.decision ?? (record && this.#deciding.get(approvalId))
    if (decision) return { approved: decision.approved, first: false }
    throw new GatewayError('unknown-approval', 'There is no approval of that id.')
  }

  /** Denies what nobody has decided, for a reason of the server's own; says what is decided where somebody has. */
  withdraw(approvalId: string, reason: 'expired' | 'cancelled'): ApprovalDecision | undefined {
    const waiting = this.#waiting.get(approvalId)
    if (!waiting) return this.#deciding.get(approvalId)
    const { decision, stored } = this.#settle(waiting, { approvalId, approved: false, reason })
    stored.catch((error: unknown) =>
      this.#options.logger.error({ approvalId, error }, 'a decision could not be stored'),
    )
    return decision
  }

  #wait(record: ApprovalRecord): void {
    this.#waitFor(record, Math.max(0, record.expiresAt - Date.now()))
  }

  #waitFor(record: ApprovalRecord, delayMs: number): void {
    const stopTimer = this.#options.wheel.schedule(delayMs, () => void this.withdraw(record.id, 'expired'))
    this.#waiting.set(record.id, { record, stopTimer })
  }

  /**
   * Whoever comes first: from here on there is nothing left to decide. The run learns of it once it is stored. Where
   * that fails, it was not decided, and may be anew.
   */
  #settle(
    { record, stopTimer }: Waiting,
    decided: Omit<ApprovalDecision, 'toolCallId'>,
  ): { readonly decision: ApprovalDecision; readonly stored: Promise<void> } {
    const { id, toolCallId } = record
    const decision = { ...decided, toolCallId }
    stopTimer()
    this.#waiting.delete(id)
    this.#deciding.set(id, decision)
    const stored = this.#options.store.save({ ...record, decision }).then(
      () => {
        this.#deciding.delete(id)
        const decide = this.#watchers.get(id)
        this.#watchers.delete(id)
        decide?.(decision)
      },
      (error: unknown) => {
        this.#deciding.delete(id)
        this.#waitFor(record, Math.max(RETRY_MS, record.expiresAt - Date.now()))
        throw error
      },
    )
    return { decision, stored }
  }
}
