import type { ApprovalDecision, ApprovalRequest, Approvals } from './approvals.ts'
import { OpenDecisions } from './open-decisions.ts'

/** Approvals for an agent that would be parked, in a run that cannot be: they are waited for in this process. */
export class HeldApprovals implements Approvals {
  readonly #approvals: Approvals
  readonly #open = new OpenDecisions()

  constructor(approvals: Approvals) {
    this.#approvals = approvals
  }

  request(request: ApprovalRequest): Promise<ApprovalDecision> {
    return this.#approvals.request(request)
  }

  open(request: ApprovalRequest): Promise<string> {
    return this.#open.add(async (approvalId) => ({ ...(await this.request(request)), approvalId }))
  }

  /** The decisions on all that was opened since the last time. */
  decided(): Promise<ApprovalDecision[]> {
    return this.#open.take()
  }
}
