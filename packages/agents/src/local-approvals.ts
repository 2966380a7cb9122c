import { randomUUID } from 'node:crypto'
import type { ApprovalDecision, ApprovalRequest, Approvals } from './approvals.ts'

/** What decides on the calls of a run outside of any gateway. */
export type OnApproval = (request: ApprovalRequest) => LocalDecision | Promise<LocalDecision>

type LocalDecision = boolean | { readonly approved: boolean; readonly reason?: string }

/** Approvals that a function decides on, as soon as they are asked for. */
export class LocalApprovals implements Approvals {
  readonly #decide: OnApproval
  #open: Promise<ApprovalDecision>[] = []

  constructor(decide: OnApproval) {
    this.#decide = decide
  }

  request(request: ApprovalRequest): Promise<ApprovalDecision> {
    return this.#resolve(request, randomUUID())
  }

  open(request: ApprovalRequest): Promise<string> {
    const approvalId = randomUUID()
    const decision = this.#resolve(request, approvalId)
    decision.catch(() => {})
    this.#open.push(decision)
    return Promise.resolve(approvalId)
  }

  /** The decisions on all that was opened since. */
  decided(): Promise<ApprovalDecision[]> {
    const open = this.#open
    this.#open = []
    return Promise.all(open)
  }

  async #resolve(request: ApprovalRequest, approvalId: string): Promise<ApprovalDecision> {
    const decided = await this.#decide(request)
    const decision = typeof decided === 'boolean' ? { approved: decided } : decided
    return { ...decision, approvalId, toolCallId: request.toolCallId }
  }
}
