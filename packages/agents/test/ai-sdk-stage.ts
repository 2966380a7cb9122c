import type { LanguageModelV4CallOptions, LanguageModelV4StreamPart } from '@ai-sdk/provider'
import { type ToolLoopAgentSettings, type ToolSet, ToolLoopAgent, jsonSchema, tool } from 'ai'
import { MockLanguageModelV4, convertArrayToReadableStream } from 'ai/test'
import { expect } from 'vitest'
import type { RunContext, RunInput, RunOutcome, Runnable } from '@turnpike/agents'
import { type ApprovalDecision, type ApprovalRequest, inRun } from '@turnpike/agents/host'
import { fromAISDKAgent } from '@turnpike/agents/ai-sdk'
import { type AgentEvent, type Message, type MessagePart, GatewayError } from '@turnpike/protocol'

export type Part = LanguageModelV4StreamPart
type Plan = (options: LanguageModelV4CallOptions, call: number) => ReadableStream<Part> | Part[]
export type FinishUnified = Extract<Part, { type: 'finish' }>['finishReason']['unified']
export type ToolLoopSettings = ToolLoopAgentSettings<never, ToolSet>

export const cityInput = jsonSchema<{ city: string }>({
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
})

export function finish(unified: FinishUnified, input = 10, output = 5): Part {
  return {
    type: 'finish',
    finishReason: { unified, raw: unified },
    usage: {
      inputTokens: { total: input, noCache: input, cacheRead: 0, cacheWrite: 0 },
      outputTokens: { total: output, text: output, reasoning: 0 },
    },
  }
}

export function say(...words: string[]): Part[] {
  return [
    { type: 'stream-start', warnings: [] },
    { type: 'text-start', id: 't' },
    ...words.map((delta): Part => ({ type: 'text-delta', id: 't', delta })),
    { type: 'text-end', id: 't' },
    finish('stop'),
  ]
}

export function call(toolName: string, input: string, toolCallId = 'c1'): Part[] {
  return [
    { type: 'tool-input-start', id: toolCallId, toolName },
    { type: 'tool-input-delta', id: toolCallId, delta: input.slice(0, 3) },
    { type: 'tool-input-delta', id: toolCallId, delta: input.slice(3) },
    { type: 'tool-input-end', id: toolCallId },
    { type: 'tool-call', toolCallId, toolName, input },
  ]
}

export const calls = (...parts: Part[][]): Part[] => [...parts.flat(), finish('tool-calls')]

export function mockModel(plan: Plan): MockLanguageModelV4 {
  let count = 0
  return new MockLanguageModelV4({
    modelId: 'mock-1',
    provider: 'mock',
    doStream: async (options) => {
      const parts = plan(options, count++)
      return { stream: Array.isArray(parts) ? convertArrayToReadableStream(parts) : parts }
    },
  })
}

/** Answers with each of the given turns in order. */
export const turns = (...list: Part[][]): MockLanguageModelV4 =>
  mockModel((_, count) => list[count] ?? say('…'))

export function serve(settings: Omit<ToolLoopSettings, 'onError'>): Runnable {
  const agent = new ToolLoopAgent({ maxRetries: 0, onError: () => {}, ...settings })
  return fromAISDKAgent(agent, { name: 'mock', register: false })
}

export const message = (role: Message['role'], ...parts: MessagePart[]): Message => ({
  id: 'm',
  role,
  parts,
  status: 'done',
  createdAt: 0,
})

export const text = (value: string): MessagePart => ({ type: 'text', text: value })

export interface Recorded {
  readonly yields: (string | AgentEvent)[]
  readonly emitted: AgentEvent[]
  readonly requests: ApprovalRequest[]
  readonly outcome: RunOutcome | undefined
  readonly error: unknown
}

export interface Stage {
  readonly history?: Message[]
  readonly parts?: MessagePart[]
  readonly signal?: AbortSignal
  readonly decide?: (request: ApprovalRequest) => Promise<Partial<ApprovalDecision>>
  readonly onYield?: (value: string | AgentEvent) => void
}

export function contextOf(stage: Stage, emitted: AgentEvent[], requests: ApprovalRequest[]): RunContext {
  const unused = (): never => {
    throw new Error('not in this test')
  }
  return {
    runId: 'r',
    threadId: 't',
    principal: { id: 'me' },
    signal: stage.signal ?? new AbortController().signal,
    emit: (event) => void emitted.push(event),
    background: unused,
    artifacts: { create: unused, update: unused, get: unused },
    memories: { write: unused, recall: unused },
    approvals: {
      open: unused,
      request: async (request) => {
        requests.push(request)
        const decision = await (stage.decide ?? unused)(request)
        return { approvalId: 'ours', toolCallId: request.toolCallId, approved: false, ...decision }
      },
    },
  }
}

export async function record(agent: Runnable, stage: Stage = {}): Promise<Recorded> {
  const yields: Recorded['yields'] = []
  const emitted: AgentEvent[] = []
  const requests: ApprovalRequest[] = []
  const context = contextOf(stage, emitted, requests)
  const parts = stage.parts ?? [text('hi')]
  const input: RunInput = { text: 'hi', message: message('user', ...parts), history: stage.history ?? [] }
  const iterator = agent.run(input, context)[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await inRun(context, () => iterator.next())
      if (next.done) return { yields, emitted, requests, outcome: next.value ?? undefined, error: undefined }
      yields.push(next.value)
      stage.onYield?.(next.value)
    }
  } catch (error) {
    return { yields, emitted, requests, outcome: undefined, error }
  }
}

export const short = (value: string | AgentEvent): string =>
  typeof value === 'string'
    ? value
    : 'tool' in value
      ? `${value.type}:${value.toolCallId}`
      : value.type === 'text-delta'
        ? `${value.channel}:${value.delta}`
        : value.type

export const ofType = <Type extends AgentEvent['type']>(
  { yields }: Recorded,
  type: Type,
): Extract<AgentEvent, { type: Type }>[] =>
  yields.filter(
    (value): value is Extract<AgentEvent, { type: Type }> => typeof value !== 'string' && value.type === type,
  )

export function expectFailed({ error, outcome }: Recorded, cause?: unknown): void {
  expect(error).toBeInstanceOf(GatewayError)
  expect(error).toMatchObject({ code: 'agent-failed', ...(cause !== undefined && { cause }) })
  expect(outcome).toBeUndefined()
}

/** Resolves once the signal aborts; for tools and models that have to be stopped. */
export const aborted = (signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => signal?.addEventListener('abort', () => resolve(), { once: true }))

export const weather = tool({ inputSchema: cityInput, execute: async ({ city }) => ({ city, degrees: 21 }) })
