import { randomUUID } from 'node:crypto'
import type { ApprovalDecision } from './approvals.ts'

/** Decisions that an agent will be handed once it has parked. */
export class OpenDecisions {
  #open: Promise<ApprovalDecision>[] = []

  /** Opens one, and resolves with its id. */
  add(decide: (approvalId: string) => Promise<ApprovalDecision>): Promise<string> {
    const approvalId = randomUUID()
    const decision = decide(approvalId)
    // Awaited once the agent has parked; until then a refusal is nobody's unhandled rejection.
    decision.catch(() => {})
    this.#open.push(decision)
    return Promise.resolve(approvalId)
  }

  /** The decisions on all that was opened since the last time. */
  take(): Promise<ApprovalDecision[]> {
    const open = this.#open
    this.#open = []
    return Promise.all(open)
  }
}
