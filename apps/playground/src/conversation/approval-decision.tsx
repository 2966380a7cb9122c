import { type ReactElement, useState } from 'react'
import { type ToolPart } from '@turnpike/protocol'
import { GatewayError } from '@turnpike/client'
import { clockTime } from '../app/clock-time.ts'
import { Icon } from '../app/icon.tsx'
import { useConversationActions } from './conversation-actions.ts'

export interface ApprovalDecisionProps {
  readonly approval: NonNullable<ToolPart['approval']>
  readonly isPending: boolean
}

/** What has to be decided about a call, or who has decided it. */
export function ApprovalDecision({ approval, isPending }: ApprovalDecisionProps): ReactElement | null {
  if (isPending) return <OpenDecision approval={approval} />
  const { approved, by, reason } = approval
  if (approved === undefined) return null
  return (
    <p className="decision" data-testid="decision" data-approved={approved}>
      <Icon name={approved ? 'check' : 'close'} />
      <span>
        {approved ? 'Approved' : 'Declined'}
        {by === undefined ? (approved ? '' : ' without an answer') : ` by ${by}`}
        {reason !== undefined && <q>{reason}</q>}
      </span>
    </p>
  )
}

function OpenDecision({ approval }: Pick<ApprovalDecisionProps, 'approval'>): ReactElement {
  const { approve } = useConversationActions()
  const [reason, setReason] = useState('')
  const [decided, setDecided] = useState<boolean>()
  const [problem, setProblem] = useState<string>()
  const decide = (approved: boolean): void => {
    setDecided(approved)
    setProblem(undefined)
    approve(approval.approvalId, approved, reason.trim() || undefined).catch((error: unknown) => {
      setDecided(undefined)
      setProblem(error instanceof GatewayError ? error.message : 'That did not get through.')
    })
  }
  const isDisabled = decided !== undefined
  return (
    <div className="decision" data-pending="true">
      <button
        className="button"
        data-primary="true"
        type="button"
        data-testid="approve"
        disabled={isDisabled}
        onClick={() => decide(true)}
      >
        Approve
      </button>
      <button
        className="button"
        type="button"
        data-testid="decline"
        disabled={isDisabled}
        onClick={() => decide(false)}
      >
        Decline
      </button>
      <input
        className="field"
        type="text"
        value={reason}
        maxLength={4096}
        placeholder="Reason, if you like"
        aria-label="Reason"
        onChange={(event) => setReason(event.target.value)}
      />
      <span className="decision-until">
        {problem ?? `Declined at ${clockTime(approval.expiresAt)} if nobody decides.`}
      </span>
    </div>
  )
}
