import { inspect } from 'node:util'

/** Where the server writes what clients do not get to see. pino and console fit. */
export interface Logger {
  error(fields: object, message: string): void
  info(fields: object, message: string): void
}

/** Errors as lines of JSON on standard error; nothing else. */
export const defaultLogger: Logger = {
  error(fields, message) {
    process.stderr.write(`${lineOf({ level: 'error', time: Date.now(), message, ...fields })}\n`)
  },
  info() {},
}

/** What is logged comes from anywhere, and need not be JSON. */
function lineOf(fields: Record<string, unknown>): string {
  try {
    return JSON.stringify(fields, plain)
  } catch {
    return inspect(fields, { breakLength: Infinity })
  }
}

function plain(_key: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value
  return { name: value.name, message: value.message, stack: value.stack, cause: value.cause }
}
