import { type OpenAICompatibleProviderSettings, createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { type ModelFactory, modelFactory } from '../model.ts'

/** Where a server is that speaks OpenAI's chat completions. */
export type OpenAICompatibleSettings = Omit<OpenAICompatibleProviderSettings, 'name'> & {
  /** For listings, and the key of its `providerOptions`. @default 'openai-compatible' */
  readonly name?: string
}

/**
 * The models of a server that speaks OpenAI's chat completions: `openaiCompatible({ baseURL })('some-model')`.
 *
 * The caller's key wins over `apiKey`. Token counts are asked for, unless `includeUsage` says no.
 */
export function openaiCompatible(settings: OpenAICompatibleSettings): (modelId: string) => ModelFactory {
  const { name = 'openai-compatible', ...rest } = settings
  return (modelId) =>
    modelFactory({ modelId, provider: name }, ({ apiKey }) => {
      const own = { ...rest, ...(apiKey !== undefined && { apiKey }) }
      return createOpenAICompatible({ includeUsage: true, ...own, name })(modelId)
    })
}
