import { type Order, clockMs, digestOf, textAt } from '../order.ts'

interface Produced {
  readonly order: Order
  count: number
}

const ledger = new Map<number, Produced>()

/** The agent of both servers: yields what the order says, a burst each turn of the event loop or each delta when due. */
export async function* produce(order: Order, signal: AbortSignal): AsyncGenerator<string, void> {
  const { deltas, burst, pace, hold } = order
  const produced = { order, count: 0 }
  ledger.set(order.seed, produced)
  for (let index = 0; index < deltas && !signal.aborted; index++) {
    if (pace) await due(pace.startMs + index * pace.everyMs)
    else if (index > 0 && index % burst === 0) await new Promise(setImmediate)
    produced.count++
    yield textAt(order, index)
  }
  if (hold && !signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
}

/** The hash of what the agent has said, by the seeds of its orders; forgets it. */
export function takeDigests(): Record<number, string> {
  const digests: Record<number, string> = {}
  for (const [seed, { order, count }] of ledger) digests[seed] = digestOf(order, count)
  ledger.clear()
  return digests
}

interface Waiter {
  readonly at: number
  readonly go: () => void
}

const TICK_MS = 1
let waiters: Waiter[] = []

/** One timer for all runs: what is measured is not the timers of the bench. */
function due(at: number): Promise<void> | undefined {
  if (at <= clockMs()) return undefined
  return new Promise((go) => {
    if (waiters.length === 0) setTimeout(release, TICK_MS)
    waiters.push({ at, go })
  })
}

function release(): void {
  const now = clockMs()
  const ready = waiters.filter(({ at }) => at <= now)
  waiters = waiters.filter(({ at }) => at > now)
  if (waiters.length > 0) setTimeout(release, TICK_MS)
  for (const { go } of ready) go()
}
