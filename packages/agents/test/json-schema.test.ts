import { GatewayError } from '@turnpike/protocol'
import { expect, test } from 'vitest'
import { JsonSchema } from '../src/json-schema.ts'
import { jsonSchemaTool } from '../src/tool.ts'
import { call, calls, says } from './scripted-model.ts'
import { play } from './run-agent.ts'

const ORDER = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  $id: 'https://shop.example/order.json',
  type: 'object',
  properties: {
    order: { type: 'string', pattern: '^[A-Z]\\d+$' },
    lines: { type: 'array', items: { $ref: '#/definitions/line' }, maxItems: 3 },
  },
  required: ['order'],
  additionalProperties: false,
  definitions: { line: { type: 'object', properties: { count: { type: 'integer', minimum: 1 } } } },
}

function refusal(schema: unknown): GatewayError {
  try {
    new JsonSchema(schema)
  } catch (error) {
    if (error instanceof GatewayError) return error
  }
  throw new Error('It was taken.')
}

function nested(depth: number): object {
  let schema: object = { type: 'string' }
  for (let i = 0; i < depth; i++) schema = { type: 'array', items: schema }
  return { type: 'object', properties: { deep: schema } }
}

function named(count: number, schema: unknown): Record<string, unknown> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [i.toString(36), schema]))
}

test('a schema says what does not fit, and where', () => {
  const schema = new JsonSchema(ORDER)
  expect(schema.problemsOf({ order: 'A1', lines: [{ count: 2 }] })).toBeUndefined()
  expect(schema.problemsOf({ order: 'a1' })).toContain('#/order')
  expect(schema.problemsOf({ order: 'A1', lines: [{ count: 0 }] })).toContain('#/lines/0/count')
  expect(schema.problemsOf({ order: 'A1', more: 1 })).toContain('more')
  expect(schema.problemsOf({})).toContain('order')
  expect(schema.problemsOf('A1')).toContain('object')
})

test('a model sees the schema without what it is called elsewhere', () => {
  const { $schema: _, $id: __, ...rest } = ORDER
  expect(new JsonSchema(ORDER).json).toEqual(rest)
  expect(new JsonSchema({}).json).toEqual({ type: 'object' })
})

test('the schema given is neither changed nor looked at again', () => {
  const schema = structuredClone(ORDER)
  const checked = new JsonSchema(schema)
  expect(schema).toEqual(ORDER)
  schema.required = []
  expect(checked.problemsOf({})).toBeDefined()
})

test('names that every object inherits are names like any other', () => {
  const schema = new JsonSchema({
    type: 'object',
    properties: { constructor: { type: 'string' }, toString: { type: 'number' } },
    required: ['constructor'],
  })
  expect(schema.problemsOf({})).toContain('constructor')
  expect(schema.problemsOf({ constructor: 'c' })).toBeUndefined()
  expect(schema.problemsOf(JSON.parse('{"constructor":"c","__proto__":{"toString":1}}'))).toBeUndefined()
})

test.each([
  ['text', 'type: object'],
  ['a list', []],
  ['nothing', undefined],
  ['a boolean', true],
  ['another type than an object', { type: 'array' }],
  ['a type that there is not', { type: 'object', properties: { a: { type: 'thing' } } }],
  ['properties that are none', { properties: 'many' }],
  ['a list of required names that is none', { required: 5 }],
  ['a limit that is no number', { properties: { a: { minLength: '3' } } }],
  ['a pattern that is none', { properties: { a: { pattern: '(' } } }],
  ['a pattern that is too long', { properties: { a: { pattern: 'a'.repeat(513) } } }],
  [
    'patterns that are too many',
    {
      properties: Object.fromEntries(Array.from({ length: 9 }, (_, i) => [i, { pattern: 'a'.repeat(250) }])),
    },
  ],
  [
    'names by pattern that are too many',
    {
      patternProperties: Object.fromEntries(
        Array.from({ length: 9 }, (_, i) => [`${i}${'a'.repeat(250)}`, {}]),
      ),
    },
  ],
  ['a name by pattern that is none', { patternProperties: { '(': {} } }],
  ['a reference to elsewhere', { properties: { a: { $ref: 'https://evil.example/schema.json' } } }],
  ['a reference to a file', { properties: { a: { $ref: 'other.json#/a' } } }],
  ['a reference to another schema', { properties: { a: { $ref: 'other.json' } } }],
  ['a reference to a place that is here, too', { properties: { a: { $ref: 'other.json/properties/a' } } }],
  ['a reference to an anchor', { properties: { a: { $ref: '#a' } } }],
  ['a reference to nothing', { properties: { a: { $ref: '#/$defs/none' } } }],
  ['a reference to what every object inherits', { properties: { a: { $ref: '#/constructor' } } }],
  ['a reference to something that is no schema', { properties: { a: { $ref: '#/properties/a/$ref' } } }],
  ['a reference to what stands elsewhere and is none', { $ref: '#/more/a', more: { a: { type: 'thing' } } }],
  ['more subschemas than there may be', { properties: named(1_000, {}) }],
  ['more subschemas where validators look, too', { more: named(1_000, {}) }],
  ['more true and false than there may be', { properties: named(1_000, true) }],
  [
    'subschemas that are far away',
    { properties: { [`${'a'.repeat(2_000)}`]: { properties: named(150, {}) } } },
  ],
  ['a dynamic reference', { properties: { a: { $dynamicRef: '#a' } } }],
  ['more characters than there may be', { description: 'a'.repeat(32_768) }],
  ['more levels than there may be', nested(40)],
  ['a cycle', Object.assign({}, ...[{}].map((cycle) => Object.assign(cycle, { not: cycle })))],
  ['something that is not JSON', { maxItems: 3n }],
])('%s is refused', (_what, schema) => {
  expect(refusal(schema).code).toBe('invalid-payload')
})

test.each([
  [{ pattern: 5 }, 'a pattern is text (#/properties/a/pattern)'],
  [{ pattern: '(' }, 'Unterminated group (#/properties/a/pattern)'],
  [{ pattern: String.raw`^\d{4}\-\d{2}$` }, String.raw`it is "-" and not "\-" (#/properties/a/pattern)`],
  [{ type: 'thing' }, 'one of null, boolean, object'],
  [{ exclusiveMinimum: true }, 'this is a number (#/properties/a/exclusiveMinimum)'],
  [{ allOf: [{}, { not: 5 }] }, 'true, or false (#/properties/a/allOf/1/not)'],
  [{ $anchor: 'a' }, '"$anchor" is not supported (#/properties/a/$anchor)'],
  [{ $ref: '#/none' }, '"#/none" leads to no schema in it (#/properties/a/$ref)'],
])('a refusal of %j says what is wrong, and where', (schema, why) => {
  expect(refusal({ properties: { a: schema } }).message).toContain(why)
})

test('a refusal of a pattern that is too long says how long one may be', () => {
  const { message } = refusal({ properties: { a: { pattern: 'a'.repeat(513) } } })
  expect(message).toContain('a pattern has at most 512 characters (#/properties/a/pattern)')
})

test('a refusal is short, however long what it is about', () => {
  const { message } = refusal({ properties: { ['a'.repeat(9_000)]: { $ref: `#/${'b'.repeat(9_000)}` } } })
  expect(message.length).toBeLessThan(600)
})

test.each(['default', 'const', 'examples', 'example', 'description'])(
  'what %s holds is data, whatever it looks like',
  (keyword) => {
    const data = keyword === 'description' ? 'a $ref' : { $ref: 'x', pattern: '(', type: 'thing', id: 'y' }
    const value = keyword === 'examples' ? [data] : data
    const schema = { type: 'object', properties: { a: { [keyword]: value } } }
    expect(new JsonSchema(schema).json).toEqual(schema)
    expect(new JsonSchema(schema).problemsOf({ a: data })).toBeUndefined()
  },
)

test('a list of values may hold what looks like a reference', () => {
  const schema = new JsonSchema({ properties: { a: { enum: [{ $ref: 'x' }, null] } } })
  expect(schema.problemsOf({ a: { $ref: 'x' } })).toBeUndefined()
  expect(schema.problemsOf({ a: {} })).toBeDefined()
})

test('properties may be called what a schema is called by', () => {
  const schema = { type: 'object', properties: { id: { type: 'string' }, $id: {}, $ref: {}, pattern: {} } }
  expect(new JsonSchema(schema).json).toEqual(schema)
  expect(new JsonSchema(schema).problemsOf({ id: 5 })).toContain('#/id')
})

test('a schema counts its subschemas', () => {
  expect(new JsonSchema({}).subschemas).toBe(1)
  expect(new JsonSchema({ properties: named(999, {}) }).subschemas).toBe(1_000)
  const all = { items: [{}, true], dependencies: { a: ['b'], b: {} }, anyOf: [{}], not: {}, enum: [{}, {}] }
  expect(new JsonSchema({ properties: { a: all } }).subschemas).toBe(7)
})

test.each([
  [
    'a pattern that backtracks for ever',
    { properties: { a: { pattern: '^(a+)+$' } } },
    { a: `${'a'.repeat(60)}!` },
  ],
  [
    'branches without end',
    {
      $ref: '#/$defs/0',
      $defs: Object.fromEntries(
        Array.from({ length: 40 }, (_, i) => [
          i,
          i === 39
            ? { type: 'string' }
            : { anyOf: [{ $ref: `#/$defs/${i + 1}` }, { $ref: `#/$defs/${i + 1}` }] },
        ]),
      ),
    },
    {},
  ],
  ['a reference to itself', { $ref: '#' }, {}],
  [
    'a list of distinct items that is long',
    { properties: { a: { uniqueItems: true } } },
    { a: Array.from({ length: 60_000 }, (_, i) => ({ i })) },
  ],
])('%s costs a moment, and the arguments do not fit', (_what, schema, args) => {
  expect(new JsonSchema(schema).problemsOf(args)).toContain('too complex')
})

test('a model gets to know what is wrong with its arguments, and calls again', async () => {
  const seen: unknown[] = []
  const find = jsonSchemaTool({
    name: 'find',
    description: 'Finds an order',
    parameters: ORDER,
    execute: (args) => {
      seen.push(args)
      return 'found'
    },
  })
  const { stage, model } = await play(
    [find],
    calls(call('1', 'find', { order: 'nope' })),
    calls(call('2', 'find', { order: 'B2' })),
    says('Done.'),
  )
  expect(stage.of('tool-call-error')).toMatchObject([
    { toolCallId: '1', error: { code: 'invalid-arguments' } },
  ])
  expect(stage.of('tool-call-result')).toMatchObject([{ toolCallId: '2', result: 'found' }])
  expect(seen).toEqual([{ order: 'B2' }])
  expect(model.asked[0]?.tools).toMatchObject([{ name: 'find', inputSchema: { type: 'object' } }])
})
