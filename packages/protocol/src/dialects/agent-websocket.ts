import * as z from 'zod/mini'
import { COMMANDS, type ThreadReset, parsePayload } from '../commands.ts'
import type { DuplexDialect, Frame, Request, RequestId } from '../dialect.ts'
import { type ErrorBody, GatewayError } from '../errors.ts'
import type { EventOf, ThreadEvent } from '../events.ts'
import { parseJson } from '../json.ts'
import { ClientId, MessageInput } from '../message.ts'

/** Characters of a client's own id for a request: it becomes a part of a run's id. */
const REQUEST_ID_CHARS = 128

const AskedId = z.union([z.number(), ClientId.check(z.maxLength(REQUEST_ID_CHARS))])
const Options = z.object({
  temperature: z.optional(z.number().check(z.minimum(0), z.maximum(2))),
  maxTokens: z.optional(z.int().check(z.minimum(1))),
  agent: z.optional(ClientId),
  sessionId: z.optional(ClientId),
})
const Asking = z.object({
  prompt: MessageInput,
  options: z.optional(Options),
  requestId: z.optional(AskedId),
})

/** What a client of the agent handler asks for: the `type` of each message, and its payload. */
export const AGENT_SOCKET_COMMANDS = {
  generate: Asking,
  stream: Asking,
  tool_call: z.object({
    toolName: ClientId,
    args: z.optional(z.unknown()),
    options: z.optional(Options),
    requestId: z.optional(AskedId),
  }),
  cancel: z.object({ requestId: AskedId }),
  approve: COMMANDS['approval.resolve'],
} as const

export type AgentSocketCommand = keyof typeof AGENT_SOCKET_COMMANDS

/** How the answer to a request is told. */
export type AnswerKind = 'generate' | 'stream' | 'tool_call'

/** What tells the requests of one connection apart: which it is, how it is answered, and what the client calls it. */
export interface AskedRun {
  readonly number: number
  readonly kind: AnswerKind
  readonly requestId?: string | number | undefined
}

/** A request for a run, in the canonical words. */
export interface AgentRequest extends Pick<AskedRun, 'kind' | 'requestId'> {
  readonly payload: { readonly threadId?: string; readonly agent?: string; readonly message: MessageInput }
  readonly settings?: Pick<z.infer<typeof Options>, 'temperature' | 'maxTokens'>
  readonly toolCall?: { readonly tool: string; readonly args: unknown }
}

/** What a client asks for, checked. */
export type AgentSocketRequest =
  | AgentRequest
  | { readonly kind: 'cancel'; readonly requestId: string | number }
  | { readonly kind: 'approve'; readonly payload: z.infer<(typeof COMMANDS)['approval.resolve']> }

/**
 * Reads what a client asks for.
 *
 * @throws GatewayError `unknown-command` | `invalid-payload`, in the words of this wire
 */
export function readAgentSocketRequest(type: string, payload: unknown): AgentSocketRequest {
  if (!isCommand(type)) {
    const types = Object.keys(AGENT_SOCKET_COMMANDS).join(', ')
    throw new GatewayError('unknown-command', `There is no such "type". Types: ${types}, auth.`)
  }
  switch (type) {
    case 'generate':
    case 'stream': {
      const { prompt, options = {}, requestId } = parsePayload(type, AGENT_SOCKET_COMMANDS[type], payload)
      const { temperature, maxTokens } = options
      const settings = {
        ...(temperature !== undefined && { temperature }),
        ...(maxTokens !== undefined && { maxTokens }),
      }
      return { kind: type, requestId, settings, payload: { ...placeOf(options), message: prompt } }
    }
    case 'tool_call': {
      const asked = parsePayload(type, AGENT_SOCKET_COMMANDS[type], payload)
      const { toolName: tool, args = {}, options = {}, requestId } = asked
      const message = `${tool} ${JSON.stringify(args)}`
      return { kind: type, requestId, toolCall: { tool, args }, payload: { ...placeOf(options), message } }
    }
    case 'cancel':
      return { kind: type, ...parsePayload(type, AGENT_SOCKET_COMMANDS[type], payload) }
    case 'approve':
      return { kind: type, payload: parsePayload(type, AGENT_SOCKET_COMMANDS[type], payload) }
    default:
      return type satisfies never
  }
}

function placeOf({ agent, sessionId }: z.infer<typeof Options>): { agent?: string; threadId?: string } {
  return { ...(agent !== undefined && { agent }), ...(sessionId !== undefined && { threadId: sessionId }) }
}

/** Tells whether a word is one of {@link AGENT_SOCKET_COMMANDS}; names such as `constructor` are not. */
function isCommand(type: string): type is AgentSocketCommand {
  return Object.hasOwn(AGENT_SOCKET_COMMANDS, type)
}

/** The id of the run that a request comes to: all that there is to know of the request, so that nothing else is. */
export function runIdOf(connectionId: string, { number, kind, requestId }: AskedRun): string {
  const asked =
    typeof requestId === 'number' ? `#${requestId}` : requestId === undefined ? '' : `:${requestId}`
  return `${connectionId}.${number}.${kind}${asked}`
}

const RUN = /^\d+\.(generate|stream|tool_call)(?:(#|:)(.*))?$/s

/** The request of a connection that a run is of; undefined where it is of somebody else. */
function askedBy(connectionId: string, runId: string): Omit<AskedRun, 'number'> | undefined {
  if (!runId.startsWith(`${connectionId}.`)) return undefined
  const [, kind, mark, id = ''] = RUN.exec(runId.slice(connectionId.length + 1)) ?? []
  if (kind !== 'generate' && kind !== 'stream' && kind !== 'tool_call') return undefined
  return mark === undefined ? { kind } : { kind, requestId: mark === '#' ? Number(id) : id }
}

/** The first message on a connection. */
export function connectedFrame(connectionId: string): Frame {
  return frame('connected', { connectionId, timestamp: Date.now() })
}

/** The message that tells what was decided, to who has asked for it. */
export function resolvedFrame(approvalId: string, approved: boolean): Frame {
  return frame('approval_resolved', { approvalId, approved })
}

/** The message that tells why a request came to nothing. */
export function agentSocketRefusal({ code, message, retryAfterMs }: ErrorBody, requestId?: RequestId): Frame {
  return frame('error', { error: message, code, retryAfterMs, requestId: requestId ?? undefined })
}

/**
 * The words of the agent handler, for one connection: `response`, or `stream_start`, `chunk` and `stream_complete`, or
 * `tool_result`, each with the `requestId` of its request. A session of this wire is a thread; of what others ask there,
 * a connection is told nothing.
 */
export function agentSocketDialect(connectionId: string): DuplexDialect {
  const said = (event: ThreadEvent): readonly Frame[] => {
    const asked = askedBy(connectionId, event.runId)
    return asked ? told(event, asked) : []
  }
  return {
    name: 'agent-websocket',
    encode: said,
    reset: ({ threadId: sessionId, cause, history, more }: ThreadReset) => [
      frame('reset', {
        sessionId,
        cause,
        more,
        history: history.map((message) => ({
          ...message,
          requestId: message.runId && askedBy(connectionId, message.runId)?.requestId,
        })),
      }),
    ],
    decode: decodeMessage,
    // What goes well is told by what follows.
    answer: (id, answer) => (answer.ok ? [] : [agentSocketRefusal(answer.error, id)]),
    goodbye: (error) => [agentSocketRefusal(error)],
  }
}

function decodeMessage(text: string): Request {
  const message = parseJson(text)
  if (!isObject(message) || typeof message['type'] !== 'string') {
    throw new GatewayError(
      'invalid-frame',
      'A message is an object with a "type", such as { type: "generate", payload: { prompt } }.',
    )
  }
  const { type: command, payload, ...fields } = message
  if (command === 'auth') return { id: null, command, payload: fields }
  // What is said with the id of a request is about that; that something else was refused is not its end.
  const isRun = command === 'generate' || command === 'stream' || command === 'tool_call'
  const asked = isRun && isObject(payload) ? AskedId.safeParse(payload['requestId']) : undefined
  return { id: asked?.success ? asked.data : null, command, payload }
}

function isObject(value: unknown): value is Record<string, unknown> & { type?: string } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Of a call of a tool, what an agent may say beside it is not told. */
function told(event: ThreadEvent, { kind, requestId }: Omit<AskedRun, 'number'>): readonly Frame[] {
  const { threadId: sessionId, id } = event
  const say = (type: string, fields: object): Frame[] => [{ ...frame(type, { ...fields, requestId }), id }]
  switch (event.type) {
    case 'start':
      return kind === 'stream' ? say('stream_start', { sessionId, agent: event.agent }) : []
    case 'text-delta':
      return kind === 'stream' && event.channel === 'answer' ? say('chunk', { content: event.delta }) : []
    case 'tool-call-result':
      return kind === 'tool_call' ? say('tool_result', { toolName: event.tool, result: event.result }) : []
    case 'approval-pending': {
      const { approvalId, tool: toolName, args, expiresAt } = event
      return say('approval_pending', { approvalId, toolName, args, expiresAt })
    }
    case 'approval-resolved': {
      const { approvalId, approved, by, reason } = event
      return say('approval_resolved', { approvalId, approved, by, reason })
    }
    case 'finish':
      return endOf(event, kind).map((end) => ({ ...frame(end.type, { ...end, requestId }), id }))
    case 'error':
      return [{ ...agentSocketRefusal(event.error, requestId), id }]
    case 'tool-call-start':
    case 'tool-call-args':
    case 'tool-call-error':
    case 'artifact-created':
    case 'artifact-updated':
    case 'step-start':
    case 'step-finish':
    case 'memory-write':
    case 'memory-recall-result':
    case 'run-update':
      return []
    default:
      return event satisfies never
  }
}

function endOf(event: EventOf<'finish'>, kind: AnswerKind): ({ type: string } & Record<string, unknown>)[] {
  const { text, finishReason, usage, agent, threadId: sessionId } = event
  const ending = { finishReason, usage, agent, sessionId }
  if (kind === 'generate') return [{ type: 'response', content: text, data: text, ...ending }]
  if (kind === 'stream') return [{ type: 'stream_complete', ...ending }]
  // The result of a call is its end, and there is none where it was stopped.
  if (finishReason !== 'cancelled' && finishReason !== 'interrupted') return []
  return [{ type: 'error', error: 'The call was cancelled.', code: 'cancelled' }]
}

function frame(type: string, fields: object): Frame {
  return { name: type, json: JSON.stringify({ type, ...fields }) }
}
