/** One command of `turnpike`. */
export interface Command {
  /** What to type, and what it does: a line each. */
  readonly usage: string
  /** Resolves with the exit code once the command is over. @throws UsageError */
  readonly run: (args: readonly string[]) => Promise<number>
}

/** What was typed makes no sense. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
