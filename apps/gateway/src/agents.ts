import { type Model, type Runnable, createAgent } from '@turnpike/agents'
import { showcaseAgent } from './showcase-agent.ts'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The agents that `turnpike serve` has: `demo`, the default, talks plainly; `showcase` uses all there is.
 *
 * Their model is the offline demo model; or a real one, where there is `OPENAI_BASE_URL` with `OPENAI_MODEL`, or
 * `OPENAI_API_KEY`, or `ANTHROPIC_API_KEY`. The first of them counts. `DEMO_TOKENS_PER_SECOND` is the pace of the demo
 * model, 0 as fast as possible.
 *
 * @throws Error where the environment is not complete
 */
export async function agentsFrom(env: Environment): Promise<readonly Runnable[]> {
  const model = await modelFrom(env)
  return [talkingAgent(model), showcaseAgent(model)]
}

function talkingAgent(model: Model): Runnable {
  return createAgent({
    name: 'demo',
    description: 'Talks plainly. Ask it for a long story.',
    model,
    instructions: 'You are a friendly conversation partner. Answer in plain words.',
    register: false,
  })
}

/** Loads the library of one provider, and of no other. */
async function modelFrom(env: Environment): Promise<Model> {
  const baseURL = env['OPENAI_BASE_URL']
  const apiKey = env['OPENAI_API_KEY']
  const modelId = env['OPENAI_MODEL']
  if (baseURL && modelId) {
    const { openaiCompatible } = await import('@turnpike/agents/openai-compatible')
    return openaiCompatible({ baseURL, ...(apiKey && { apiKey }) })(modelId)
  }
  if (apiKey) {
    const { openai } = await import('@turnpike/agents/openai')
    return openai(modelId || 'gpt-4o-mini')
  }
  if (env['ANTHROPIC_API_KEY']) {
    const { anthropic } = await import('@turnpike/agents/anthropic')
    return anthropic(env['ANTHROPIC_MODEL'] || 'claude-sonnet-5-5')
  }
  if (baseURL)
    throw new Error('OPENAI_BASE_URL needs OPENAI_MODEL: the name of a model that is served there.')
  const { demoModel } = await import('@turnpike/agents/demo')
  return demoModel({ tokensPerSecond: paceFrom(env['DEMO_TOKENS_PER_SECOND'] || '40') })
}

function paceFrom(text: string): number {
  const tokensPerSecond = Number(text)
  if (tokensPerSecond >= 0) return tokensPerSecond
  throw new Error(`DEMO_TOKENS_PER_SECOND must be a number from 0, got "${text}".`)
}
