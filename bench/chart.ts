/** `node bench/chart.ts`: draws `docs/figures/performance.svg` of what `npm run bench -- --save` has kept. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Figure } from './scenario.ts'

interface Bar {
  readonly label: string
  readonly scenario: string
  readonly figure: string
}

const BARS: readonly Bar[] = [
  { label: 'WebSocket, a delta at a time', scenario: 'throughput-1', figure: 'WebSocket to ws small' },
  { label: '… log alone', scenario: 'throughput-1', figure: 'WebSocket, log alone to ws small' },
  { label: 'Socket.IO, a delta at a time', scenario: 'throughput-1', figure: 'Socket.IO to ws small' },
  { label: '… a bare Socket.IO server', scenario: 'throughput-1', figure: 'bare Socket.IO to ws small' },
  { label: 'WebSocket, 8 deltas a turn', scenario: 'throughput-8', figure: 'WebSocket to ws small' },
  { label: '… log alone', scenario: 'throughput-8', figure: 'WebSocket, log alone to ws small' },
  { label: 'SSE, 8 deltas a turn', scenario: 'throughput-8', figure: 'SSE to ws small' },
  { label: '… log alone', scenario: 'throughput-8', figure: 'SSE, log alone to ws small' },
  { label: 'Socket.IO, 8 deltas a turn', scenario: 'throughput-8', figure: 'Socket.IO to ws small' },
  { label: '… log alone', scenario: 'throughput-8', figure: 'Socket.IO, log alone to ws small' },
  { label: '… a bare Socket.IO server', scenario: 'throughput-8', figure: 'bare Socket.IO to ws small' },
  { label: '500 runs at 50 deltas/s', scenario: 'paced', figure: 'turnpike to ws small: CPU' },
  { label: '1,000 observers, a delta at a time', scenario: 'fan-out-1', figure: 'turnpike to ws small' },
  { label: '1,000 observers, 8 deltas a turn', scenario: 'fan-out-8', figure: 'turnpike to ws small' },
]

const WIDTH = 720
const LEFT = 250
const RIGHT = 70
const TOP = 64
const ROW = 30
const THICK = 16

const path = join(import.meta.dirname, 'figures.json')
const figures = JSON.parse(readFileSync(path, 'utf8')) as Figure[]
const rows = BARS.flatMap((bar) => {
  const found = figures.find(({ scenario, name }) => scenario === bar.scenario && name === bar.figure)
  return found ? [{ ...bar, ...found }] : []
})
const most = Math.max(1.2, ...rows.map(({ max }) => max))
const height = TOP + rows.length * ROW + 30
const x = (value: number): number => Math.round((LEFT + (value / most) * (WIDTH - LEFT - RIGHT)) * 10) / 10

const folder = join(import.meta.dirname, '..', 'docs', 'figures')
mkdirSync(folder, { recursive: true })
writeFileSync(join(folder, 'performance.svg'), svg())

/** Colours that are told from a white page and from a dark one. */
function svg(): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title">
<title id="title">CPU of the server a delta, as a ratio to a bare ws server</title>
<style>
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 15px }
  .note { fill: #656d76; font-size: 12px }
  .bar { fill: #0969da }
  .one { stroke: #656d76; stroke-dasharray: 4 3 }
  .range { stroke: #24292f; stroke-width: 1.5 }
  .target { stroke: #bc4c00; stroke-width: 2.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .note { fill: #9198a1 }
    .bar { fill: #4493f8 }
    .one { stroke: #9198a1 }
    .range { stroke: #e6edf3 }
    .target { stroke: #f0883e }
  }
</style>
<text class="title" x="0" y="18">CPU of the server a delta, beside a bare ws server that sends the least</text>
<text class="note" x="0" y="38">Ours with log, resume and observers. Median and range of rounds; the short line is the target.</text>
<line class="one" x1="${x(1)}" x2="${x(1)}" y1="${TOP - 8}" y2="${height - 24}"/>
<text class="note" x="${x(1)}" y="${height - 8}" text-anchor="middle">bare ws = 1</text>
${rows.map(barOf).join('\n')}
</svg>
`
}

function barOf({ label, median, min, max, atMost }: Figure & Bar, index: number): string {
  const y = TOP + index * ROW
  const middle = y + THICK / 2
  const target =
    atMost === undefined
      ? ''
      : `<line class="target" x1="${x(atMost)}" x2="${x(atMost)}" y1="${y - 3}" y2="${y + THICK + 3}"/>`
  return (
    `<text x="${LEFT - 10}" y="${middle + 4}" text-anchor="end">${label}</text>` +
    `<rect class="bar" x="${LEFT}" y="${y}" width="${Math.round((x(median) - LEFT) * 10) / 10}" height="${THICK}" rx="2"/>` +
    `<line class="range" x1="${x(min)}" x2="${x(max)}" y1="${middle}" y2="${middle}"/>${target}` +
    `<text x="${x(Math.max(max, atMost ?? 0)) + 8}" y="${middle + 4}">${median.toFixed(2)}</text>`
  )
}
