import { type Order, clockMs } from './order.ts'
import type { Peer } from './peer.ts'
import { FINISHED, FINISHED_PACKET, RESPONSE_ENDED, Reader } from './reader.ts'
import { type Heard, assertSame, eventsOf, framesOf, hashOf } from './transcript.ts'

/** Many clients, each of which starts a run in a thread of its own and reads it to the end. */
export interface Load {
  readonly wire: 'websocket' | 'sse' | 'socket.io'
  readonly clients: number
  readonly order: Omit<Order, 'seed'>
}

/** What a load cost. */
export interface Cost {
  readonly cpuUs: number
  readonly wallMs: number
  readonly deltas: number
  readonly frames: number
  readonly bytes: number
}

/** How the last that a run brings ends. */
const ENDS = { websocket: FINISHED, 'socket.io': FINISHED_PACKET, sse: RESPONSE_ENDED }

let seeds = 0

/** A seed that no order had before. */
export function nextSeed(): number {
  return ++seeds
}

/** Runs the load over and over until it took `forMs`; the text that each client got is checked every time. */
export async function costOf(peer: Peer, load: Load, forMs: number): Promise<Cost> {
  const sum = { cpuUs: 0, wallMs: 0, deltas: 0, frames: 0, bytes: 0 }
  while (sum.wallMs < forMs) {
    const cost = await once(peer, load)
    sum.cpuUs += cost.cpuUs
    sum.wallMs += cost.wallMs
    sum.deltas += cost.deltas
    sum.frames += cost.frames
    sum.bytes += cost.bytes
  }
  return sum
}

async function once(peer: Peer, load: Load): Promise<Cost> {
  const { wire, clients, order } = load
  using stack = new DisposableStack()
  const runs: { reader: Reader; order: Order }[] = []
  for (let client = 0; client < clients; client++) {
    runs.push({ reader: stack.use(await open(peer, wire)), order: { ...order, seed: nextSeed() } })
  }
  // Never after a collection of its own: that makes the young generation small again, which costs the next ones.
  const before = await peer.sample()
  const startedAt = clockMs()
  const ends = runs.map(({ reader }) => reader.until(ENDS[wire]))
  for (const run of runs) send(run.reader, wire, run.order)
  const wallMs = Math.max(...(await Promise.all(ends))) - startedAt
  const after = await peer.sample()
  const digests = await peer.digests()
  const cost = {
    cpuUs: after.cpuUs - before.cpuUs,
    wallMs,
    deltas: clients * order.deltas,
    frames: 0,
    bytes: 0,
  }
  for (const { reader, order } of runs) {
    const events = wire === 'sse' ? eventsOf(reader) : framesOf(reader).map(({ event }) => event)
    assertSame(hashOf(events), digests[order.seed])
    cost.frames += deltasIn(events)
    cost.bytes += reader.bytes
  }
  return cost
}

function open({ port }: Peer, wire: Load['wire']): Promise<Reader> {
  if (wire === 'sse') return Reader.connect(port)
  return wire === 'websocket' ? Reader.openWebSocket(port) : Reader.openSocketIo(port)
}

function send(reader: Reader, wire: Load['wire'], order: Order): void {
  const payload = { threadId: `bench-${order.seed}`, message: JSON.stringify(order) }
  if (wire === 'sse') reader.post('/agents/bench/chat/stream', payload)
  else reader.command('thread.send', payload)
}

function deltasIn(events: readonly Heard[]): number {
  return events.reduce((count, { type }) => count + Number(type === 'text-delta'), 0)
}
