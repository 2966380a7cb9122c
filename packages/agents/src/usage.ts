import type { LanguageModelV4Usage } from '@ai-sdk/provider'
import * as z from 'zod/mini'
import { isJsonObject } from './tool-result.ts'

/** What a run has used so far; `providerMetrics` is the provider's own usage object, added up over the steps. */
export const RunUsage = z.object({
  inputTokens: z.number(),
  outputTokens: z.number(),
  providerMetrics: z.optional(z.unknown()),
})
export type RunUsage = z.infer<typeof RunUsage>

export function usageOf(usage: LanguageModelV4Usage): RunUsage {
  return {
    inputTokens: usage.inputTokens.total ?? 0,
    outputTokens: usage.outputTokens.total ?? 0,
    ...(usage.raw !== undefined && { providerMetrics: usage.raw }),
  }
}

export function addUsage(left: RunUsage, right: RunUsage): RunUsage {
  const providerMetrics = addMetrics(left.providerMetrics, right.providerMetrics)
  return {
    inputTokens: left.inputTokens + right.inputTokens,
    outputTokens: left.outputTokens + right.outputTokens,
    ...(providerMetrics !== undefined && { providerMetrics }),
  }
}

/** Numbers add up at any depth; of anything else the later one stays. */
function addMetrics(left: unknown, right: unknown): unknown {
  if (typeof left === 'number' && typeof right === 'number') return left + right
  if (!isJsonObject(left) || !isJsonObject(right)) return right ?? left
  const added = Object.entries(right).map(([name, value]) => [name, addMetrics(left[name], value)])
  return { ...left, ...Object.fromEntries(added) }
}
