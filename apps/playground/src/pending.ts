/** A message on its way: it has a run id from the start, so that sending it twice is sending it once. */
export interface Pending {
  readonly runId: string
  readonly text: string
  readonly agent: string | undefined
  readonly progress: 'waiting' | 'sent' | 'queued' | 'failed'
  /** Why it failed. */
  readonly error?: string
}

/** Changes what is known of one message on its way. */
export function withProgress(
  pending: readonly Pending[],
  runId: string,
  change: Pick<Pending, 'progress' | 'error'>,
): readonly Pending[] {
  return pending.map((message) => (message.runId === runId ? { ...message, ...change } : message))
}

/** Leaves out the messages that have arrived. */
export function withoutRuns(pending: readonly Pending[], runIds: ReadonlySet<string>): readonly Pending[] {
  return pending.some(({ runId }) => runIds.has(runId))
    ? pending.filter(({ runId }) => !runIds.has(runId))
    : pending
}
