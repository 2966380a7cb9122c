import { nextSeed } from '../load.ts'
import { type Order, clockMs } from '../order.ts'
import { Peer, type PeerName } from '../peer.ts'
import { FINISHED, Reader } from '../reader.ts'
import { type Round, type RoundOptions, type Scenario, quantile, rotated } from '../scenario.ts'
import { assertSame, framesOf, hashOf } from '../transcript.ts'

const RUNS = 500
const PER_SECOND = 50
const SECONDS = 4
/** Runs begin, and so end, at times of their own within this time. */
const SPREAD_MS = 1_000
/** When counting begins: until then everything is new to the compiler. It ends when the first run does. */
const WARM_MS = 1_500
const LEAD_MS = 500
const BYTES = 24
const PEERS: readonly PeerName[] = ['ws small', 'ws equal', 'turnpike', 'log alone']

/** Many runs that speak steadily: how long after it was due a delta arrives. */
export const paced: Scenario = {
  name: 'paced',
  title: `${RUNS} runs of ${PER_SECOND} deltas/s for ${SECONDS} s, latency from the time a delta is due`,
  figures: {
    'turnpike to ws small: p99': { unit: 'ratio', atMost: 1.1 },
    'turnpike to ws small: CPU': { unit: 'ratio of CPU', atMost: 1 },
    'turnpike to ws equal: p99': { unit: 'ratio' },
    'turnpike to ws equal: CPU': { unit: 'ratio of CPU' },
    'log alone to ws small: p99': { unit: 'ratio', atMost: 1.1 },
    'log alone to ws small: CPU': { unit: 'ratio of CPU', atMost: 1 },
    'log alone to ws equal: p99': { unit: 'ratio' },
    'log alone to ws equal: CPU': { unit: 'ratio of CPU' },
    ...Object.fromEntries(
      PEERS.flatMap((peer) => [
        [`${peer}: p50`, { unit: 'ms' }],
        [`${peer}: p99`, { unit: 'ms' }],
        [`${peer}: CPU`, { unit: 'µs a delta' }],
      ]),
    ),
  },
  round: roundOf,
}

async function roundOf(options: RoundOptions): Promise<Round> {
  const round: Record<string, number> = {}
  for (const name of rotated(PEERS, options)) {
    await using peer = await Peer.start(name)
    const { p50, p99, cpuUs } = await measure(peer, options.profile?.(name))
    round[`${name}: p50`] = p50
    round[`${name}: p99`] = p99
    round[`${name}: CPU`] = cpuUs
  }
  for (const reference of ['ws small', 'ws equal']) {
    for (const what of ['p99', 'CPU']) {
      for (const own of ['turnpike', 'log alone']) {
        const [ours = NaN, theirs = NaN] = [round[`${own}: ${what}`], round[`${reference}: ${what}`]]
        round[`${own} to ${reference}: ${what}`] = ours / theirs
      }
    }
  }
  return round
}

async function measure(
  peer: Peer,
  profile: string | undefined,
): Promise<{ p50: number; p99: number; cpuUs: number }> {
  using stack = new DisposableStack()
  const readers: Reader[] = []
  await peer.profileTo(profile)
  for (let run = 0; run < RUNS; run++) readers.push(stack.use(await Reader.openWebSocket(peer.port)))
  const everyMs = 1_000 / PER_SECOND
  const from = clockMs() + LEAD_MS
  const runs = readers.map((reader, index) => {
    const pace = { startMs: from + (index / RUNS) * SPREAD_MS, everyMs }
    const order: Order = { seed: nextSeed(), deltas: PER_SECOND * SECONDS, bytes: BYTES, burst: 1, pace }
    const ended = reader.until(FINISHED)
    reader.command('thread.send', { threadId: `bench-${order.seed}`, message: JSON.stringify(order) })
    return { reader, order, ended }
  })
  await new Promise((resolve) => setTimeout(resolve, from + WARM_MS - clockMs()))
  const before = await peer.sample()
  await new Promise((resolve) => setTimeout(resolve, from + SECONDS * 1_000 - clockMs()))
  const after = await peer.sample()
  await Promise.all(runs.map(({ ended }) => ended))
  const digests = await peer.digests()
  const late: number[] = []
  for (const { reader, order } of runs) {
    const frames = framesOf(reader)
    assertSame(hashOf(frames.map(({ event }) => event)), digests[order.seed])
    for (const { event, atMs } of frames) {
      if (event.type !== 'text-delta') continue
      // Joined deltas are as late as the first of them.
      const dueMs = Number.parseFloat(event.delta ?? '')
      if (dueMs >= from + WARM_MS && dueMs < from + SECONDS * 1_000) late.push(atMs - dueMs)
    }
  }
  const sorted = Float64Array.from(late).sort()
  const counted = RUNS * PER_SECOND * (SECONDS - WARM_MS / 1_000)
  return {
    p50: quantile(sorted, 0.5),
    p99: quantile(sorted, 0.99),
    cpuUs: (after.cpuUs - before.cpuUs) / counted,
  }
}
