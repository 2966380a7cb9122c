import type { Logger } from './logger.ts'

const HIDDEN = '[hidden]'
/** What is deeper is not logged. */
const MAX_DEPTH = 8

/** A logger that never gets to see a secret, wherever it stands in what is logged. */
export function loggerWithout(secret: string, logger: Logger): Logger {
  return {
    error: (fields, message) => logger.error(new Copy(secret).fieldsOf(fields), message),
    info: (fields, message) => logger.info(new Copy(secret).fieldsOf(fields), message),
  }
}

/** A copy in which a secret stands nowhere. What an error is made of is kept. */
class Copy {
  /** As it is, in JSON, in a URL. */
  readonly #forms: readonly string[]
  readonly #seen = new Set<object>()

  constructor(secret: string) {
    this.#forms = [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret.toWellFormed())]
  }

  fieldsOf(value: object, depth = 0): object {
    const fields = Object.entries(value)
    return Object.fromEntries(fields.map(([name, field]) => [this.#text(name), this.of(field, depth + 1)]))
  }

  of(value: unknown, depth = 0): unknown {
    if (typeof value === 'string') return this.#text(value)
    if (typeof value !== 'object' || value === null) return value
    // A graph is told once; bytes are not told at all.
    if (depth > MAX_DEPTH || this.#seen.has(value) || ArrayBuffer.isView(value)) return HIDDEN
    this.#seen.add(value)
    if (Array.isArray(value)) return value.map((item) => this.of(item, depth + 1))
    const fields = this.fieldsOf(value, depth)
    if (!(value instanceof Error)) return fields
    const { name, message, stack = '', cause } = value
    const error = new Error(this.#text(message), { cause: this.of(cause, depth + 1) })
    return Object.assign(error, fields, { name, stack: this.#text(stack) })
  }

  #text(text: string): string {
    return this.#forms.reduce((hidden, form) => hidden.replaceAll(form, HIDDEN), text)
  }
}
