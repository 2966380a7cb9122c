/** What the page shows of an agent. */
export interface AgentInfo {
  readonly name: string
  readonly description?: string
}

/** The agents that can be talked to; the first is the default. Nothing where the server does not answer. */
export async function listAgents(): Promise<readonly AgentInfo[] | undefined> {
  try {
    const response = await fetch('/agents', { signal: AbortSignal.timeout(5_000) })
    if (!response.ok) return undefined
    const { agents } = (await response.json()) as { agents: readonly AgentInfo[] }
    return agents
  } catch {
    // The picker stays hidden; the server's default answers.
    return undefined
  }
}
