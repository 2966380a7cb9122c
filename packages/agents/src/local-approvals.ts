import { randomUUID } from 'node:crypto'
import type { ApprovalDecision, ApprovalRequest, Approvals } from './approvals.ts'
import { OpenDecisions } from './open-decisions.ts'

/** What decides on the calls of a run outside of any gateway. */
export type OnApproval = (request: ApprovalRequest) => LocalDecision | Promise<LocalDecision>

type LocalDecision = boolean | { readonly approved: boolean; readonly reason?: string }

/** Approvals that a function decides on, as soon as they are asked for. */
export class LocalApprovals implements Approvals {
  readonly #decide: OnApproval
  readonly #open = new OpenDecisions()

  constructor(decide: OnApproval) {
    this.#decide = decide
  }

  request(request: ApprovalRequest): Promise<ApprovalDecision> {
    return this.#resolve(request, randomUUID())
  }

  open(request: ApprovalRequest): Promise<string> {
    return this.#open.add((approvalId) => this.#resolve(request, approvalId))
  }

  /** The decisions on all that was opened since. */
  decided(): Promise<ApprovalDecision[]> {
    return this.#open.take()
  }

  async #resolve(request: ApprovalRequest, approvalId: string): Promise<ApprovalDecision> {
    const decided = await this.#decide(request)
    const decision = typeof decided === 'boolean' ? { approved: decided } : decided
    return { ...decision, approvalId, toolCallId: request.toolCallId }
  }
}
