import { randomUUID } from 'node:crypto'
import type { ApprovalDecision, Principal } from '@turnpike/agents'
import { type Answers, type Limits, type PayloadOf, GatewayError } from '@turnpike/protocol'
import { ownedKey } from './access.ts'
import type { TimerWheel } from './timer-wheel.ts'

/** One that is still open, or what was decided; of a decided one nothing else is kept. */
type Approval =
  | {
      readonly toolCallId: string
      readonly decide: (decision: ApprovalDecision) => void
      readonly stopTimer: () => void
      readonly decision?: never
    }
  | { readonly decision: ApprovalDecision }

/**
 * What waits for somebody's approval, over all runs. Each is decided once: by its principal, over any wire and from any
 * device, or by time, which denies it.
 */
export class ApprovalDesk {
  readonly #limits: Limits
  readonly #wheel: TimerWheel
  readonly #approvals = new Map<string, Approval>()

  constructor(limits: Limits, wheel: TimerWheel) {
    this.#limits = limits
    this.#wheel = wheel
  }

  /** Opens an approval; `decide` is called once. */
  open(
    owner: Principal,
    toolCallId: string,
    decide: (decision: ApprovalDecision) => void,
  ): { approvalId: string; expiresAt: number } {
    const approvalId = randomUUID()
    const { approvalMs } = this.#limits
    const stopTimer = this.#wheel.schedule(approvalMs, () => this.withdraw(owner, approvalId, 'expired'))
    this.#approvals.set(ownedKey(owner, approvalId), { toolCallId, decide, stopTimer })
    this.#forgetOldest()
    return { approvalId, expiresAt: Date.now() + approvalMs }
  }

  /**
   * Decides, if nobody has; says in any case what was decided.
   *
   * @throws GatewayError `unknown-approval`, also for somebody else's
   */
  resolve(principal: Principal, payload: PayloadOf<'approval.resolve'>): Answers['approval.resolve'] {
    const { approvalId, approved, reason } = payload
    const key = ownedKey(principal, approvalId)
    const approval = this.#approvals.get(key)
    if (!approval) throw new GatewayError('unknown-approval', 'There is no approval of that id.')
    if (approval.decision) return { approved: approval.decision.approved, first: false }
    this.#settle(key, { approvalId, approved, by: principal.id, ...(reason !== undefined && { reason }) })
    return { approved, first: true }
  }

  /** Denies what nobody has decided, for a reason of the server's own. */
  withdraw(owner: Principal, approvalId: string, reason: 'expired' | 'cancelled'): void {
    this.#settle(ownedKey(owner, approvalId), { approvalId, approved: false, reason })
  }

  #settle(key: string, decided: Omit<ApprovalDecision, 'toolCallId'>): void {
    const approval = this.#approvals.get(key)
    if (!approval || approval.decision) return
    const { toolCallId, decide, stopTimer } = approval
    const decision = { ...decided, toolCallId }
    this.#approvals.set(key, { decision })
    stopTimer()
    decide(decision)
  }

  /** What was decided is remembered, so that a second answer learns of the first; but not for ever. */
  #forgetOldest(): void {
    if (this.#approvals.size <= this.#limits.rememberedRuns) return
    for (const [key, approval] of this.#approvals) {
      if (!approval.decision) continue
      this.#approvals.delete(key)
      return
    }
  }
}
