import type { LanguageModelV4CallOptions } from '@ai-sdk/provider'
import { type $ZodType, prettifyError, safeParseAsync, toJSONSchema } from 'zod/v4/core'

type ResponseFormat = NonNullable<LanguageModelV4CallOptions['responseFormat']>
type JSONSchema = NonNullable<Extract<ResponseFormat, { type: 'json' }>['schema']>

/** What a schema takes, as JSON Schema for a model: closed objects, since some providers insist. */
export function jsonSchemaOf(schema: $ZodType): JSONSchema {
  const { $schema: _, ...json } = toJSONSchema(schema, {
    target: 'draft-7',
    io: 'input',
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      if (jsonSchema.type === 'object') jsonSchema.additionalProperties ??= false
    },
  })
  // Two libraries' types of one standard.
  return json as JSONSchema
}

/** An answer that has to be JSON of a certain shape. */
export class StructuredOutput {
  readonly responseFormat: ResponseFormat
  readonly #schema: $ZodType

  constructor(schema: $ZodType) {
    this.#schema = schema
    this.responseFormat = { type: 'json', schema: jsonSchemaOf(schema) }
  }

  /** What the answer holds, or what is wrong with it. */
  async check(text: string): Promise<{ output: unknown } | { problem: string }> {
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch {
      return { problem: 'It is not valid JSON.' }
    }
    const checked = await safeParseAsync(this.#schema, json)
    return checked.success ? { output: checked.data } : { problem: prettifyError(checked.error) }
  }
}
