import { nextSeed } from '../load.ts'
import { type Order, clockMs } from '../order.ts'
import { Peer } from '../peer.ts'
import { FINISHED, Reader } from '../reader.ts'
import { type Round, type RoundOptions, type Scenario, rotated } from '../scenario.ts'
import { assertSame, framesOf, hashOf } from '../transcript.ts'

const READERS = 1_000
const FRAMES = 300
const WARM_FRAMES = 100
const PEERS = { ws: 'ws small', manager: 'manager' } as const

/** What the connection manager sends to all, beside a bare server that sends the same to each. */
export const broadcast: Scenario = {
  name: 'broadcast',
  title: `${FRAMES} frames to each of ${READERS} connections of the connection manager`,
  figures: {
    'manager to ws': { unit: 'ratio of CPU', atMost: 1 },
    'ws: CPU': { unit: 'µs a delivery' },
    'manager: CPU': { unit: 'µs a delivery' },
    'ws: speed': { unit: '1,000 deliveries/s' },
    'manager: speed': { unit: '1,000 deliveries/s' },
  },
  round: roundOf,
}

async function roundOf(options: RoundOptions): Promise<Round> {
  const round: Record<string, number> = {}
  for (const [name, peer] of rotated(Object.entries(PEERS), options)) {
    await using server = await Peer.start(peer)
    using stack = new DisposableStack()
    const readers: Reader[] = []
    for (let n = 0; n < READERS; n++) readers.push(stack.use(await Reader.openWebSocket(server.port, '/ws')))
    await deliver(server, readers, WARM_FRAMES)
    await server.profileTo(options.profile?.(name))
    const { cpuUs, wallMs } = await deliver(server, readers, FRAMES)
    round[`${name}: CPU`] = cpuUs / (FRAMES * READERS)
    round[`${name}: speed`] = (FRAMES * READERS) / wallMs
  }
  round['manager to ws'] = (round['manager: CPU'] ?? NaN) / (round['ws: CPU'] ?? NaN)
  return round
}

async function deliver(
  server: Peer,
  readers: readonly Reader[],
  deltas: number,
): Promise<{ cpuUs: number; wallMs: number }> {
  for (const reader of readers) reader.clear()
  const order: Order = { deltas, burst: 1, seed: nextSeed(), bytes: 24, broadcast: true }
  const before = await server.sample()
  const startedAt = clockMs()
  const ends = readers.map((reader) => reader.until(FINISHED))
  readers[0]?.command('thread.send', { message: JSON.stringify(order) })
  const wallMs = Math.max(...(await Promise.all(ends))) - startedAt
  const after = await server.sample()
  const [produced] = Object.values(await server.digests())
  for (const reader of readers) assertSame(hashOf(framesOf(reader).map(({ event }) => event)), produced)
  return { cpuUs: after.cpuUs - before.cpuUs, wallMs }
}
