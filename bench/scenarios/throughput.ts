import { type Load, costOf } from '../load.ts'
import { Peer, type PeerName } from '../peer.ts'
import { type FigureSpec, type Round, type RoundOptions, type Scenario, rotated } from '../scenario.ts'

const DELTAS = 2_000
const BYTES = 24
const WARM_MS = 1_500
const MEASURED_MS = 1_000

interface Target {
  readonly websocket: number
  readonly sse: number
}

interface Contender {
  readonly label: string
  readonly peer: PeerName
  readonly wire: Load['wire']
}

const CONTENDERS: readonly Contender[] = [
  { label: 'ws small', peer: 'ws small', wire: 'websocket' },
  { label: 'ws equal', peer: 'ws equal', wire: 'websocket' },
  { label: 'WebSocket', peer: 'turnpike', wire: 'websocket' },
  { label: 'SSE', peer: 'turnpike', wire: 'sse' },
  { label: 'WebSocket, log alone', peer: 'log alone', wire: 'websocket' },
  { label: 'SSE, log alone', peer: 'log alone', wire: 'sse' },
]

/** As many deltas as go through: what one costs the server's CPU, beside a bare `ws` server that keeps nothing. */
export function throughput(burst: number, clients: number, target: Target): Scenario {
  const figures: Record<string, FigureSpec> = {
    'WebSocket to ws small': { unit: 'ratio of CPU', atMost: target.websocket },
    'WebSocket to ws equal': { unit: 'ratio of CPU' },
    'SSE to ws small': { unit: 'ratio of CPU', atMost: target.sse },
    'SSE to ws equal': { unit: 'ratio of CPU' },
    'WebSocket, log alone to ws small': { unit: 'ratio of CPU', atMost: target.websocket },
    'WebSocket, log alone to ws equal': { unit: 'ratio of CPU' },
    'SSE, log alone to ws small': { unit: 'ratio of CPU', atMost: target.sse },
    'SSE, log alone to ws equal': { unit: 'ratio of CPU' },
  }
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
  for (const label of ['WebSocket', 'SSE', 'WebSocket, log alone', 'SSE, log alone']) {
    for (const reference of ['ws small', 'ws equal']) {
      round[`${label} to ${reference}`] = (cpu.get(label) ?? NaN) / (cpu.get(reference) ?? NaN)
    }
  }
  return round
}
