import { plainJson } from './plain-text.ts'

const CHARS = 100

/** A value as JSON in a line, cut where it is long. */
export function briefJson(value: unknown): string {
  const json = plainJson(value)
  // Never in the middle of a pair of surrogates.
  return json.length <= CHARS ? json : `${json.slice(0, CHARS).replace(/\p{Cs}$/u, '')} …`
}
