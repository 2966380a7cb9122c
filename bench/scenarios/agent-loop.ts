import { resultOf } from '../peer.ts'
import type { Scenario } from '../scenario.ts'

interface Result {
  readonly costs: Readonly<Record<string, number>>
  readonly steady: Readonly<Record<string, { cpuPercent: number; p50: number; p99: number }>>
}

const TARGETS = {
  'our loop over doStream: CPU': { unit: 'µs a delta', atMost: 3 },
  'our loop, steady: p99': { unit: 'ms', atMost: 10 },
}
const WAYS = ['doStream', 'our loop', 'streamText']

/** The built-in agent's own cost, beside reading the model's stream and beside the AI SDK's loop; no wire. */
export const agentLoop: Scenario = {
  name: 'agent-loop',
  title: 'an agent on a model whose deltas are ready; then 500 runs of 50 deltas/s on one core',
  figures: {
    ...TARGETS,
    ...Object.fromEntries(
      WAYS.flatMap((way) => [
        [`${way}: CPU`, { unit: 'µs a delta' }],
        [`${way}, steady: p50`, { unit: 'ms' }],
        [`${way}, steady: p99`, { unit: 'ms' }],
        [`${way}, steady: CPU`, { unit: '% of a core' }],
      ]),
    ),
    // Again, since those above stand for the order alone.
    ...TARGETS,
  },
  async round() {
    const { costs, steady } = (await resultOf('agent-loop.ts')) as Result
    const round: Record<string, number> = {}
    for (const way of WAYS) {
      const { p50 = NaN, p99 = NaN, cpuPercent = NaN } = steady[way] ?? {}
      round[`${way}: CPU`] = costs[way] ?? NaN
      round[`${way}, steady: p50`] = p50
      round[`${way}, steady: p99`] = p99
      round[`${way}, steady: CPU`] = cpuPercent
    }
    round['our loop over doStream: CPU'] = (costs['our loop'] ?? NaN) - (costs['doStream'] ?? NaN)
    return round
  },
}
