import { GatewayError } from '@turnpike/protocol'

const MAX_CHARS = 512

/**
 * Reads `entity.tool`, where `*` stands for any entity or any tool. The last dot divides: tools have none in their
 * names, entities may.
 *
 * @throws GatewayError `invalid-payload` where it is no such pattern
 */
export function parseToolPattern(pattern: string): { readonly entity: string; readonly tool: string } {
  const dot = pattern.lastIndexOf('.')
  const entity = pattern.slice(0, Math.max(0, dot))
  const tool = pattern.slice(dot + 1)
  if (entity !== '' && pattern.length <= MAX_CHARS && /^(\*|[\w-]+)$/.test(tool)) return { entity, tool }
  throw new GatewayError(
    'invalid-payload',
    `A tool of an entity is named "entity.tool" or "entity.*", got ${JSON.stringify(pattern.slice(0, 80))}.`,
  )
}

/** Tells whether a pattern names a tool of an entity. */
export function matchesTool(pattern: string, { entity, name }: { entity: string; name: string }): boolean {
  const wanted = parseToolPattern(pattern)
  return (wanted.entity === '*' || wanted.entity === entity) && (wanted.tool === '*' || wanted.tool === name)
}
