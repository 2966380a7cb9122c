import type { Logger } from './logger.ts'

const HIDDEN = '[hidden]'
const UNREADABLE = '[unreadable]'
/** What is deeper is not logged. */
const MAX_DEPTH = 8

/** A logger that never gets to see a secret, wherever it stands in what is logged. */
export function loggerWithout(secret: string, logger: Logger): Logger {
  return {
    error: (fields, message) => logger.error(new Copy(secret).fieldsOf(fields), message),
    info: (fields, message) => logger.info(new Copy(secret).fieldsOf(fields), message),
  }
}

/** A copy in which a secret stands nowhere. What an error is made of is kept, as far as it can be read. */
class Copy {
  /** As it is, in JSON, in a URL. */
  readonly #forms: readonly string[]
  readonly #seen = new Set<object>()

  constructor(secret: string) {
    this.#forms = [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret.toWellFormed())]
  }

  fieldsOf(value: object, depth = 0): object {
    const names = readable(() => Object.keys(value))
    if (names === UNREADABLE) return {}
    const fields = names.map((name) => [this.#text(name), this.#fieldOf(value, name, depth)] as const)
    return Object.fromEntries(fields)
  }

  /** Errors come from anywhere: to read one may fail, which must not end what is going on. */
  #fieldOf(value: object, name: string, depth: number): unknown {
    return readable(() => this.#of(Reflect.get(value, name), depth + 1))
  }

  #of(value: unknown, depth: number): unknown {
    if (typeof value === 'string') return this.#text(value)
    if (typeof value !== 'object' || value === null) return value
    // A graph is told once; bytes are not told at all.
    if (depth > MAX_DEPTH || this.#seen.has(value) || ArrayBuffer.isView(value)) return HIDDEN
    this.#seen.add(value)
    if (Array.isArray(value)) return Object.values(this.fieldsOf(value, depth))
    const fields = this.fieldsOf(value, depth)
    return value instanceof Error ? this.#errorOf(value, fields, depth) : fields
  }

  #errorOf(error: Error, fields: object, depth: number): Error {
    const part = (name: 'name' | 'message' | 'stack'): string => textOf(this.#fieldOf(error, name, depth))
    const copy = new Error(part('message'), { cause: this.#fieldOf(error, 'cause', depth) })
    return Object.assign(copy, fields, { name: part('name'), message: copy.message, stack: part('stack') })
  }

  #text(text: string): string {
    return this.#forms.reduce((hidden, form) => hidden.replaceAll(form, HIDDEN), text)
  }
}

/** What is no text, though it should be one. */
function textOf(part: unknown): string {
  if (typeof part === 'string') return part
  return part === undefined || part === null ? '' : String(readable(() => JSON.stringify(part)))
}

function readable<Value>(read: () => Value): Value | typeof UNREADABLE {
  try {
    return read()
  } catch {
    return UNREADABLE
  }
}
