/** `npm run bench -- [scenario …] [--rounds n] [--save] [--profile]`: measures, and compares with the targets. */
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { isPinned, pinClient } from './peer.ts'
import { RESULTS, keepRound, tableOf } from './report.ts'
import { type Figure, type Round, type Scenario, figuresOf } from './scenario.ts'
import { scenarios } from './scenarios.ts'

const FIGURES = join(import.meta.dirname, 'figures.json')

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    save: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
  },
})
const chosen = scenarios.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
const unknown = positionals.find((name) => !scenarios.some((scenario) => scenario.name === name))
if (unknown !== undefined) {
  throw new Error(`There is no "${unknown}". There are: ${scenarios.map(({ name }) => name).join(', ')}.`)
}

pinClient()
const cores = isPinned ? 'server and clients on a core each' : 'no core of its own for either'
console.log(
  `${cpus()[0]?.model ?? 'a CPU'}, Node ${process.versions.node}, ${cores}, ${values.rounds} rounds`,
)
for (const scenario of chosen) await measure(scenario)

async function measure(scenario: Scenario): Promise<void> {
  const rounds: Round[] = []
  const profileOf = (server: string): string =>
    join(RESULTS, 'profiles', `${scenario.name} ${server}.cpuprofile`)
  for (let round = 0; round < Number(values.rounds); round++) {
    const measured = await scenario.round({ round, profile: values.profile ? profileOf : undefined })
    keepRound(scenario, measured)
    rounds.push(measured)
  }
  const figures = figuresOf(scenario, rounds)
  console.log(`\n${scenario.name}: ${scenario.title}\n${tableOf(figures)}`)
  if (values.save) save(figures)
}

/** Replaces what was saved of these scenarios. */
function save(fresh: readonly Figure[]): void {
  const saved = JSON.parse(readSaved()) as Figure[]
  const kept = saved.filter(({ scenario }) => !fresh.some((figure) => figure.scenario === scenario))
  const order = scenarios.map(({ name }) => name)
  const figures = [...kept, ...fresh].sort((a, b) => order.indexOf(a.scenario) - order.indexOf(b.scenario))
  writeFileSync(FIGURES, `${JSON.stringify(figures, rounded, 2)}\n`)
}

function readSaved(): string {
  try {
    return readFileSync(FIGURES, 'utf8')
  } catch {
    return '[]'
  }
}

function rounded(_: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(4)) : value
}
