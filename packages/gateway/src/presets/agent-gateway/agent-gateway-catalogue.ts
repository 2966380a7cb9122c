import { type Runnable, type RunnableInfo, Registry, defaultRegistry } from '@turnpike/agents'

type Kind = RunnableInfo['kind']

/** What one gateway serves: what it was given, and what a registry has. */
export interface Served {
  readonly agents?: Readonly<Record<string, Runnable>> | undefined
  readonly teams?: Readonly<Record<string, Runnable>> | undefined
  readonly workflows?: Readonly<Record<string, Runnable>> | undefined
  /** Anything of any kind, under its own name. */
  readonly serve?: readonly Runnable[] | undefined
  /**
   * Looked at with each request, so what joins it later is reachable at once; `false` serves only what was given.
   *
   * @default the process-wide registry
   */
  readonly registry?: Registry | false | undefined
}

/**
 * Agents, teams and workflows, each kind with names of its own. What was given under a name comes before what only
 * calls itself so.
 */
export class Catalogue {
  readonly #given: Readonly<Record<Kind, Map<string, Runnable>>>
  readonly #registry: Registry

  constructor({ agents = {}, teams = {}, workflows = {}, serve = [], registry = defaultRegistry }: Served) {
    this.#given = {
      agent: new Map(Object.entries(agents)),
      team: new Map(Object.entries(teams)),
      workflow: new Map(Object.entries(workflows)),
    }
    for (const runnable of serve) {
      const { kind } = runnable.info
      if (!this.#given[kind].has(runnable.name)) this.#given[kind].set(runnable.name, runnable)
    }
    this.#registry = registry === false ? new Registry() : registry
  }

  /** What a client knows by that name. */
  find(kind: Kind, name: string): Runnable | undefined {
    return this.#given[kind].get(name) ?? this.#registry.get(name, kind)
  }

  /** What calls itself so, whatever it is: for runs of an earlier process, of which only that is known. */
  findByOwnName(name: string): Runnable | undefined {
    const given = Object.values(this.#given).flatMap((runnables) => [...runnables.values()])
    return new Registry(given.toReversed()).get(name) ?? this.#registry.get(name)
  }

  /** All of a kind by the names that clients know, the given ones first. */
  list(kind: Kind): ReadonlyMap<string, Runnable> {
    const registered = this.#registry.list(kind).map((runnable) => [runnable.name, runnable] as const)
    return new Map([...this.#given[kind], ...registered.filter(([name]) => !this.#given[kind].has(name))])
  }
}
