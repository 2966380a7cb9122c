import type { LanguageModelV4FunctionTool } from '@ai-sdk/provider'
import { type $ZodType, prettifyError, safeParseAsync, toJSONSchema } from 'zod/v4/core'
import { JsonSchema } from './json-schema.ts'

type JsonSchemaObject = LanguageModelV4FunctionTool['inputSchema']

/** What a tool takes: a zod schema, or a JSON Schema that was looked through. */
export type ToolParameters = $ZodType | JsonSchema

/** What a schema takes, as JSON Schema for a model: of zod's, closed objects, since some providers insist. */
export function jsonSchemaOf(schema: ToolParameters): JsonSchemaObject {
  if (schema instanceof JsonSchema) return schema.json
  const { $schema: _, ...json } = toJSONSchema(schema, {
    target: 'draft-7',
    io: 'input',
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      if (jsonSchema.type === 'object') jsonSchema.additionalProperties ??= false
    },
  })
  // Two libraries' types of one standard.
  return json as JsonSchemaObject
}

/** The arguments as the schema makes them, or what is wrong with them. */
export async function checkArguments(
  schema: ToolParameters,
  args: unknown,
): Promise<{ readonly args: unknown } | { readonly problems: string }> {
  if (schema instanceof JsonSchema) {
    const problems = schema.problemsOf(args)
    return problems === undefined ? { args } : { problems }
  }
  const checked = await safeParseAsync(schema, args)
  return checked.success ? { args: checked.data } : { problems: prettifyError(checked.error) }
}
