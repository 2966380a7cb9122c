import { Script, createContext } from 'node:vm'
import type { LanguageModelV4FunctionTool } from '@ai-sdk/provider'
import { type OutputUnit, type SchemaDraft, Validator } from '@cfworker/json-schema'
import { GatewayError } from '@turnpike/protocol'
import { isDeeperThan } from '@turnpike/protocol/wire'
import * as z from 'zod/mini'

type Json = LanguageModelV4FunctionTool['inputSchema']

const MAX_CHARS = 32_768
const MAX_DEPTH = 32
const MAX_PATTERN_CHARS = 512
/** Of all patterns: to read one may cost more than its length says. */
const MAX_PATTERNS_CHARS = 2_048
/** Time one check may take, whatever the schema asks for. */
const CHECK_MS = 100
const SHOWN_PROBLEMS = 5

const count = z.optional(z.int().check(z.nonnegative()))
const texts = z.array(z.string())
const Type = z.enum(['null', 'boolean', 'object', 'array', 'number', 'integer', 'string'])
const Pattern = z
  .string()
  .check(
    z.maxLength(MAX_PATTERN_CHARS, `a pattern has at most ${MAX_PATTERN_CHARS} characters`),
    z.refine(isPattern, 'the pattern is no regular expression'),
  )

/** What the names of JSON Schema may hold. Names that are not of the standard are only for who reads them. */
const Subschema: z.ZodMiniType = z.lazy(() => z.union([z.boolean(), ObjectSchema]))
const subschema = z.optional(Subschema)
const byName = z.optional(z.record(z.string(), Subschema))
const list = z.optional(z.array(Subschema).check(z.minLength(1)))
const ObjectSchema = z.pipe(
  z.looseObject({
    $schema: z.optional(z.string()),
    $ref: z.optional(z.string()),
    $anchor: nothing('$anchor'),
    $recursiveRef: nothing('$recursiveRef'),
    $dynamicRef: nothing('$dynamicRef'),
    $defs: byName,
    definitions: byName,
    type: z.optional(z.union([Type, z.array(Type)])),
    enum: z.optional(z.array(z.unknown())),
    not: subschema,
    if: subschema,
    then: subschema,
    else: subschema,
    allOf: list,
    anyOf: list,
    oneOf: list,
    properties: byName,
    patternProperties: z.optional(z.record(Pattern, Subschema)),
    additionalProperties: subschema,
    unevaluatedProperties: subschema,
    propertyNames: subschema,
    required: z.optional(texts),
    minProperties: count,
    maxProperties: count,
    dependentRequired: z.optional(z.record(z.string(), texts)),
    dependentSchemas: byName,
    dependencies: z.optional(z.record(z.string(), z.union([texts, Subschema]))),
    items: z.optional(z.union([Subschema, z.array(Subschema)])),
    prefixItems: list,
    additionalItems: subschema,
    unevaluatedItems: subschema,
    contains: subschema,
    minContains: count,
    maxContains: count,
    minItems: count,
    maxItems: count,
    uniqueItems: z.optional(z.boolean()),
    minimum: z.optional(z.number()),
    maximum: z.optional(z.number()),
    exclusiveMinimum: z.optional(z.number()),
    exclusiveMaximum: z.optional(z.number()),
    multipleOf: z.optional(z.number().check(z.positive())),
    minLength: count,
    maxLength: count,
    pattern: z.optional(Pattern),
    format: z.optional(z.string()),
  }),
  // What it is called elsewhere: nothing may refer to it, and validators resolve references against it.
  z.transform(({ $id: _id, id: _oldId, $schema: _draft, ...rest }: Record<string, unknown>) => rest),
)

/**
 * A JSON Schema that came from outside, for the arguments of a tool.
 *
 * It is interpreted, never compiled to code. It is bounded: 32,768 characters, 32 levels, patterns of 512 characters and
 * of 2,048 together, references within itself alone. What it may cost is bounded too: a pattern that backtracks for ever, or references
 * that branch for ever, end after 100 ms, and then the arguments do not fit.
 */
export class JsonSchema {
  /** As a model gets to see it. */
  readonly json: Json
  readonly #validator: Validator

  /** @throws GatewayError `invalid-payload` where it is no schema of an object, or beyond the bounds */
  constructor(schema: unknown) {
    const copy = copyOf(schema)
    if (patternChars(copy) > MAX_PATTERNS_CHARS) {
      throw invalid(`its patterns have at most ${MAX_PATTERNS_CHARS} characters together`)
    }
    const parsed = z.safeParse(ObjectSchema, copy)
    if (!parsed.success) throw invalid(z.prettifyError(parsed.error))
    const json: Record<string, unknown> = { ...parsed.data, type: parsed.data['type'] ?? 'object' }
    if (json['type'] !== 'object') throw invalid('the arguments of a tool are an object')
    assertReferences(json, json)
    // Two libraries' types of one standard; what either cannot use, it does not look at.
    this.json = json as Json
    try {
      // The validator writes notes into its copy.
      this.#validator = new Validator(structuredClone(json), draftOf(copy))
    } catch (cause) {
      throw invalid('it contradicts itself', cause)
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
  if (text === undefined || !text.startsWith('{')) throw invalid('it has to be a JSON object')
  if (text.length > MAX_CHARS) throw invalid(`it has at most ${MAX_CHARS} characters`)
  const copy: Record<string, unknown> = JSON.parse(text)
  if (isDeeperThan(copy, MAX_DEPTH)) throw invalid(`it is nested at most ${MAX_DEPTH} levels deep`)
  return copy
}

function textOf(schema: unknown): string | undefined {
  try {
    return JSON.stringify(schema)
  } catch (cause) {
    throw invalid('it has to be JSON', cause)
  }
}

function patternChars(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const inside = Object.values(value).reduce((sum: number, inner) => sum + patternChars(inner), 0)
  if (Array.isArray(value)) return inside
  const { pattern, patternProperties } = value as { pattern?: unknown; patternProperties?: unknown }
  const names = typeof patternProperties === 'object' ? Object.keys(patternProperties ?? {}).join('') : ''
  return inside + names.length + (typeof pattern === 'string' ? pattern.length : 0)
}

/** Every reference leads somewhere. */
function assertReferences(value: unknown, root: Record<string, unknown>): void {
  if (typeof value !== 'object' || value === null) return
  const reference: unknown = Array.isArray(value) ? undefined : Reflect.get(value, '$ref')
  if (typeof reference === 'string' && !leadsSomewhere(reference, root)) {
    throw invalid(`${JSON.stringify(reference.slice(0, 80))} leads to nothing in it`)
  }
  for (const inner of Object.values(value)) assertReferences(inner, root)
}

function leadsSomewhere(reference: string, root: Record<string, unknown>): boolean {
  let place: unknown = root
  for (const step of reference.slice(1).split('/').slice(1)) {
    const key = decoded(step)
    if (typeof place !== 'object' || place === null || !Object.hasOwn(place, key)) return false
    place = Reflect.get(place, key)
  }
  const isPointer = reference === '#' || reference.startsWith('#/')
  return isPointer && (typeof place === 'boolean' || (typeof place === 'object' && place !== null))
}

function decoded(step: string): string {
  try {
    return decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')
  } catch {
    return step
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

function isPattern(text: string): boolean {
  try {
    return new RegExp(text, 'u').source !== ''
  } catch {
    return false
  }
}

function nothing(name: string): z.ZodMiniOptional<z.ZodMiniNever> {
  return z.optional(z.never(`"${name}" is not supported`))
}

function invalid(why: string, cause?: unknown): GatewayError {
  return new GatewayError('invalid-payload', `This is no JSON Schema of a tool: ${why}.`, { cause })
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
