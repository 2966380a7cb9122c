import { type GoogleProviderSettings, createGoogle } from '@ai-sdk/google'
import { type ModelFactory, modelFactory } from '../model.ts'

/** A Gemini model. The caller's key wins over `apiKey`, and that over `GOOGLE_GENERATIVE_AI_API_KEY`. */
export function google(modelId: string, settings: GoogleProviderSettings = {}): ModelFactory {
  return modelFactory({ modelId, provider: 'google' }, ({ apiKey }) =>
    createGoogle({ ...settings, ...(apiKey !== undefined && { apiKey }) })(modelId),
  )
}
