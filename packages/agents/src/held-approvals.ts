import { randomUUID } from 'node:crypto'
import type { ApprovalDecision, ApprovalRequest, Approvals } from './approvals.ts'

/** Approvals for an agent that would be parked, in a run that cannot be: they are waited for in this process. */
export class HeldApprovals implements Approvals {
  readonly #approvals: Approvals
  #open: Promise<ApprovalDecision>[] = []

  constructor(approvals: Approvals) {
    this.#approvals = approvals
  }

  request(request: ApprovalRequest): Promise<ApprovalDecision> {
    return this.#approvals.request(request)
  }

  open(request: ApprovalRequest): Promise<string> {
    const approvalId = randomUUID()
    const decision = this.#approvals.request(request).then((decided) => ({ ...decided, approvalId }))
    // Awaited once the agent has parked; until then a refusal is nobody's unhandled rejection.
    decision.catch(() => {})
    this.#open.push(decision)
    return Promise.resolve(approvalId)
  }

  /** The decisions on all that was opened since the last time. */
  decided(): Promise<ApprovalDecision[]> {
    const open = this.#open
    this.#open = []
    return Promise.all(open)
  }
}
