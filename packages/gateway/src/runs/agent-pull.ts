import type { AgentYield, RunOutcome } from '@turnpike/agents'

/** Yields in a row after which the agent lets the event loop turn, so that none can keep the process to itself. */
const YIELDS_PER_TURN = 64

export interface AgentPullOptions {
  /** Takes what the agent yields; throws where that is wrong. */
  readonly take: (value: AgentYield) => void
  /** Whether nobody waits for more. */
  readonly isOver: () => boolean
  /** Called where the agent's own clean-up fails. */
  readonly onFailure: (error: unknown) => void
}

/** Pulls from an agent until it returns, or nobody waits for more. @throws what the agent throws, and what is wrong with a yield */
export async function pullAgent(
  agent: AsyncIterator<AgentYield, RunOutcome | void>,
  { take, isOver, onFailure }: AgentPullOptions,
): Promise<RunOutcome> {
  for (let count = 1; ; count++) {
    const next = await agent.next()
    if (next.done) return next.value ?? {}
    if (isOver()) {
      await agent.return?.()
      return {}
    }
    try {
      take(next.value)
    } catch (error) {
      // Not awaited: its clean-up is its own, and may take longer than the run.
      agent.return?.().catch(onFailure)
      throw error
    }
    if (count % YIELDS_PER_TURN === 0) await new Promise(setImmediate)
  }
}
