import { type Runnable, Registry } from '@turnpike/agents'

/** What is served: one agent, several by the names that clients use or by their own, or whatever a registry has. */
export type ServedAgents = Runnable | Readonly<Record<string, Runnable>> | Iterable<Runnable> | Registry

/** Agents by the names that clients call them; the first one is the default. */
export class ChatAgents {
  readonly #list: () => readonly Runnable[]
  readonly #get: (name: string) => Runnable | undefined

  /** What a gateway serves, for the other wires. */
  readonly source: Registry | Iterable<Runnable>

  /** @param agents - A registry is looked at with each request, so what joins it later is reachable at once. */
  constructor(agents: ServedAgents) {
    if (agents instanceof Registry) {
      this.source = agents
      this.#list = () => agents.list()
      this.#get = (name) => agents.get(name)
      return
    }
    const named = namedIn(agents)
    const list = [...named.values()]
    this.source = list
    this.#list = () => list
    this.#get = (name) => named.get(name)
  }

  /** The one of that name; without a name, the first. */
  readonly find = (name?: string): Runnable | undefined =>
    name === undefined ? this.list()[0] : this.#get(name)

  list(): readonly Runnable[] {
    return this.#list()
  }
}

function namedIn(agents: Exclude<ServedAgents, Registry>): ReadonlyMap<string, Runnable> {
  if (isRunnable(agents)) return new Map([[agents.name, agents]])
  if (isIterable(agents)) return new Map([...agents].map((agent) => [agent.name, agent]))
  return new Map(Object.entries(agents).map(([name, agent]) => [name, called(name, agent)]))
}

function isRunnable(agents: Exclude<ServedAgents, Registry>): agents is Runnable {
  return 'run' in agents && typeof agents.run === 'function'
}

function isIterable(agents: object): agents is Iterable<Runnable> {
  return Symbol.iterator in agents
}

const renamed = new WeakMap<Runnable, Map<string, Runnable>>()

/**
 * An agent as its clients know it, in events, too; what it calls itself is its own affair. The same agent under the same
 * name is the same everywhere.
 */
function called(name: string, agent: Runnable): Runnable {
  if (agent.name === name) return agent
  const names = renamed.get(agent) ?? new Map<string, Runnable>()
  renamed.set(agent, names)
  const known = names.get(name)
  if (known) return known
  const made: Runnable = {
    name,
    info: { ...agent.info, name },
    run: (input, context) => agent.run(input, context),
    ...(agent.callTool && { callTool: agent.callTool.bind(agent) }),
  }
  names.set(name, made)
  return made
}
