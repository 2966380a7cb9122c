import type { LanguageModelV4CallOptions } from '@ai-sdk/provider'
import { type $ZodType, prettifyError, safeParseAsync } from 'zod/v4/core'
import { jsonSchemaOf } from './parameters.ts'

type ResponseFormat = NonNullable<LanguageModelV4CallOptions['responseFormat']>

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
