import { type AnthropicProviderSettings, createAnthropic } from '@ai-sdk/anthropic'
import { type ModelFactory, modelFactory } from '../model.ts'

/** A model of Anthropic. The caller's key wins over `apiKey`, and that over `ANTHROPIC_API_KEY`. */
export function anthropic(modelId: string, settings: AnthropicProviderSettings = {}): ModelFactory {
  return modelFactory({ modelId, provider: 'anthropic' }, ({ apiKey }) => {
    const { authToken, ...rest } = settings
    // Only one of the two may be there.
    const credentials = apiKey !== undefined ? { apiKey } : authToken !== undefined ? { authToken } : {}
    return createAnthropic({ ...rest, ...credentials })(modelId)
  })
}
