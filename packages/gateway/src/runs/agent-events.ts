import { type Limits, GatewayError } from '@turnpike/protocol'
import { AgentEvent, AgentOutcome, isDeeperThan } from '@turnpike/protocol/wire'

type EventLimits = Pick<Limits, 'eventChars' | 'eventDepth'>

/**
 * Checks an event that an agent yielded or emitted, and takes a copy that nobody changes afterwards.
 *
 * Text goes another way ({@link splitText}); this is for the rest, which is rare.
 *
 * @throws GatewayError `invalid-agent-event` | `event-too-large`
 */
export function checkAgentEvent(event: unknown, limits: EventLimits): AgentEvent {
  const checked = AgentEvent.safeParse(plainJson(event, limits))
  if (checked.success) return withValue(checked.data)
  throw invalid('The agent reported an event of unknown type or shape.', checked.error)
}

/**
 * Checks how an agent says that it ended.
 *
 * @throws GatewayError `invalid-agent-event` | `event-too-large`
 */
export function checkOutcome(outcome: unknown, limits: EventLimits): AgentOutcome {
  const checked = AgentOutcome.safeParse(plainJson(outcome ?? {}, limits))
  if (checked.success) return checked.data
  throw invalid('The agent ended with something that is no outcome.', checked.error)
}

/** A copy that is JSON and that nobody changes afterwards. */
function plainJson(value: unknown, { eventChars, eventDepth }: EventLimits): unknown {
  let json: string | undefined
  try {
    json = JSON.stringify(value)
  } catch (cause) {
    throw invalid('The agent reported something that is not JSON.', cause)
  }
  if (json === undefined) throw invalid('The agent reported something that is not JSON.')
  if (json.length > eventChars) {
    throw new GatewayError('event-too-large', `What the agent reported exceeds ${eventChars} characters.`)
  }
  const copy: unknown = JSON.parse(json)
  if (isDeeperThan(copy, eventDepth))
    throw invalid(`The agent reported something nested deeper than ${eventDepth}.`)
  return copy
}

function invalid(message: string, cause?: unknown): GatewayError {
  return new GatewayError('invalid-agent-event', message, { cause })
}

/** What a tool or an artifact without a value has is null: JSON would leave the field out. */
function withValue(event: AgentEvent): AgentEvent {
  if (event.type === 'tool-call-result') return { ...event, result: event.result ?? null }
  if (event.type !== 'artifact-created') return event
  return { ...event, artifact: { ...event.artifact, content: event.artifact.content ?? null } }
}

/** Cuts text into pieces of at most `maxChars`, never through a surrogate pair. */
export function splitText(text: string, maxChars: number): readonly string[] {
  const pieces: string[] = []
  for (let start = 0; start < text.length;) {
    let end = Math.min(start + maxChars, text.length)
    if (end < text.length && end - start > 1 && isHighSurrogate(text.charCodeAt(end - 1))) end--
    pieces.push(text.slice(start, end))
    start = end
  }
  return pieces
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff
}
