import * as z from 'zod/mini'
import { type Answer, type ThreadReset, COMMANDS, parsePayload } from '../commands.ts'
import type { DuplexDialect, Frame, Request } from '../dialect.ts'
import { type ErrorBody, GatewayError } from '../errors.ts'
import type { EventOf, ThreadEvent } from '../events.ts'
import { LIMITS } from '../limits.ts'
import { ClientId, MessageInput } from '../message.ts'
import { threadStream } from './thread-stream.ts'

/** What fits into a header. */
const ApiKey = z
  .string()
  .check(z.maxLength(LIMITS.apiKeyChars), z.regex(/^[\x20-\x7e]*$/, 'must be printable ASCII'))

const Run = z.object({
  name: ClientId,
  input: MessageInput,
  sessionId: z.optional(ClientId),
  runId: z.optional(ClientId),
  apiKey: z.optional(ApiKey),
})

/** What a client of the agent gateway asks of its sessions: the name of each event, and its payload. */
export const AGENT_GATEWAY_COMMANDS = {
  'agent.run': Run,
  'team.run': Run,
  'workflow.run': Run,
  'run.cancel': COMMANDS['run.cancel'],
  'approval.resolve': COMMANDS['approval.resolve'],
  'session.resume': z.object({ sessionId: ClientId, lastEventId: z.optional(z.string()) }),
  'session.leave': z.object({ sessionId: ClientId }),
} as const

export type AgentGatewayCommand = keyof typeof AGENT_GATEWAY_COMMANDS

/** What is run: each kind has names of its own. */
export type RunnableKind = 'agent' | 'team' | 'workflow'

/** A request in the canonical words, and what only this wire has. */
export interface AgentGatewayRequest extends Omit<Request, 'id'> {
  /** Of a run: what kind of thing is to run, and the caller's key for its model. */
  readonly kind?: RunnableKind
  readonly apiKey?: string
}

/** Tells whether an event is one of {@link AGENT_GATEWAY_COMMANDS}; names such as `constructor` are not. */
export function isAgentGatewayCommand(name: string): name is AgentGatewayCommand {
  return Object.hasOwn(AGENT_GATEWAY_COMMANDS, name)
}

/**
 * Reads what a client of the agent gateway sent, and says it in the canonical words.
 *
 * @throws GatewayError `unknown-command` | `invalid-payload`, in the words of this wire
 */
export function readAgentGatewayRequest(name: string, payload: unknown): AgentGatewayRequest {
  if (!isAgentGatewayCommand(name)) {
    const names = Object.keys(AGENT_GATEWAY_COMMANDS).join(', ')
    throw new GatewayError('unknown-command', `There is no such event. Events: ${names}.`)
  }
  switch (name) {
    case 'agent.run':
    case 'team.run':
    case 'workflow.run': {
      const { input: message, sessionId, runId, apiKey, ...run } = parsePayload(name, Run, payload)
      return {
        command: 'thread.send',
        payload: { message, agent: run.name, ...defined({ threadId: sessionId, runId }) },
        kind: KINDS[name],
        ...(apiKey && { apiKey }),
      }
    }
    case 'run.cancel':
    case 'approval.resolve':
      return { command: name, payload: parsePayload(name, AGENT_GATEWAY_COMMANDS[name], payload) }
    case 'session.resume': {
      const { sessionId, lastEventId } = parsePayload(name, AGENT_GATEWAY_COMMANDS[name], payload)
      return {
        command: 'thread.subscribe',
        payload: { threadId: sessionId, ...defined({ lastEventId }) },
      }
    }
    case 'session.leave': {
      const { sessionId } = parsePayload(name, AGENT_GATEWAY_COMMANDS[name], payload)
      return { command: 'thread.unsubscribe', payload: { threadId: sessionId } }
    }
    default:
      return name satisfies never
  }
}

/** The answer to a command in the words of this wire. */
export function agentGatewayAnswer(answer: Answer): object {
  if (!answer.ok || !('threadId' in answer)) return answer
  const { ok, runId, threadId, status } = answer
  return { ok, runId, sessionId: threadId, status }
}

/** Why a request came to nothing, with what is known of the run that it was about. */
export interface AgentGatewayRefusal {
  readonly ok: false
  readonly error: ErrorBody
  readonly runId?: string
  readonly sessionId?: string
}

/** A refusal as the body of `agent.error`; it stands for no event, so it has no `eventId`. */
export function agentGatewayRefusal({ error, runId, sessionId }: AgentGatewayRefusal): object {
  const { code, message, retryAfterMs } = error
  return { error: message, code, ...defined({ retryAfterMs, runId, sessionId }) }
}

const KINDS = { 'agent.run': 'agent', 'team.run': 'team', 'workflow.run': 'workflow' } as const

/**
 * The words of the agent gateway: what a run says as `agent.chunk`, `agent.tool.call`, `agent.tool.done`, `agent.done`
 * and `agent.error`, and what clients ask for as {@link AGENT_GATEWAY_COMMANDS}. A session of this wire is a thread.
 *
 * What the wire has no word for is left out: reasoning, artifacts, steps, memories, progress.
 */
export const agentGateway: DuplexDialect = {
  name: 'agent-gateway',
  encode: encodeEvent,
  reset: ({ threadId: sessionId, cause, head, history, more }: ThreadReset) => [
    {
      name: 'session.reset',
      id: head,
      json: JSON.stringify({ sessionId, cause, head, history, more, eventId: head }),
    },
  ],
  decode(text) {
    const { id, command, payload } = threadStream.decode(text)
    return { id, ...readAgentGatewayRequest(command, payload) }
  },
  // Answers go to acks; where there is none, only what went wrong is said, and where a session goes on from its history.
  answer(_id, answer) {
    if (!answer.ok) return [body('agent.error', agentGatewayRefusal(answer))]
    if (!('recovered' in answer) || answer.recovered || !('sessionId' in answer)) return []
    const { head, history, more, cause, sessionId } = answer
    return [
      {
        name: 'session.reset',
        id: head,
        json: JSON.stringify({ sessionId, cause, head, history, more, eventId: head }),
      },
    ]
  },
  goodbye: ({ code, message, retryAfterMs }, ticket) => [
    body('goodbye', { code, error: message, retryAfterMs, ticket }),
  ],
}

function encodeEvent(event: ThreadEvent): readonly Frame[] {
  switch (event.type) {
    case 'text-delta':
      return event.channel === 'answer' ? [chunkOf(event)] : []
    case 'tool-call-args':
      return event.args === undefined ? [] : [toolCall(event, event.args)]
    case 'tool-call-result':
      return [said('agent.tool.done', event, { toolCallId: event.toolCallId })]
    case 'tool-call-error':
      return [said('agent.tool.done', event, { toolCallId: event.toolCallId, error: event.error })]
    case 'approval-pending': {
      const { approvalId, tool: toolName, args, toolCallId, expiresAt } = event
      return [said('agent.approval.pending', event, { approvalId, toolName, args, toolCallId, expiresAt })]
    }
    case 'approval-resolved': {
      const { approvalId, approved, by, reason } = event
      return [said('agent.approval.resolved', event, { approvalId, approved, by, reason })]
    }
    case 'finish': {
      const { text, usage, finishReason } = event
      return [said('agent.done', event, { output: { text, usage }, finishReason })]
    }
    case 'error': {
      const { code, message } = event.error
      return [said('agent.error', event, { error: message, code })]
    }
    case 'start':
    case 'tool-call-start':
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

/**
 * Text is nearly all that is ever said, so its JSON is put together by hand. Ids of events need no escaping; what
 * chunks of one run have in common is written once.
 */
function chunkOf(event: EventOf<'text-delta'>): Frame {
  const { id, runId, threadId, agent } = event
  if (runId !== latest.runId || threadId !== latest.threadId) {
    const json = `"runId":${JSON.stringify(runId)},"sessionId":${JSON.stringify(threadId)}`
    latest = { runId, threadId, json }
  }
  const member = agent === undefined ? '' : `,"agent":${JSON.stringify(agent)}`
  const json = `{"chunk":${JSON.stringify(event.delta)}${member},${latest.json},"eventId":"${id}"}`
  return { name: 'agent.chunk', id, json }
}

let latest = { runId: '', threadId: '', json: '"runId":"","sessionId":""' }

function toolCall(event: EventOf<'tool-call-args'>, args: unknown): Frame {
  return said('agent.tool.call', event, { toolName: event.tool, args, toolCallId: event.toolCallId })
}

/** A frame that tells one event; a merged one has the id of the last event that it stands for. */
function said(name: string, event: ThreadEvent, fields: object): Frame {
  const { runId, threadId: sessionId, id: eventId } = event
  return {
    name,
    id: eventId,
    json: JSON.stringify({ ...fields, ...memberOf(event), runId, sessionId, eventId }),
  }
}

/** Whose words they are, where a member of a team or a step of a workflow says them. */
function memberOf(event: ThreadEvent): { agent?: string } {
  // The borders of a run always say whose it is.
  if (event.type === 'finish' || event.type === 'error') return {}
  return 'agent' in event && event.agent !== undefined ? { agent: event.agent } : {}
}

function body(name: string, fields: object): Frame {
  return { name, json: JSON.stringify(fields) }
}

function defined<Fields extends object>(fields: Fields): Partial<Fields> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as Partial<Fields>
}
