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
  const described = Object.entries(fields).map(([name, value]) => [name, describe(value)])
  try {
    return JSON.stringify(Object.fromEntries(described))
  } catch {
    return inspect(fields, { breakLength: Infinity })
  }
}

/** Errors tell little of themselves as JSON; clients are to get no more, but the log is. */
function describe(value: unknown): unknown {
  if (!(value instanceof Error)) return value
  const { name, message, stack, cause } = value
  return { name, message, stack, ...(cause !== undefined && { cause: describe(cause) }) }
}
