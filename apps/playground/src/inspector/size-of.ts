import type { ThreadEvent } from '@turnpike/protocol'

const sizes = new WeakMap<ThreadEvent, number>()
const encoder = new TextEncoder()

/** The bytes of an event as JSON, which is how it travels. */
export function sizeOf(event: ThreadEvent): number {
  const known = sizes.get(event)
  if (known !== undefined) return known
  const size = encoder.encode(JSON.stringify(event)).length
  sizes.set(event, size)
  return size
}
