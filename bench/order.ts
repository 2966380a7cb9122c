import { createHash } from 'node:crypto'

/** What a run of the bench is to produce. A client sends it as its message; both servers' agents follow it. */
export interface Order {
  /** Tells runs apart, and their texts. */
  readonly seed: number
  readonly deltas: number
  /** Of each delta; all text is ASCII. */
  readonly bytes: number
  /** Deltas yielded in one turn of the event loop. */
  readonly burst: number
  /** Instead of `burst`: each delta is due at a time of its own, and says which. */
  readonly pace?: { readonly startMs: number; readonly everyMs: number }
  /** The last delta ends with {@link END}, and the run goes on without a word until it is stopped. */
  readonly hold?: boolean
  /** The bare server sends it to everybody; a gateway does so anyway. */
  readonly broadcast?: boolean
}

/** How the last delta of an order that is held ends. */
export const END = 'THE-END'

const POOL = 1_024
const VOCABULARY = 4_000
const pools = new Map<number, readonly string[]>()

/** Milliseconds of a clock that all processes of this machine share. */
export function clockMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** What delta number `index` of an order says: the same in every process. */
export function textAt(order: Order, index: number): string {
  const { seed, bytes, pace, hold, deltas } = order
  if (pace) return (pace.startMs + index * pace.everyMs).toFixed(3).padEnd(bytes)
  const pool = pools.get(bytes) ?? poolOf(bytes)
  const text = pool[(seed * 7_919 + index * 31) % POOL] ?? ''
  return hold && index === deltas - 1 ? text.slice(0, -END.length) + END : text
}

/** The hash of the first `count` texts of an order. */
export function digestOf(order: Order, count: number): string {
  const hash = createHash('sha256')
  for (let index = 0; index < count; index++) hash.update(textAt(order, index))
  return hash.digest('hex')
}

/** Words as they are spread in real text, so that indexing it costs what it does there: few are frequent, most rare. */
function poolOf(bytes: number): readonly string[] {
  let state = bytes
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  const word = (): string => (Math.floor(VOCABULARY ** random()) * 7_919 + 46_656).toString(36)
  const pool = Array.from({ length: POOL }, () => {
    let text = ''
    while (text.length < bytes) text += `${word()} `
    return text.slice(0, bytes)
  })
  pools.set(bytes, pool)
  return pool
}
