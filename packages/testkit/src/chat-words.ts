import type { ThreadEvent } from '@turnpike/protocol'

/** A frame of a wire that has words of its own, told by its `type`. */
export type ChatFrame = Readonly<Record<string, unknown>> & { readonly type: string }

/** One question of a client: which run it came to, and what the frames about it carry. */
export interface ChatAsk {
  readonly runId: string
  /** What the client calls it. @default the `runId` */
  readonly key?: string | number
  /** How it is to be answered, on a wire that has several ways. */
  readonly kind?: string
}

/** A wire, as a table of what it says: written down here once more, so that the wire's own code is not its judge. */
export interface ChatWords {
  readonly name: string
  /** The field of every frame about a question that tells which one. */
  readonly keyField: string
  /** What text comes in: frames of this type whose `field` may hold that of several events in a row. */
  readonly text: { readonly type: string; readonly field: string }
  /** Whether who has asked in a session is also told what others ask there. */
  readonly hearsOthers: boolean
  /** Names each message of a history as the question that it belongs to. @default false */
  readonly labelsHistory?: boolean
  /** Frames that end a question. */
  readonly ends: readonly string[]
  /** Frames that are about no question. */
  readonly asides: readonly string[]
  /** The frame that has to tell an event, without its key; undefined where the wire has no word for it. */
  frameOf(event: ThreadEvent, ask: ChatAsk): ChatFrame | undefined
}

/** What a client of chat JSON is told, over a socket or as an event stream. */
export const chatJsonWords: ChatWords = {
  name: 'chat JSON',
  keyField: 'runId',
  text: { type: 'chunk', field: 'text' },
  hearsOthers: true,
  ends: ['done', 'error'],
  asides: ['ping', 'pong'],
  frameOf(event) {
    switch (event.type) {
      case 'text-delta':
        return event.channel === 'answer' ? { type: 'chunk', text: event.delta } : undefined
      case 'tool-call-args':
        return event.args === undefined
          ? undefined
          : { type: 'tool_call', name: event.tool, args: event.args }
      case 'tool-call-result':
        return { type: 'tool_result', name: event.tool, result: event.result }
      case 'tool-call-error':
        return { type: 'tool_result', name: event.tool, error: event.error }
      case 'approval-pending': {
        const { approvalId, tool, args, expiresAt } = event
        return { type: 'approval_pending', approvalId, name: tool, args, expiresAt }
      }
      case 'approval-resolved': {
        const { approvalId, approved, by, reason } = event
        return { type: 'approval_resolved', approvalId, approved, by, reason }
      }
      case 'finish': {
        const { text, steps, finishReason, agent, threadId } = event
        return { type: 'done', text, steps, finishReason, agent, sessionId: threadId }
      }
      case 'error':
        return { type: 'error', message: event.error.message, code: event.error.code }
      case 'start':
      case 'tool-call-start':
      case 'artifact-created':
      case 'artifact-updated':
      case 'step-start':
      case 'step-finish':
      case 'memory-write':
      case 'memory-recall-result':
      case 'run-update':
        return undefined
      default:
        return event satisfies never
    }
  },
}

/** What `POST /v1/chat/:agent` answers as a whole: its body as a frame named `answer`, or the error of its body. */
export const chatAnswerWords: ChatWords = {
  ...chatJsonWords,
  name: 'the answer of chat JSON',
  hearsOthers: false,
  frameOf(event) {
    if (event.type === 'error') return { type: 'error', message: event.error.message, code: event.error.code }
    if (event.type !== 'finish') return undefined
    const { text, steps, finishReason, usage, agent, threadId } = event
    return { type: 'answer', text, steps, finishReason, usage, agent, sessionId: threadId }
  },
}

/** What a client of the agent handler is told: of its own requests alone, by the ids it gave them. */
export const agentSocketWords: ChatWords = {
  name: 'the agent handler',
  keyField: 'requestId',
  text: { type: 'chunk', field: 'content' },
  hearsOthers: false,
  labelsHistory: true,
  ends: ['response', 'stream_complete', 'error'],
  asides: ['connected', 'ping'],
  frameOf(event, { kind }) {
    const isStream = kind === 'stream'
    switch (event.type) {
      case 'start':
        return isStream ? { type: 'stream_start', sessionId: event.threadId, agent: event.agent } : undefined
      case 'text-delta':
        return isStream && event.channel === 'answer' ? { type: 'chunk', content: event.delta } : undefined
      case 'approval-pending': {
        const { approvalId, tool, args, expiresAt } = event
        return { type: 'approval_pending', approvalId, toolName: tool, args, expiresAt }
      }
      case 'approval-resolved': {
        const { approvalId, approved, by, reason } = event
        return { type: 'approval_resolved', approvalId, approved, by, reason }
      }
      case 'finish': {
        const { text, finishReason, usage, agent, threadId: sessionId } = event
        if (isStream) return { type: 'stream_complete', finishReason, usage, agent, sessionId }
        return { type: 'response', content: text, data: text, finishReason, usage, agent, sessionId }
      }
      case 'error':
        return { type: 'error', error: event.error.message, code: event.error.code }
      case 'tool-call-start':
      case 'tool-call-args':
      case 'tool-call-result':
      case 'tool-call-error':
      case 'artifact-created':
      case 'artifact-updated':
      case 'step-start':
      case 'step-finish':
      case 'memory-write':
      case 'memory-recall-result':
      case 'run-update':
        return undefined
      default:
        return event satisfies never
    }
  },
}
