import { type OpenAIProviderSettings, createOpenAI } from '@ai-sdk/openai'
import { type ModelFactory, modelFactory } from '../model.ts'

const OPENAI_URL = 'https://api.openai.com/v1'

/**
 * A model of OpenAI. The caller's key wins over `apiKey`, and that over `OPENAI_API_KEY`.
 *
 * With a base URL, in `settings` or `OPENAI_BASE_URL`, it speaks chat completions: many compatible servers know nothing
 * else.
 */
export function openai(modelId: string, settings: OpenAIProviderSettings = {}): ModelFactory {
  return modelFactory({ modelId, provider: 'openai' }, ({ apiKey }) => {
    // A variable that is set to nothing is not set.
    const baseURL = settings.baseURL ?? (process.env['OPENAI_BASE_URL'] || OPENAI_URL)
    const provider = createOpenAI({ ...settings, baseURL, ...(apiKey !== undefined && { apiKey }) })
    return baseURL === OPENAI_URL ? provider(modelId) : provider.chat(modelId)
  })
}
