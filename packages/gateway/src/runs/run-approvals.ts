import type { Approvals } from '@turnpike/agents'
import type { ApprovalDecision, ApprovalRequest } from '@turnpike/agents/host'
import { type EventPayload, GatewayError } from '@turnpike/protocol'
import type { ApprovalDesk } from './approvals.ts'
import type { ApprovalRecord, RunRecord } from '../stores/store.ts'

export interface RunApprovalsOptions {
  readonly desk: ApprovalDesk
  readonly run: Pick<RunRecord, 'thread' | 'id'>
  readonly log: (payload: EventPayload) => void
  /** Called whenever nothing is left to be decided. */
  readonly onAllDecided: () => void
}

/** The approvals of one run: what it asked for, and what was decided since it last went on. */
export class RunApprovals implements Approvals {
  readonly #options: RunApprovalsOptions
  readonly #waiting = new Map<string, (decision: ApprovalDecision) => void>()
  /** What it asked for since it last went on. */
  #asked: string[] = []
  #decisions: ApprovalDecision[] = []
  #isClosed = false

  constructor(options: RunApprovalsOptions) {
    this.#options = options
  }

  /** Whether something is still to be decided. */
  get isOpen(): boolean {
    return this.#waiting.size > 0
  }

  /** The approvals asked for since it last went on, decided or not. */
  get asked(): readonly string[] {
    return this.#asked
  }

  async open(request: ApprovalRequest): Promise<string> {
    return this.#open(request, (decision) => this.#decisions.push(decision))
  }

  async request(request: ApprovalRequest): Promise<ApprovalDecision> {
    const decided = Promise.withResolvers<ApprovalDecision>()
    await this.#open(request, decided.resolve)
    return decided.promise
  }

  /**
   * Takes up what the run had asked for before a restart: what is decided counts, what is open waits.
   *
   * @param told - Those whose decision has been logged.
   */
  restore(records: readonly ApprovalRecord[], told: ReadonlySet<string>): void {
    for (const record of records) {
      this.#asked.push(record.id)
      if (record.decision) {
        if (!told.has(record.id)) this.#tell(record.decision)
        this.#decisions.push(record.decision)
      } else this.#wait(record, (decision) => this.#decisions.push(decision))
    }
  }

  /** Takes the decisions since the last time; each is given once. */
  take(): readonly ApprovalDecision[] {
    const decisions = this.#decisions
    this.#decisions = []
    this.#asked = []
    return decisions
  }

  /** Denies what is open, since the run ends. */
  withdraw(): void {
    this.#isClosed = true
    for (const approvalId of [...this.#waiting.keys()]) {
      const decision = this.#options.desk.withdraw(approvalId, 'cancelled')
      if (decision) this.#decided(decision)
    }
  }

  async #open(request: ApprovalRequest, decide: (decision: ApprovalDecision) => void): Promise<string> {
    this.#assertOpen()
    assertCall(request)
    const { desk, run, log } = this.#options
    const record = await desk.open(run, request)
    if (this.#isClosed) desk.withdraw(record.id, 'cancelled')
    this.#assertOpen()
    const { toolCallId, tool, args } = request
    const { id: approvalId, expiresAt } = record
    log({ type: 'approval-pending', approvalId, toolCallId, tool, args: args ?? null, expiresAt })
    this.#asked.push(approvalId)
    this.#wait(record, decide)
    return approvalId
  }

  #wait(record: ApprovalRecord, decide: (decision: ApprovalDecision) => void): void {
    this.#waiting.set(record.id, decide)
    this.#options.desk.watch(record, (decision) => this.#decided(decision))
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new GatewayError('cancelled', 'The run has ended.')
  }

  #decided(decision: ApprovalDecision): void {
    const decide = this.#waiting.get(decision.approvalId)
    if (!decide) return
    this.#waiting.delete(decision.approvalId)
    this.#tell(decision)
    decide(decision)
    if (this.#waiting.size === 0) this.#options.onAllDecided()
  }

  #tell({ approvalId, approved, by, reason }: ApprovalDecision): void {
    this.#options.log({
      type: 'approval-resolved',
      approvalId,
      approved,
      ...(by !== undefined && { by }),
      ...(reason !== undefined && { reason }),
    })
  }
}

/** Agents may be written without types. */
function assertCall({ toolCallId, tool }: Partial<ApprovalRequest>): void {
  if (typeof toolCallId === 'string' && typeof tool === 'string') return
  throw new GatewayError('invalid-agent-event', 'An approval needs a "toolCallId" and a "tool".')
}
