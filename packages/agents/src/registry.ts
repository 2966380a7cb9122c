import type { Runnable } from './runnable.ts'

/** What can be run, by name. Names come from outside, so they index a Map and never an object. */
export class Registry {
  readonly #agents = new Map<string, Runnable>()

  constructor(agents: Iterable<Runnable> = []) {
    for (const agent of agents) this.add(agent)
  }

  /** Adds an agent; one of the same name is replaced. */
  add(agent: Runnable): void {
    this.#agents.set(agent.name, agent)
  }

  /** Takes an agent out; tells whether it was there. */
  remove(name: string): boolean {
    return this.#agents.delete(name)
  }

  /** The agent of that name; without a name, the first that was added. */
  get(name?: string): Runnable | undefined {
    return name === undefined ? this.#agents.values().next().value : this.#agents.get(name)
  }

  /** All agents, in the order they were added. */
  list(): Runnable[] {
    return [...this.#agents.values()]
  }
}

/** The process-wide registry: agents join it when they are made. */
export const defaultRegistry = new Registry()
