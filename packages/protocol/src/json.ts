import { GatewayError } from './errors.ts'
import { LIMITS } from './limits.ts'

/**
 * Parses JSON that came from outside.
 *
 * @throws GatewayError `invalid-frame` where it is not JSON, `too-deep` beyond {@link LIMITS.jsonDepth}
 */
export function parseJson(text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new GatewayError('invalid-frame', 'The message is not valid JSON.')
  }
  if (isDeeperThan(value, LIMITS.jsonDepth)) {
    throw new GatewayError('too-deep', `JSON may be nested at most ${LIMITS.jsonDepth} levels deep.`)
  }
  return value
}

/** Tells whether something is nested deeper. Walks level by level, so that hostile nesting cannot exhaust the stack. */
export function isDeeperThan(value: unknown, depth: number): boolean {
  let level = [value].filter(isContainer)
  for (let i = 0; i < depth; i++) {
    if (level.length === 0) return false
    level = level.flatMap((container) => Object.values(container).filter(isContainer))
  }
  return level.length > 0
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
