import { Script, createContext } from 'node:vm'
import type { LanguageModelV4FunctionTool } from '@ai-sdk/provider'
import { type OutputUnit, type SchemaDraft, Validator } from '@cfworker/json-schema'
import { isDeeperThan } from '@turnpike/protocol/wire'
import { SchemaReader, notOfTool } from './schema-reader.ts'

type Json = LanguageModelV4FunctionTool['inputSchema']

const MAX_CHARS = 32_768
const MAX_DEPTH = 32
/** Time one check may take, whatever the schema asks for. */
const CHECK_MS = 100
const SHOWN_PROBLEMS = 5

/**
 * A JSON Schema that came from outside, for the arguments of a tool.
 *
 * It is interpreted, never compiled to code. It is bounded: 32,768 characters, 32 levels, 1,000 subschemas, patterns of
 * 512 characters and of 2,048 together, references within itself alone. What it may cost is bounded too: a pattern that
 * backtracks for ever, or references that branch for ever, end after 100 ms, and then the arguments do not fit.
 */
export class JsonSchema {
  /** As a model gets to see it. */
  readonly json: Json
  /** How many subschemas it has, by what they take: one whose place is long counts more than once. */
  readonly subschemas: number
  readonly #validator: Validator

  /** @throws GatewayError `invalid-payload` where it is no schema of an object, or beyond the bounds */
  constructor(schema: unknown) {
    const copy = copyOf(schema)
    const draft = draftOf(copy)
    this.subschemas = SchemaReader.read(copy)
    const json: Record<string, unknown> = { ...copy, type: copy['type'] ?? 'object' }
    if (json['type'] !== 'object') throw notOfTool('the arguments of a tool are an object')
    // Two libraries' types of one standard; what either cannot use, it does not look at.
    this.json = json as Json
    try {
      // The validator writes notes into its copy. Made like this it costs half of what a structured clone does.
      const copied: Record<string, unknown> = JSON.parse(JSON.stringify(json))
      this.#validator = new Validator(copied, draft)
    } catch (cause) {
      throw notOfTool('it contradicts itself', cause)
    }
  }

  /** What is wrong with a value; nothing where it fits. */
  problemsOf(value: unknown): string | undefined {
    try {
      const { valid, errors } = within(CHECK_MS, () => this.#validator.validate(value))
      return valid ? undefined : told(errors)
    } catch {
      return 'They could not be checked in time, or not at all: the schema of the tool is too complex.'
    }
  }
}

/** The JSON of it, so that nothing which is looked at later can change or answer. */
function copyOf(schema: unknown): Record<string, unknown> {
  const text = textOf(schema)
  if (text === undefined || !text.startsWith('{')) throw notOfTool('it has to be a JSON object')
  if (text.length > MAX_CHARS) throw notOfTool(`it has at most ${MAX_CHARS} characters`)
  const copy: Record<string, unknown> = JSON.parse(text)
  if (isDeeperThan(copy, MAX_DEPTH)) throw notOfTool(`it is nested at most ${MAX_DEPTH} levels deep`)
  return copy
}

function textOf(schema: unknown): string | undefined {
  try {
    return JSON.stringify(schema)
  } catch (cause) {
    throw notOfTool('it has to be JSON', cause)
  }
}

function draftOf({ $schema }: Record<string, unknown>): SchemaDraft {
  return typeof $schema === 'string' && /draft-0[67]/.test($schema) ? '7' : '2020-12'
}

function told(errors: readonly OutputUnit[]): string {
  // The innermost ones say what is wrong; those around them, only that something is.
  const inner = errors.filter(({ error }) => !/^A subschema had errors|does not match schema\.$/.test(error))
  const lines = (inner.length > 0 ? inner : errors).map(
    ({ instanceLocation, error }) => `✖ ${error} (${instanceLocation})`,
  )
  return [...new Set(lines)].slice(0, SHOWN_PROBLEMS).join('\n')
}

const room: { work?: (() => void) | undefined } = createContext({})
const script = new Script('work()')

/**
 * Does synchronous work that may take for ever, and ends it after so long.
 *
 * The script is constant: what it is for is the engine's own deadline, the only one that reaches into a regular
 * expression.
 *
 * @throws Error once the time is up; what the work throws
 */
function within<Result>(ms: number, work: () => Result): Result {
  let result: { value: Result } | undefined
  room.work = () => {
    result = { value: work() }
  }
  try {
    script.runInContext(room, { timeout: ms })
  } finally {
    room.work = undefined
  }
  if (!result) throw new Error('The work was not done.')
  return result.value
}
