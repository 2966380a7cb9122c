import { GatewayError, LIMITS } from '@turnpike/protocol'
import { AgentEvent } from '@turnpike/protocol/wire'

/**
 * Checks an event that an agent yielded or emitted, and takes a copy that nobody changes afterwards.
 *
 * Text goes another way ({@link splitText}); this is for the rest, which is rare.
 *
 * @throws GatewayError `invalid-agent-event` | `event-too-large`
 */
export function checkAgentEvent(event: unknown): AgentEvent {
  let json: string | undefined
  try {
    json = JSON.stringify(event)
  } catch (cause) {
    throw new GatewayError('invalid-agent-event', 'The agent reported something that is not JSON.', { cause })
  }
  if (json === undefined)
    throw new GatewayError('invalid-agent-event', 'The agent reported something that is not JSON.')
  if (json.length > LIMITS.eventChars) {
    throw new GatewayError(
      'event-too-large',
      `An event of the agent exceeds ${LIMITS.eventChars} characters.`,
    )
  }
  const checked = AgentEvent.safeParse(JSON.parse(json))
  if (checked.success) return withValue(checked.data)
  const cause = checked.error
  throw new GatewayError('invalid-agent-event', 'The agent reported an event of unknown type or shape.', {
    cause,
  })
}

/** What a tool or an artifact without a value has is null: JSON would leave the field out. */
function withValue(event: AgentEvent): AgentEvent {
  if (event.type === 'tool-call-result') return { ...event, result: event.result ?? null }
  if (event.type !== 'artifact-created') return event
  return { ...event, artifact: { ...event.artifact, content: event.artifact.content ?? null } }
}

/** Cuts text into pieces of at most {@link LIMITS.deltaChars}, never through a surrogate pair. */
export function splitText(text: string): readonly string[] {
  const pieces: string[] = []
  for (let start = 0; start < text.length;) {
    let end = Math.min(start + LIMITS.deltaChars, text.length)
    if (end < text.length && isHighSurrogate(text.charCodeAt(end - 1))) end--
    pieces.push(text.slice(start, end))
    start = end
  }
  return pieces
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff
}
