import type { ToolDef } from '@turnpike/agents'
import { jsonSchemaOf } from '@turnpike/agents/host'

/** Tools that belong together. */
export interface Toolkit {
  readonly name: string
  readonly tools: readonly ToolDef[]
}

/** A tool as clients get to see it; `parameters` is JSON Schema. */
export interface ListedTool {
  readonly name: string
  readonly description: string
  readonly parameters: object
}

/** The tools that clients may look at; one of the library wins over one of a toolkit of the same name. */
export function listedTools(
  toolkits: readonly Toolkit[] = [],
  library: Readonly<Record<string, ToolDef>> = {},
): ReadonlyMap<string, ListedTool> {
  const named = [
    ...toolkits.flatMap(({ tools }) => tools.map((tool) => [tool.name, tool] as const)),
    ...Object.entries(library),
  ]
  return new Map(named.map(([name, tool]) => [name, listed(name, tool)]))
}

function listed(name: string, { description, parameters }: ToolDef): ListedTool {
  return { name, description, parameters: jsonSchemaOf(parameters) }
}
