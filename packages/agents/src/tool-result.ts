import type { JSONValue } from '@ai-sdk/provider'
import { GatewayError, LIMITS } from '@turnpike/protocol'
import { isDeeperThan } from '@turnpike/protocol/wire'

/** Leaves room for the rest of the event that carries it. */
const MAX_CHARS = LIMITS.eventChars - 4_096
const MAX_DEPTH = LIMITS.eventDepth - 10

/**
 * The JSON of what a tool gave; a copy. Nothing becomes null.
 *
 * @throws GatewayError `tool-failed` where it is none, or too long for an event
 */
export function toJsonValue(value: unknown): JSONValue {
  const text = stringify(value) ?? 'null'
  if (text.length > MAX_CHARS) {
    throw new GatewayError('tool-failed', `The tool's result exceeds ${MAX_CHARS} characters of JSON.`)
  }
  const json: JSONValue = JSON.parse(text)
  if (!isDeeperThan(json, MAX_DEPTH)) return json
  throw new GatewayError('tool-failed', `The tool's result is nested deeper than ${MAX_DEPTH} levels.`)
}

function stringify(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch (cause) {
    throw new GatewayError('tool-failed', "The tool's result is not JSON.", { cause })
  }
}

/** Whether a value is an object in the sense of JSON. */
export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
