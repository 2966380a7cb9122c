/** What is to be known of a payload that a library has parsed already. */
export interface Measure {
  /** About how long it was as JSON. */
  readonly bytes: number
  /** How deep its objects and lists are nested. */
  readonly depth: number
  /** Whether there is anything in it that JSON cannot say. */
  readonly isBinary: boolean
}

/** Measures a payload level by level, so that hostile nesting cannot exhaust the stack. */
export function measure(payload: unknown): Measure {
  let bytes = 0
  let isBinary = false
  let level: object[] = []
  const take = (value: unknown, into: object[]): void => {
    if (typeof value === 'string') bytes += value.length + 2
    // Most are short, and there may be many.
    else if (typeof value === 'number') bytes += 2
    else if (typeof value !== 'object' || value === null) bytes += 4
    else if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
      isBinary = true
      bytes += value.byteLength
    } else into.push(value)
  }
  take(payload, level)
  let depth = 0
  for (; level.length > 0; depth++) {
    const next: object[] = []
    for (const container of level) {
      bytes += 2
      if (Array.isArray(container)) for (const item of container) take(item, next)
      else {
        for (const [key, value] of Object.entries(container)) {
          bytes += key.length + 4
          take(value, next)
        }
      }
    }
    level = next
  }
  return { bytes, depth, isBinary }
}
