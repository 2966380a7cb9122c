import * as z from 'zod/mini'
import { COMMANDS, type ThreadReset, parsePayload } from '../commands.ts'
import type { DuplexDialect, Frame, Request, RequestId } from '../dialect.ts'
import { type ErrorBody, GatewayError } from '../errors.ts'
import type { EventOf, ThreadEvent } from '../events.ts'
import { parseJson } from '../json.ts'
import { LIMITS } from '../limits.ts'
import { ClientId, MessageInput } from '../message.ts'

/** What a client of chat JSON asks for: the `type` of each frame, and what else is in it. */
export const CHAT_COMMANDS = {
  chat: z.object({
    message: MessageInput,
    agent: z.optional(ClientId),
    sessionId: z.optional(ClientId),
    userId: z.optional(ClientId),
    runId: z.optional(ClientId),
  }),
  cancel: COMMANDS['run.cancel'],
  approve: COMMANDS['approval.resolve'],
} as const

export type ChatCommand = keyof typeof CHAT_COMMANDS

/** A request in the canonical words, and whom a chat is for, where its sender says so. */
export interface ChatRequest extends Omit<Request, 'id'> {
  readonly userId?: string
}

/**
 * Reads what a client of chat JSON asks for, and says it in the canonical words.
 *
 * @throws GatewayError `unknown-command` | `invalid-payload`, in the words of this wire
 */
export function readChatRequest(type: string, fields: unknown): ChatRequest {
  if (!isChatCommand(type)) {
    throw new GatewayError(
      'unknown-command',
      `There is no such "type". Types: ${Object.keys(CHAT_COMMANDS).join(', ')}, auth, ping, pong.`,
    )
  }
  switch (type) {
    case 'chat': {
      const { sessionId, userId, ...chat } = parsePayload(type, CHAT_COMMANDS[type], fields)
      const payload = sessionId === undefined ? chat : { ...chat, threadId: sessionId }
      return { command: 'thread.send', payload, ...(userId !== undefined && { userId }) }
    }
    case 'cancel':
      return { command: 'run.cancel', payload: parsePayload(type, CHAT_COMMANDS[type], fields) }
    case 'approve':
      return { command: 'approval.resolve', payload: parsePayload(type, CHAT_COMMANDS[type], fields) }
    default:
      return type satisfies never
  }
}

/** Tells whether a word is one of {@link CHAT_COMMANDS}; names such as `constructor` are not. */
function isChatCommand(type: string): type is ChatCommand {
  return Object.hasOwn(CHAT_COMMANDS, type)
}

/** The frame that asks a client for a sign of life, and the one that gives it. */
export const CHAT_PING = frame('ping', {})
export const CHAT_PONG = frame('pong', {})

/** The frame that tells why something came to nothing; with a run, that there is none, or none any more. */
export function chatRefusal({ code, message, retryAfterMs }: ErrorBody, runId?: RequestId): Frame {
  return frame('error', { message, code, retryAfterMs, runId })
}

/**
 * The words of chat JSON: `chunk`, `tool_call`, `tool_result`, and `done` or `error` at the end, told apart by `runId`. A
 * session of this wire is a thread. What comes from clients keeps its own words; {@link readChatRequest} reads those.
 *
 * What the wire has no word for is left out: reasoning, artifacts, steps, memories, progress.
 */
export const chatJson: DuplexDialect = {
  name: 'chat-json',
  encode: encodeEvent,
  reset: ({ threadId: sessionId, cause, head, history, more }: ThreadReset) => [
    frame('reset', { sessionId, cause, head, history, more }),
  ],
  decode: decodeFrame,
  // What goes well is told by what follows.
  answer: (id, answer) => (answer.ok ? [] : [chatRefusal(answer.error, id ?? undefined)]),
  goodbye: ({ code, message, retryAfterMs }, ticket) => [
    frame('error', { message, code, retryAfterMs, ticket }),
  ],
}

function decodeFrame(text: string): Request {
  const told = parseJson(text)
  if (typeof told !== 'object' || told === null || Array.isArray(told)) throw notAFrame()
  const { type: command, ...payload } = told as Record<string, unknown>
  if (typeof command !== 'string') throw notAFrame()
  // Only what came of a chat is told under its run: that something else is refused is not the run's end.
  return { id: command === 'chat' ? runIdIn(payload) : null, command, payload }
}

/** Which run a chat is to be. */
function runIdIn({ runId }: Record<string, unknown>): RequestId {
  return typeof runId === 'string' && runId !== '' && runId.length <= LIMITS.idChars ? runId : null
}

function notAFrame(): GatewayError {
  return new GatewayError(
    'invalid-frame',
    'A frame is an object with a "type", such as { type: "chat", message }.',
  )
}

function encodeEvent(event: ThreadEvent): readonly Frame[] {
  switch (event.type) {
    case 'text-delta':
      return event.channel === 'answer' ? [chunkOf(event)] : []
    case 'tool-call-args':
      return event.args === undefined
        ? []
        : [said('tool_call', event, { name: event.tool, args: event.args })]
    case 'tool-call-result':
      return [said('tool_result', event, { name: event.tool, result: event.result })]
    case 'tool-call-error':
      return [said('tool_result', event, { name: event.tool, error: event.error })]
    case 'approval-pending': {
      const { approvalId, tool: name, args, expiresAt } = event
      return [said('approval_pending', event, { approvalId, name, args, expiresAt })]
    }
    case 'approval-resolved': {
      const { approvalId, approved, by, reason } = event
      return [said('approval_resolved', event, { approvalId, approved, by, reason })]
    }
    case 'finish': {
      const { text, steps, finishReason, agent, threadId: sessionId } = event
      return [said('done', event, { text, steps, finishReason, agent, sessionId })]
    }
    case 'error':
      return [said('error', event, { message: event.error.message, code: event.error.code })]
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

/** Text is nearly all that is ever said, so its JSON is put together by hand; what is of the run is written once. */
function chunkOf({ id, runId, delta }: EventOf<'text-delta'>): Frame {
  if (runId !== latest.runId) latest = { runId, json: `,"runId":${JSON.stringify(runId)}}` }
  return { name: 'chunk', id, json: `{"type":"chunk","text":${JSON.stringify(delta)}${latest.json}` }
}

let latest = { runId: '', json: ',"runId":""}' }

/** A frame that tells one event. */
function said(type: string, { id, runId }: ThreadEvent, fields: object): Frame {
  return { ...frame(type, { ...fields, runId }), id }
}

function frame(type: string, fields: object): Frame {
  return { name: type, json: JSON.stringify({ type, ...fields }) }
}
