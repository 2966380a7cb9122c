import type { EventOf, ThreadEvent } from './events.ts'
import type { Message, MessagePart, ToolPart } from './message.ts'

/**
 * Folds one event into a thread's messages.
 *
 * The only reducer there is: what is stored, snapshots, and what clients show come from here. It is pure, shares
 * what did not change, and gives the same messages whether deltas come one by one or merged. Events that are no part
 * of a message (steps, memories, progress) leave the messages as they are.
 */
export function reduce(messages: readonly Message[], event: ThreadEvent): readonly Message[] {
  switch (event.type) {
    case 'start':
      return [...messages, event.input, answerTo(event)]
    case 'text-delta':
      return updateParts(messages, event, (parts) =>
        appendText(parts, event.channel === 'answer' ? 'text' : 'reasoning', event.delta),
      )
    case 'tool-call-start':
      return updateTool(messages, event, (tool) => tool)
    case 'tool-call-args':
      return event.args === undefined
        ? updateTool(messages, event, (tool) => tool)
        : updateTool(messages, event, (tool) => ({ ...tool, args: event.args, state: 'running' }))
    case 'tool-call-result':
      return updateTool(messages, event, (tool) => ({ ...tool, result: event.result, state: 'done' }))
    case 'tool-call-error':
      return updateTool(messages, event, (tool) => ({ ...tool, error: event.error, state: 'failed' }))
    case 'artifact-created':
    case 'artifact-updated':
      return updateParts(messages, event, (parts) => putArtifact(parts, event))
    case 'approval-pending': {
      const { approvalId, expiresAt, args } = event
      return updateTool(messages, event, (tool) => ({
        ...tool,
        args,
        approval: { approvalId, expiresAt },
        state: 'approval',
      }))
    }
    case 'approval-resolved':
      return updateParts(messages, event, (parts) => resolveApproval(parts, event))
    case 'error':
      return updateAnswer(messages, event, (answer) => ({
        ...endTools(answer),
        status: 'failed',
        error: event.error,
      }))
    case 'finish': {
      const stopped = event.finishReason === 'cancelled' || event.finishReason === 'interrupted'
      return updateAnswer(messages, event, (answer) => ({
        ...endTools(answer),
        status: stopped ? 'cancelled' : 'done',
      }))
    }
    case 'step-start':
    case 'step-finish':
    case 'memory-write':
    case 'memory-recall-result':
    case 'run-update':
      return messages
    default:
      return event satisfies never
  }
}

/**
 * Joins adjacent deltas that continue each other into one event each, with `covers` saying how many it stands for.
 *
 * Used for readers that are behind, and to fold many events at once.
 */
export function mergeDeltas(events: Iterable<ThreadEvent>): ThreadEvent[] {
  const merged: ThreadEvent[] = []
  let tail: ThreadEvent | undefined
  for (const event of events) {
    if (tail && canMerge(tail, event)) {
      tail = joined(tail, event)
      merged[merged.length - 1] = tail
    } else {
      tail = event
      merged.push(event)
    }
  }
  return merged
}

/** Tells whether `next`, which follows `previous` in the log, continues the same text of the same agent. */
export function canMerge(previous: ThreadEvent, next: ThreadEvent): boolean {
  if (previous.runId !== next.runId) return false
  if (previous.type === 'text-delta') {
    return next.type === 'text-delta' && previous.channel === next.channel && previous.agent === next.agent
  }
  return (
    previous.type === 'tool-call-args' &&
    next.type === 'tool-call-args' &&
    previous.toolCallId === next.toolCallId &&
    previous.args === undefined
  )
}

function joined(previous: ThreadEvent, next: ThreadEvent): ThreadEvent {
  if (!('delta' in previous) || !('delta' in next)) return next
  return {
    ...next,
    delta: previous.delta + next.delta,
    covers: (previous.covers ?? 1) + (next.covers ?? 1),
  }
}

function answerTo(start: EventOf<'start'>): Message {
  return {
    id: start.messageId,
    role: 'assistant',
    parts: [],
    runId: start.runId,
    status: 'open',
    agent: start.agent,
    createdAt: start.ts,
  }
}

function updateAnswer(
  messages: readonly Message[],
  event: ThreadEvent,
  update: (answer: Message) => Message,
): readonly Message[] {
  const index = messages.findLastIndex(
    (message) => message.runId === event.runId && message.role === 'assistant',
  )
  const answer = messages[index]
  return answer ? messages.with(index, update(answer)) : messages
}

function updateParts(
  messages: readonly Message[],
  event: ThreadEvent,
  update: (parts: MessagePart[]) => MessagePart[],
): readonly Message[] {
  return updateAnswer(messages, event, (answer) => ({ ...answer, parts: update(answer.parts) }))
}

function appendText(parts: MessagePart[], type: 'text' | 'reasoning', delta: string): MessagePart[] {
  if (delta === '') return parts
  const last = parts.at(-1)
  return last?.type === type
    ? parts.with(-1, { type, text: last.text + delta })
    : [...parts, { type, text: delta }]
}

/** Tool events repeat the tool's name, so a reader that missed the beginning of a call can still show it. */
function updateTool(
  messages: readonly Message[],
  event: ThreadEvent & { toolCallId: string; tool: string },
  update: (tool: ToolPart) => ToolPart,
): readonly Message[] {
  const { toolCallId, tool } = event
  return updateParts(messages, event, (parts) => {
    const index = parts.findIndex((part) => part.type === 'tool' && part.toolCallId === toolCallId)
    const part = parts[index]
    if (part?.type === 'tool') return parts.with(index, update(part))
    return [...parts, update({ type: 'tool', toolCallId, tool, state: 'arguments' })]
  })
}

function resolveApproval(parts: MessagePart[], event: EventOf<'approval-resolved'>): MessagePart[] {
  const { approvalId, approved, by, reason } = event
  return parts.map((part) => {
    if (part.type !== 'tool' || part.approval?.approvalId !== approvalId) return part
    const approval = { ...part.approval, approved, ...(by && { by }), ...(reason && { reason }) }
    // What has ended meanwhile stays ended.
    if (part.state !== 'approval') return { ...part, approval }
    return { ...part, approval, state: approved ? 'running' : 'failed' }
  })
}

function putArtifact(
  parts: MessagePart[],
  event: EventOf<'artifact-created'> | EventOf<'artifact-updated'>,
): MessagePart[] {
  const { id, version, kind, title } = event.artifact
  const artifact: MessagePart = { type: 'artifact', id, version, kind, title }
  const index = parts.findIndex((part) => part.type === 'artifact' && part.id === id)
  return index < 0 ? [...parts, artifact] : parts.with(index, artifact)
}

/** A call that its run left open has no result to come. */
function endTools(answer: Message): Message {
  const parts = answer.parts.map((part): MessagePart => {
    if (part.type !== 'tool' || part.state === 'done' || part.state === 'failed') return part
    return {
      ...part,
      state: 'failed',
      error: { code: 'run-ended', message: 'The run ended before this call.' },
    }
  })
  return { ...answer, parts }
}
