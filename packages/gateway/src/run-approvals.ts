import type { ApprovalDecision, ApprovalRequest, Approvals, Principal } from '@turnpike/agents'
import { type EventPayload, GatewayError } from '@turnpike/protocol'
import type { ApprovalDesk } from './approvals.ts'

export interface RunApprovalsOptions {
  readonly desk: ApprovalDesk
  readonly owner: Principal
  readonly log: (payload: EventPayload) => void
  /** Called whenever nothing is left to be decided. */
  readonly onAllDecided: () => void
}

/** The approvals of one run: what it asked for, and what was decided since it last went on. */
export class RunApprovals implements Approvals {
  readonly #options: RunApprovalsOptions
  readonly #waiting = new Map<string, (decision: ApprovalDecision) => void>()
  #decisions: ApprovalDecision[] = []
  #isClosed = false

  constructor(options: RunApprovalsOptions) {
    this.#options = options
  }

  /** Whether something is still to be decided. */
  get isOpen(): boolean {
    return this.#waiting.size > 0
  }

  async open(request: ApprovalRequest): Promise<string> {
    this.#assertOpen()
    return this.#open(request, (decision) => this.#decisions.push(decision))
  }

  async request(request: ApprovalRequest): Promise<ApprovalDecision> {
    this.#assertOpen()
    return new Promise((resolve) => this.#open(request, resolve))
  }

  /** Takes the decisions since the last time; each is given once. */
  take(): readonly ApprovalDecision[] {
    const decisions = this.#decisions
    this.#decisions = []
    return decisions
  }

  /** Denies what is open, since the run ends. */
  withdraw(): void {
    this.#isClosed = true
    const { desk, owner } = this.#options
    for (const approvalId of [...this.#waiting.keys()]) desk.withdraw(owner, approvalId, 'cancelled')
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new GatewayError('cancelled', 'The run has ended.')
  }

  #open({ toolCallId, tool, args }: ApprovalRequest, decide: (decision: ApprovalDecision) => void): string {
    const { desk, owner, log } = this.#options
    const { approvalId, expiresAt } = desk.open(owner, toolCallId, (decision) => this.#decided(decision))
    this.#waiting.set(approvalId, decide)
    log({ type: 'approval-pending', approvalId, toolCallId, tool, args: args ?? null, expiresAt })
    return approvalId
  }

  #decided(decision: ApprovalDecision): void {
    const { approvalId, approved, by, reason } = decision
    const { log, onAllDecided } = this.#options
    log({
      type: 'approval-resolved',
      approvalId,
      approved,
      ...(by !== undefined && { by }),
      ...(reason !== undefined && { reason }),
    })
    this.#waiting.get(approvalId)?.(decision)
    this.#waiting.delete(approvalId)
    if (this.#waiting.size === 0) onAllDecided()
  }
}
