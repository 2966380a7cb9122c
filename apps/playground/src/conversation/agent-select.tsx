import type { ReactElement } from 'react'
import type { AgentChoice } from './use-agent-choice.ts'

/** Whom a message goes to. Absent where there is nothing to choose. */
export function AgentSelect({ choice }: { readonly choice: AgentChoice }): ReactElement | null {
  const { agents, agent, choose } = choice
  if (agents.length < 2) return null
  return (
    <select
      data-testid="agent"
      aria-label="Agent"
      value={agent}
      onChange={({ target }) => choose(target.value)}
    >
      {agents.map(({ name, description }) => (
        <option key={name} value={name} title={description}>
          {name}
        </option>
      ))}
    </select>
  )
}
