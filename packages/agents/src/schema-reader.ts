import { GatewayError } from '@turnpike/protocol'

const MAX_SUBSCHEMAS = 1_000
/** Validators keep the way to each subschema, so one that is far away counts more than once. */
const PLACE_CHARS = 256
const MAX_PATTERN_CHARS = 512
/** Of all patterns: to read one may cost more than its length says. */
const MAX_PATTERNS_CHARS = 2_048
const SHOWN_CHARS = 200
const TYPES: ReadonlySet<unknown> = new Set('null boolean object array number integer string'.split(' '))

type Names = ReadonlySet<string>
interface Kind {
  readonly expected: string
  readonly fits: (value: unknown) => boolean
}

const text: Kind = { expected: 'text', fits: (value) => typeof value === 'string' }
const texts: Kind = { expected: 'a list of texts', fits: (value) => isListOf(value, text.fits) }
const number: Kind = { expected: 'a number', fits: (value) => typeof value === 'number' }
const count: Kind = {
  expected: 'a whole number from 0 on',
  fits: (value) => Number.isSafeInteger(value) && Number(value) >= 0,
}
const type: Kind = {
  expected: `one of ${[...TYPES].join(', ')}, or a list of these`,
  fits: (value) => TYPES.has(value) || isListOf(value, (each) => TYPES.has(each)),
}

/** Keywords with no schema inside. What they hold is data, whatever it looks like. */
const PLAIN: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ...kind(text, 'format $ref'),
  ...kind(texts, 'required'),
  ...kind(count, 'minProperties maxProperties minItems maxItems minContains maxContains minLength maxLength'),
  ...kind(number, 'minimum maximum exclusiveMinimum exclusiveMaximum'),
  ['multipleOf', { expected: 'a number above 0', fits: (value) => number.fits(value) && Number(value) > 0 }],
  ['uniqueItems', { expected: 'true or false', fits: (value) => typeof value === 'boolean' }],
  ['type', type],
  ['enum', { expected: 'a list', fits: Array.isArray }],
  [
    'dependentRequired',
    {
      expected: 'lists of texts by name',
      fits: (value) => isObject(value) && Object.values(value).every(texts.fits),
    },
  ],
  ...kind({ expected: 'anything', fits: () => true }, 'const default examples'),
])
const ONE = names(
  'not if then else additionalProperties unevaluatedProperties propertyNames items additionalItems unevaluatedItems contains',
)
const LIST = names('allOf anyOf oneOf prefixItems')
const BY_NAME = names('$defs definitions properties patternProperties dependentSchemas')
const UNSUPPORTED = names('$anchor $recursiveRef $dynamicRef')
/** What a schema is called elsewhere: nothing may refer to it, and validators resolve references against it. */
const OWN_NAMES = ['$id', 'id', '$schema']

/**
 * Goes once through a JSON Schema, and takes out of it what it is called elsewhere.
 *
 * It ends early, so a schema costs no more than the bounds say: 1,000 subschemas, patterns of 512 characters and of
 * 2,048 together. Names that are not of the standard are only for who reads them, but count as well.
 */
export class SchemaReader {
  readonly #root: Record<string, unknown>
  readonly #seen = new Set<unknown>()
  readonly #references: { readonly reference: string; readonly at: string }[] = []
  #subschemas = 0
  #patternChars = 0

  private constructor(root: Record<string, unknown>) {
    this.#root = root
  }

  /**
   * @returns How many subschemas it has; one more than 256 characters away counts for each 256 of them.
   * @throws GatewayError `invalid-payload` where it is none, or beyond the bounds
   */
  static read(root: Record<string, unknown>): number {
    const reader = new SchemaReader(root)
    reader.#read(root, '#')
    // What is referred to is a schema as well, wherever it stands; there may be references in it.
    for (const { reference, at } of reader.#references) {
      const target = reader.#targetOf(reference, at)
      if (!reader.#seen.has(target)) reader.#read(target, reference)
    }
    return reader.#subschemas
  }

  #read(schema: unknown, at: string): void {
    this.#count(at)
    if (typeof schema === 'boolean') return
    if (!isObject(schema)) throw wrong(at, 'a schema is an object, or true, or false')
    this.#seen.add(schema)
    for (const name of OWN_NAMES) delete schema[name]
    for (const [name, value] of Object.entries(schema)) this.#keyword(name, value, `${at}/${name}`)
  }

  #keyword(name: string, value: unknown, at: string): void {
    if (name === 'pattern') this.#pattern(value, at)
    else if (name === 'items' && Array.isArray(value)) this.#each(value, at)
    else if (ONE.has(name)) this.#read(value, at)
    else if (LIST.has(name)) this.#list(value, at)
    else if (name === 'dependencies') this.#dependencies(value, at)
    else if (BY_NAME.has(name)) this.#byName(name, value, at)
    else if (UNSUPPORTED.has(name)) throw wrong(at, `"${name}" is not supported`)
    else if (PLAIN.has(name)) this.#plain(name, value, at)
    else this.#foreign(value, at)
  }

  #plain(name: string, value: unknown, at: string): void {
    const { fits, expected } = PLAIN.get(name) ?? text
    if (!fits(value)) throw wrong(at, `this is ${expected}`)
    if (name === '$ref') this.#references.push({ reference: String(value), at })
  }

  #list(value: unknown, at: string): void {
    if (!Array.isArray(value) || value.length === 0) throw wrong(at, 'this is a list of schemas')
    this.#each(value, at)
  }

  #each(schemas: readonly unknown[], at: string): void {
    schemas.forEach((schema, index) => this.#read(schema, `${at}/${index}`))
  }

  #byName(keyword: string, value: unknown, at: string): void {
    if (!isObject(value)) throw wrong(at, 'this is an object of schemas')
    for (const [name, schema] of Object.entries(value)) {
      if (keyword === 'patternProperties') this.#pattern(name, at)
      this.#read(schema, `${at}/${name}`)
    }
  }

  #dependencies(value: unknown, at: string): void {
    if (!isObject(value)) throw wrong(at, 'this is an object of schemas, or of lists of texts')
    for (const [name, needed] of Object.entries(value)) {
      if (!texts.fits(needed)) this.#read(needed, `${at}/${name}`)
    }
  }

  #pattern(value: unknown, at: string): void {
    if (typeof value !== 'string') throw wrong(at, 'a pattern is text')
    if (value.length > MAX_PATTERN_CHARS) {
      throw wrong(at, `a pattern has at most ${MAX_PATTERN_CHARS} characters`)
    }
    this.#patternChars += value.length
    if (this.#patternChars > MAX_PATTERNS_CHARS) {
      throw wrong(at, `all patterns together have at most ${MAX_PATTERNS_CHARS} characters`)
    }
    const problem = problemOf(value)
    if (problem !== undefined) throw wrong(at, problem)
  }

  /** A validator looks for schemas here, too. */
  #foreign(value: unknown, at: string): void {
    if (typeof value === 'boolean' || isObject(value)) this.#count(at)
    if (typeof value !== 'object' || value === null) return
    for (const [name, inner] of Object.entries(value)) this.#foreign(inner, `${at}/${name}`)
  }

  #count(at: string): void {
    this.#subschemas += Math.ceil(at.length / PLACE_CHARS)
    if (this.#subschemas > MAX_SUBSCHEMAS) throw notOfTool(`it has at most ${MAX_SUBSCHEMAS} subschemas`)
  }

  #targetOf(reference: string, at: string): unknown {
    const [start, ...steps] = reference.split('/').map(decoded)
    let place: unknown = start === '#' ? this.#root : undefined
    for (const step of steps) {
      place =
        typeof place === 'object' && place && Object.hasOwn(place, step)
          ? Reflect.get(place, step)
          : undefined
    }
    if (typeof place === 'boolean' || isObject(place)) return place
    throw wrong(at, `${JSON.stringify(shown(reference))} leads to no schema in it`)
  }
}

export function notOfTool(why: string, cause?: unknown): GatewayError {
  return new GatewayError('invalid-payload', `This is no JSON Schema of a tool: ${why}.`, { cause })
}

function wrong(at: string, why: string): GatewayError {
  return notOfTool(`${why} (${shown(at)})`)
}

function shown(part: string): string {
  return part.length > SHOWN_CHARS ? `${part.slice(0, SHOWN_CHARS)}…` : part
}

function problemOf(pattern: string): string | undefined {
  try {
    void new RegExp(pattern, 'u')
    return undefined
  } catch (error) {
    const reason = error instanceof Error ? error.message.split(': ').at(-1) : 'Invalid'
    return /escape/i.test(reason ?? '')
      ? `the pattern has an invalid escape: only what means something is escaped, so it is "-" and not "\\-"`
      : `the pattern is no regular expression: ${reason}`
  }
}

function decoded(step: string): string {
  try {
    return decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')
  } catch {
    return step
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isListOf(value: unknown, fits: (each: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(fits)
}

function names(words: string): Names {
  return new Set(words.split(' '))
}

function kind(each: Kind, words: string): [string, Kind][] {
  return words.split(' ').map((word) => [word, each])
}
