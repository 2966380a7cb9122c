import { useCallback, useMemo, useSyncExternalStore } from 'react'
import type { PendingApproval } from './pending-approvals.ts'
import { useRegistry } from './provider.tsx'

export interface Approvals {
  /** What waits for a decision, in the threads that hooks of this provider follow. */
  readonly pending: readonly PendingApproval[]
  /** Decides. @throws GatewayError `unknown-approval` */
  readonly approve: (approvalId: string, approved: boolean, reason?: string) => Promise<void>
}

/** What agents ask approval for, in all threads on the page. */
export function useApprovals(): Approvals {
  const { approvals, client } = useRegistry()
  const pending = useSyncExternalStore(approvals.onChange, approvals.getPending, approvals.getInitial)
  const approve = useCallback(
    async (approvalId: string, approved: boolean, reason?: string): Promise<void> => {
      await client.approvals.resolve({ approvalId, approved, ...(reason !== undefined && { reason }) })
    },
    [client],
  )
  return useMemo(() => ({ pending, approve }), [pending, approve])
}
