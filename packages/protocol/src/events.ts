import * as z from 'zod/mini'
import type { EventId } from './cursor.ts'
import { Message } from './message.ts'

const Tokens = z.number().check(z.minimum(0))
const Usage = z.object({ inputTokens: Tokens, outputTokens: Tokens })
const RunUsage = z.object({ ...Usage.shape, providerMetrics: z.optional(z.unknown()) })
const FailureBody = z.object({ code: z.string(), message: z.string() })
const ToolCall = { toolCallId: z.string(), tool: z.string() }
/** Whose it is, where it is not of the run's own agent: a member of a team, a step of a workflow. */
const Speaker = { agent: z.optional(z.string()) }
const ArtifactHead = { id: z.string(), version: z.int(), kind: z.string(), title: z.string() }

/** Why a run ended without an error. */
export const FinishReason = z.enum([
  'stop',
  'length',
  'tool-calls',
  'content-filter',
  'cancelled',
  'interrupted',
])

/** What an agent may report while it runs; the gateway adds the envelope. */
export const AgentEvent = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('text-delta'),
    delta: z.string(),
    channel: z.enum(['answer', 'reasoning']),
    ...Speaker,
  }),
  z.object({ type: z.literal('tool-call-start'), ...ToolCall, ...Speaker }),
  z.object({
    type: z.literal('tool-call-args'),
    ...ToolCall,
    ...Speaker,
    delta: z.string(),
    /** The parsed arguments; present on the last one. */
    args: z.optional(z.unknown()),
  }),
  z.object({ type: z.literal('tool-call-result'), ...ToolCall, ...Speaker, result: z.unknown() }),
  z.object({ type: z.literal('tool-call-error'), ...ToolCall, ...Speaker, error: FailureBody }),
  z.object({
    type: z.literal('artifact-created'),
    artifact: z.object({ ...ArtifactHead, version: z.literal(1), content: z.unknown() }),
  }),
  z
    .object({
      type: z.literal('artifact-updated'),
      artifact: z.object(ArtifactHead),
      content: z.optional(z.unknown()),
      /** A JSON Patch, RFC 6902, against the version before. */
      patch: z.optional(z.array(z.unknown())),
    })
    .check(
      z.refine(
        (event) => (event.content === undefined) !== (event.patch === undefined),
        'needs "content" or "patch"',
      ),
    ),
  z.object({ type: z.literal('step-start'), step: z.int() }),
  z.object({ type: z.literal('step-finish'), step: z.int(), finishReason: FinishReason, usage: Usage }),
  z.object({
    type: z.literal('memory-write'),
    memory: z.object({ id: z.string(), text: z.string(), scope: z.string() }),
  }),
  z.object({
    type: z.literal('memory-recall-result'),
    query: z.string(),
    memories: z.array(z.object({ id: z.string(), text: z.string(), score: z.number() })),
  }),
  z.object({
    type: z.literal('run-update'),
    background: z.object({
      id: z.string(),
      name: z.string(),
      status: z.enum(['running', 'done', 'failed', 'cancelled']),
      progress: z.number().check(z.minimum(0), z.maximum(1)),
      message: z.optional(z.string()),
    }),
  }),
])

/** What only the gateway writes: the borders of a run, and approvals, which are its own state. */
const GatewayEvent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('start'), agent: z.string(), input: Message, messageId: z.string() }),
  z.object({
    type: z.literal('approval-pending'),
    approvalId: z.string(),
    ...ToolCall,
    args: z.unknown(),
    expiresAt: z.number(),
  }),
  z.object({
    type: z.literal('approval-resolved'),
    approvalId: z.string(),
    approved: z.boolean(),
    by: z.optional(z.string()),
    reason: z.optional(z.string()),
  }),
  z.object({ type: z.literal('error'), agent: z.string(), error: FailureBody }),
  z.object({
    type: z.literal('finish'),
    agent: z.string(),
    finishReason: FinishReason,
    text: z.string(),
    steps: z.int(),
    usage: RunUsage,
  }),
])

/** How an agent may say that it ended; that a run was stopped is for the gateway to say. */
export const AgentOutcome = z.object({
  finishReason: z.optional(z.enum(['stop', 'length', 'tool-calls', 'content-filter'])),
  usage: z.optional(RunUsage),
})

const Envelope = z.object({
  id: z.string().check(z.regex(/^\d{13}-\d{10}$/)),
  seq: z.int().check(z.minimum(1)),
  threadId: z.string(),
  runId: z.string(),
  ts: z.number(),
  /** How many log events this frame stands for; absent means one. */
  covers: z.optional(z.int().check(z.minimum(1))),
})

/** Any of the 17 events as it is delivered; for clients that check what they receive. */
export const ThreadEvent = z.intersection(Envelope, z.union([AgentEvent, GatewayEvent]))

export type FinishReason = z.infer<typeof FinishReason>
export type AgentEvent = z.infer<typeof AgentEvent>
export type AgentOutcome = z.infer<typeof AgentOutcome>
export type Usage = z.infer<typeof Usage>

/** An event without its envelope. */
export type EventPayload = AgentEvent | z.infer<typeof GatewayEvent>

/** What the log adds to a payload. `seq` counts 1, 2, 3 … in its thread; `ts` is the `ms` of `id`. */
export interface EventEnvelope {
  readonly id: EventId
  readonly seq: number
  readonly threadId: string
  readonly runId: string
  readonly ts: number
  readonly covers?: number
}

/** One of the 17 events: an immutable logged fact. */
export type ThreadEvent = EventEnvelope & EventPayload

export type EventType = EventPayload['type']

/** The event of one type: `EventOf<'text-delta'>`. */
export type EventOf<Type extends EventType> = Extract<ThreadEvent, { type: Type }>

/** The 17 types, in the order of the table in PROTOCOL.md. */
export const EVENT_TYPES = [
  'start',
  'text-delta',
  'tool-call-start',
  'tool-call-args',
  'tool-call-result',
  'tool-call-error',
  'artifact-created',
  'artifact-updated',
  'step-start',
  'step-finish',
  'memory-write',
  'memory-recall-result',
  'run-update',
  'approval-pending',
  'approval-resolved',
  'error',
  'finish',
] as const satisfies readonly EventType[]

/** Tells whether an event ends its run. */
export function isTerminal(event: ThreadEvent): event is EventOf<'finish'> | EventOf<'error'> {
  return event.type === 'finish' || event.type === 'error'
}
