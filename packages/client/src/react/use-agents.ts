import { useMemo, useSyncExternalStore } from 'react'
import type { AgentList, AgentListState } from './agent-list.ts'
import { useRegistry } from './provider.tsx'

/** The agents that can be talked to. */
export function useAgents(): AgentListState & Pick<AgentList, 'reload'> {
  const { agents } = useRegistry()
  const state = useSyncExternalStore(agents.onChange, agents.getState, agents.getInitial)
  return useMemo(() => ({ ...state, reload: agents.reload }), [agents, state])
}
