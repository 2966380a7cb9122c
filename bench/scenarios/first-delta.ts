import { nextSeed } from '../load.ts'
import { type Order, clockMs } from '../order.ts'
import { Peer, type PeerName } from '../peer.ts'
import { FINISHED, Reader } from '../reader.ts'
import { type Round, type RoundOptions, type Scenario, quantile, rotated } from '../scenario.ts'
import { assertSame, framesOf, hashOf } from '../transcript.ts'

const WARM_RUNS = 1_000
const RUNS = 1_000
/** Messages in one thread; then another begins. */
const TURNS = 10
const PEERS: readonly PeerName[] = ['ws small', 'ws equal', 'turnpike', 'log alone']

/** One run after another: the time from a message to the first delta of its answer. */
export const firstDelta: Scenario = {
  name: 'first-delta',
  title: `message to first delta, ${RUNS} runs one after another, ${TURNS} in a thread`,
  figures: {
    'turnpike over ws small: p50': { unit: 'µs more', atMost: 25 },
    'log alone over ws small: p50': { unit: 'µs more', atMost: 25 },
    ...Object.fromEntries(
      PEERS.flatMap((peer) => [
        [`${peer}: p50`, { unit: 'µs' }],
        [`${peer}: p99`, { unit: 'µs' }],
        [`${peer}: CPU`, { unit: 'µs a run' }],
      ]),
    ),
  },
  round: roundOf,
}

async function roundOf(options: RoundOptions): Promise<Round> {
  const round: Record<string, number> = {}
  for (const name of rotated(PEERS, options)) {
    await using peer = await Peer.start(name)
    using reader = await Reader.openWebSocket(peer.port)
    for (let run = 0; run < WARM_RUNS; run++) await runOnce(reader, run)
    await peer.digests()
    await peer.profileTo(options.profile?.(name))
    const before = await peer.sample()
    const heard: { seed: number; hash: string }[] = []
    const took = new Float64Array(RUNS)
    for (let run = 0; run < RUNS; run++) {
      const { seed, tookMs } = await runOnce(reader, WARM_RUNS + run)
      took[run] = tookMs * 1_000
      heard.push({ seed, hash: hashOf(framesOf(reader).map(({ event }) => event)) })
    }
    const after = await peer.sample()
    const digests = await peer.digests()
    for (const { seed, hash } of heard) assertSame(hash, digests[seed])
    const sorted = took.sort()
    round[`${name}: p50`] = quantile(sorted, 0.5)
    round[`${name}: p99`] = quantile(sorted, 0.99)
    round[`${name}: CPU`] = (after.cpuUs - before.cpuUs) / RUNS
  }
  for (const own of ['turnpike', 'log alone']) {
    round[`${own} over ws small: p50`] = (round[`${own}: p50`] ?? NaN) - (round['ws small: p50'] ?? NaN)
  }
  return round
}

async function runOnce(reader: Reader, run: number): Promise<{ seed: number; tookMs: number }> {
  const order: Order = { seed: nextSeed(), deltas: 3, bytes: 24, burst: 1 }
  reader.clear()
  const message = JSON.stringify(order)
  const ended = reader.until(FINISHED)
  const sentAt = clockMs()
  reader.command('thread.send', { threadId: `bench-${Math.floor(run / TURNS)}`, message })
  await ended
  const first = framesOf(reader).find(({ event }) => event.type === 'text-delta')
  return { seed: order.seed, tookMs: (first?.atMs ?? NaN) - sentAt }
}
