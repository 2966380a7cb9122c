/** The call of a tool that somebody has to approve first. */
export interface ApprovalRequest {
  readonly toolCallId: string
  readonly tool: string
  readonly args: unknown
}

/** What became of a request. One that nobody answered in time is denied, with the reason `expired`. */
export interface ApprovalDecision {
  readonly approvalId: string
  readonly toolCallId: string
  readonly approved: boolean
  readonly by?: string
  readonly reason?: string
}

/** How an agent asks for approval. The gateway keeps what is asked; anyone who may, decides, from any device. */
export interface Approvals {
  /** Asks and waits in this process: for agents that cannot be parked. */
  request(request: ApprovalRequest): Promise<ApprovalDecision>
  /** Asks and does not wait: for agents that end as {@link RunOutcome.parked}. Resolves with the approval's id. */
  open(request: ApprovalRequest): Promise<string>
}
