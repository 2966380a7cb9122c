import type { Runnable } from '@turnpike/agents'

/** Agents by the names that clients call them; the first one is the default. */
export class ChatAgents {
  readonly #agents: ReadonlyMap<string, Runnable>

  constructor(agents: Readonly<Record<string, Runnable>>) {
    this.#agents = new Map(Object.entries(agents).map(([name, agent]) => [name, called(name, agent)]))
  }

  /** The one of that name; without a name, the first. */
  readonly find = (name?: string): Runnable | undefined =>
    name === undefined ? this.list()[0] : this.#agents.get(name)

  list(): readonly Runnable[] {
    return [...this.#agents.values()]
  }
}

/** An agent as its clients know it, in events, too; what it calls itself is its own affair. */
function called(name: string, agent: Runnable): Runnable {
  if (agent.name === name) return agent
  return { name, info: { ...agent.info, name }, run: (input, context) => agent.run(input, context) }
}
