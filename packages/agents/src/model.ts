import type { LanguageModelV4 } from '@ai-sdk/provider'
import { GatewayError } from '@turnpike/protocol'
import type { Principal } from './context.ts'
import { modelError } from './model-error.ts'

/** Whose run a model is wanted for. */
export interface ModelRequest {
  readonly principal: Principal
  /** The caller's own key, where one came with the run. */
  readonly apiKey?: string
}

/** Makes the model for one run; `modelId` and `provider` are for listings. */
export interface ModelFactory {
  (request: ModelRequest): LanguageModelV4 | PromiseLike<LanguageModelV4>
  readonly modelId?: string
  readonly provider?: string
}

/** A model of the AI SDK, or what makes one for each run. */
export type Model = LanguageModelV4 | ModelFactory

/** @throws GatewayError `invalid-payload` where it is neither */
export function checkModel(model: Model | undefined): Model {
  if (typeof model === 'function' || model?.specificationVersion === 'v4') return model
  throw new GatewayError(
    'invalid-payload',
    'An agent needs a model of specification "v4", or what makes one.',
  )
}

/**
 * The model of one run.
 *
 * @throws GatewayError `model-failed` | `model-unauthorized` where it cannot be made
 */
export async function modelFor(model: Model, request: ModelRequest): Promise<LanguageModelV4> {
  if (typeof model !== 'function') return model
  try {
    return await model(request)
  } catch (error) {
    throw modelError(error)
  }
}

/** Gives what makes a model its names; for the files of `models/`. */
export function modelFactory(
  names: { readonly modelId: string; readonly provider: string },
  make: (request: ModelRequest) => LanguageModelV4,
): ModelFactory {
  return Object.assign((request: ModelRequest) => make(request), names)
}
