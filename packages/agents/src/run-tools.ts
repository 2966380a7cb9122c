import { createHash } from 'node:crypto'
import type { LanguageModelV4FunctionTool } from '@ai-sdk/provider'
import { GatewayError } from '@turnpike/protocol'
import { jsonSchemaOf } from './parameters.ts'
import type { RemoteTool, RemoteTools } from './remote-tools.ts'
import type { ToolDef } from './tool.ts'

/** What providers take: names of so many characters, and so many tools. */
const NAME_CHARS = 64
const MAX_TOOLS = 128
const HASH_CHARS = 8

export interface RunToolsOptions {
  readonly own: ReadonlyMap<string, ToolDef>
  readonly functions: readonly LanguageModelV4FunctionTool[]
  readonly patterns: readonly string[]
  readonly remote: RemoteTools | undefined
  /** By `entity.tool`, what the model calls it. Names that are given are added to it; it is kept with the run. */
  readonly names: Record<string, string>
  /** Names that are given to nobody else. */
  readonly reserved?: readonly string[]
}

/**
 * The tools of one run: those of its agent, and those of entities, which come and go while it runs.
 *
 * A name that the model has seen means one tool for the whole run, even where that has gone and another one of a
 * similar name has come.
 */
export class RunTools {
  readonly #options: RunToolsOptions
  readonly #own: readonly LanguageModelV4FunctionTool[]
  /** The tools of entities by the names that the model has seen, and the names that are taken. */
  readonly #meanings: Map<string, string>
  readonly #taken: Set<string>
  #remote: ReadonlyMap<string, ToolDef> = new Map()

  constructor(options: RunToolsOptions) {
    const { own, functions, names, reserved = [] } = options
    this.#options = options
    this.#meanings = new Map(Object.entries(names).map(([whole, name]) => [name, whole]))
    this.#taken = new Set([...own.keys(), ...this.#meanings.keys(), ...reserved])
    this.#own = functions.filter(({ name }) => !this.#meanings.has(name))
    this.refresh()
  }

  /** Looks who is there now, for the step that comes, and gives the tools as the model is told of them. */
  refresh(): readonly LanguageModelV4FunctionTool[] {
    const { patterns, remote } = this.#options
    if (!remote || patterns.length === 0) return this.#own
    const room = Math.max(0, MAX_TOOLS - this.#own.length)
    const found = remote.list(patterns).slice(0, room)
    this.#remote = new Map(found.map((tool) => [this.#nameOf(tool), definitionOf(tool)]))
    return [...this.#own, ...[...this.#remote].map(([name, tool]) => functionOf({ ...tool, name }))]
  }

  /** The tool of that name, as of the step that goes on. @throws GatewayError `entity-gone` where there was one */
  get(name: string): ToolDef | undefined {
    const meaning = this.#meanings.get(name)
    if (meaning === undefined) return this.#options.own.get(name)
    const tool = this.#remote.get(name)
    if (tool) return tool
    throw new GatewayError('entity-gone', `${JSON.stringify(meaning)} is not there any more.`)
  }

  #nameOf({ entity, name }: RemoteTool): string {
    const { names } = this.#options
    const whole = `${entity}.${name}`
    const known = names[whole]
    if (known !== undefined) return known
    const given = uniqueName(`${entity}_${name}`, whole, this.#taken)
    names[whole] = given
    this.#meanings.set(given, whole)
    this.#taken.add(given)
    return given
  }
}

/** A tool as the model is told of it. */
export function functionOf({ name, description, parameters }: ToolDef): LanguageModelV4FunctionTool {
  return { type: 'function', name, description, inputSchema: jsonSchemaOf(parameters) }
}

/** A name that every provider takes. Where it would be another tool's, it tells itself apart by a hash of its own. */
function uniqueName(name: string, whole: string, taken: ReadonlySet<string>): string {
  const plain = name.replace(/[^\w-]/g, '_').replace(/^(?=[^a-z_])/i, '_')
  if (plain.length <= NAME_CHARS && !taken.has(plain)) return plain
  const hash = createHash('sha256').update(whole).digest('hex').slice(0, HASH_CHARS)
  const start = plain.slice(0, NAME_CHARS - HASH_CHARS - 1)
  let unique = `${start}_${hash}`
  for (let count = 2; taken.has(unique); count++) unique = `${start.slice(0, -4)}${count}_${hash}`
  return unique
}

function definitionOf(tool: RemoteTool): ToolDef {
  const { description, parameters, needsApproval } = tool
  return {
    name: `${tool.entity}.${tool.name}`,
    description,
    parameters,
    needsApproval,
    execute: (args, { toolCallId, runId, threadId, principal, signal }) =>
      tool.call(args, { toolCallId, runId, threadId, user: principal.id, signal }),
  }
}
