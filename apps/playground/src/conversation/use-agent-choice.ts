import { useCallback, useState } from 'react'
import type { AgentInfo, Message } from '@turnpike/client'
import { useAgents } from '@turnpike/client/react'

export interface AgentChoice {
  readonly agents: readonly AgentInfo[]
  /** The name of the chosen one; empty until the gateway has told which there are. */
  readonly agent: string
  readonly choose: (agent: string) => void
}

/**
 * The agent that messages go to: the one chosen in this thread, else the one that answered last, else the preferred one;
 * while it is served. Otherwise the gateway's first.
 */
export function useAgentChoice(
  threadId: string | undefined,
  messages: readonly Message[],
  preferred: string,
): AgentChoice {
  const { agents } = useAgents()
  const [chosen, setChosen] = useState<{ threadId: string | undefined; agent: string }>()
  const choose = useCallback((agent: string) => setChosen({ threadId, agent }), [threadId])
  const answered = messages.findLast((message) => message.agent !== undefined)?.agent
  const hasChosen = chosen && (chosen.threadId === threadId || chosen.threadId === undefined)
  const wanted = (hasChosen ? chosen.agent : answered) ?? preferred
  const agent = agents.some(({ name }) => name === wanted) ? wanted : (agents[0]?.name ?? '')
  return { agents, agent, choose }
}
