import type { Runnable, RunnableKind } from './runnable.ts'

/** Where a name alone is looked for, in this order. */
const KINDS = ['agent', 'team', 'workflow'] as const satisfies readonly RunnableKind[]

/**
 * What can be run: agents, teams and workflows, each with a name that is unique among its kind. Names come from outside,
 * so they index a Map and never an object.
 */
export class Registry {
  readonly #kinds: ReadonlyMap<RunnableKind, Map<string, Runnable>> = new Map(
    KINDS.map((kind) => [kind, new Map<string, Runnable>()]),
  )

  constructor(runnables: Iterable<Runnable> = []) {
    for (const runnable of runnables) this.add(runnable)
  }

  /** Adds an agent, a team or a workflow; one of the same kind and name is replaced. */
  add(runnable: Runnable): void {
    this.#kinds.get(runnable.info.kind)?.set(runnable.name, runnable)
  }

  /** Takes one out; tells whether it was there. Without a kind, the one that {@link Registry.get} finds. */
  remove(name: string, kind = this.get(name)?.info.kind): boolean {
    return kind !== undefined && this.#kinds.get(kind)?.delete(name) === true
  }

  /**
   * The one of that name, of that kind where one is given; else an agent before a team before a workflow. `team:name`
   * finds a team whose name an agent has, too. Without a name, the first agent that was added.
   */
  get(name?: string, kind?: RunnableKind): Runnable | undefined {
    if (name === undefined) return this.list(kind)[0]
    if (kind) return this.#kinds.get(kind)?.get(name)
    for (const each of KINDS) {
      const found = this.get(name, each)
      if (found) return found
    }
    const qualified = KINDS.find((each) => name.startsWith(`${each}:`))
    return qualified && this.get(name.slice(qualified.length + 1), qualified)
  }

  /** What {@link Registry.get} finds exactly this one by: its name, or `team:name` where that is another one's. */
  refOf({ name, info }: Runnable): string {
    return this.get(name)?.info.kind === info.kind ? name : `${info.kind}:${name}`
  }

  /** All of a kind, in the order they were added; or all there are, agents first. */
  list(kind?: RunnableKind): Runnable[] {
    const kinds = kind ? [kind] : KINDS
    return kinds.flatMap((each) => [...(this.#kinds.get(each)?.values() ?? [])])
  }
}

/** The process-wide registry: agents, teams and workflows join it when they are made. */
export const defaultRegistry = new Registry()
