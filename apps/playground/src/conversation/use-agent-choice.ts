import { useState } from 'react'
import type { AgentInfo } from '@turnpike/client'
import { useAgents } from '@turnpike/client/react'

export interface AgentChoice {
  readonly agents: readonly AgentInfo[]
  /** The name of the chosen one; empty until the gateway has told which there are. */
  readonly agent: string
  readonly choose: (agent: string) => void
}

/** The agent that messages go to: the chosen one while it is served, the gateway's first otherwise. */
export function useAgentChoice(preferred: string): AgentChoice {
  const { agents } = useAgents()
  const [chosen, choose] = useState(preferred)
  const agent = agents.some(({ name }) => name === chosen) ? chosen : (agents[0]?.name ?? '')
  return { agents, agent, choose }
}
