import { type Load, costOf } from '../load.ts'
import { Peer, type PeerName } from '../peer.ts'
import { type FigureSpec, type Round, type RoundOptions, type Scenario, rotated } from '../scenario.ts'

const DELTAS = 2_000
const BYTES = 24
const WARM_MS = 1_500
const MEASURED_MS = 1_000

/** The most that each wire may cost, as a ratio to the bare server. */
type Target = Readonly<Record<Load['wire'], number>>

interface Contender {
  readonly label: string
  readonly peer: PeerName
  readonly wire: Load['wire']
}

const WIRES = { websocket: 'WebSocket', sse: 'SSE', 'socket.io': 'Socket.IO' } as const
const BARE: readonly Contender[] = [
  { label: 'ws small', peer: 'ws small', wire: 'websocket' },
  { label: 'ws equal', peer: 'ws equal', wire: 'websocket' },
  { label: 'bare Socket.IO', peer: 'bare Socket.IO', wire: 'socket.io' },
]
const OURS: readonly Contender[] = (['websocket', 'sse', 'socket.io'] as const).flatMap((wire) => [
  { label: WIRES[wire], peer: 'turnpike', wire },
  { label: `${WIRES[wire]}, log alone`, peer: 'log alone', wire },
])
const CONTENDERS = [...BARE, ...OURS]

/** As many deltas as go through: what one costs the server's CPU, beside a bare `ws` server that keeps nothing. */
export function throughput(burst: number, clients: number, target: Target): Scenario {
  const figures: Record<string, FigureSpec> = {}
  for (const { label, wire } of OURS) {
    figures[`${label} to ws small`] = { unit: 'ratio of CPU', atMost: target[wire] }
    figures[`${label} to ws equal`] = { unit: 'ratio of CPU' }
  }
  figures['bare Socket.IO to ws small'] = { unit: 'ratio of CPU' }
  for (const { label } of CONTENDERS) {
    figures[`${label}: CPU`] = { unit: 'µs a delta' }
    figures[`${label}: speed`] = { unit: '1,000 deltas/s' }
    figures[`${label}: frames`] = { unit: 'a delta' }
    figures[`${label}: bytes`] = { unit: 'a delta' }
  }
  const load = { clients, order: { deltas: DELTAS, bytes: BYTES, burst } }
  return {
    name: `throughput-${burst}${clients === 10 ? '' : `-${clients}`}`,
    title: `${clients} clients with a run each, deltas of ${BYTES} B, ${burst} a turn of the event loop`,
    figures,
    round: (options) => roundOf(load, options),
  }
}

async function roundOf(load: Omit<Load, 'wire'>, options: RoundOptions): Promise<Round> {
  const round: Record<string, number> = {}
  const cpu = new Map<string, number>()
  for (const { label, peer: name, wire } of rotated(CONTENDERS, options)) {
    await using peer = await Peer.start(name)
    await costOf(peer, { ...load, wire }, WARM_MS)
    await peer.profileTo(options.profile?.(label))
    const { cpuUs, wallMs, deltas, frames, bytes } = await costOf(peer, { ...load, wire }, MEASURED_MS)
    cpu.set(label, cpuUs / deltas)
    round[`${label}: CPU`] = cpuUs / deltas
    round[`${label}: speed`] = deltas / wallMs
    round[`${label}: frames`] = frames / deltas
    round[`${label}: bytes`] = bytes / deltas
  }
  for (const { label } of [...OURS, { label: 'bare Socket.IO' }]) {
    for (const reference of ['ws small', 'ws equal']) {
      round[`${label} to ${reference}`] = (cpu.get(label) ?? NaN) / (cpu.get(reference) ?? NaN)
    }
  }
  return round
}
