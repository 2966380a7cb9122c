import { type ReactElement, useEffect, useRef } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { counted, duration } from '../app/quantities.ts'
import { NARROW, useMedia } from '../app/use-media.ts'
import { useStore } from '../app/use-store.ts'
import { settings } from '../settings/settings.ts'
import { type Sample, quantile } from './figures.ts'

const HEIGHT_PX = 150

export interface ChartProps {
  readonly title: string
  readonly samples: readonly Sample[]
  readonly shape: 'line' | 'points'
}

/** Samples over time. The drawing says nothing that the line above it does not sum up. */
export function Chart({ title, samples, shape }: ChartProps): ReactElement {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot>(undefined)
  const { theme } = useStore(settings)
  const isDark = useMedia('(prefers-color-scheme: dark)')
  const isNarrow = useMedia(NARROW)
  useEffect(() => {
    const { current } = box
    if (!current) return
    const made = new uPlot(optionsFor(current, shape), [[], []], current)
    plot.current = made
    const observer = new ResizeObserver(() => made.setSize({ width: current.clientWidth, height: HEIGHT_PX }))
    observer.observe(current)
    return () => {
      observer.disconnect()
      made.destroy()
    }
  }, [shape, theme, isDark, isNarrow])
  useEffect(() => {
    const seconds = samples.map(({ at }) => at / 1_000)
    plot.current?.setData([seconds, samples.map(({ ms }) => ms)])
  }, [samples, shape, theme, isDark, isNarrow])
  return (
    <figure className="chart" data-testid="chart">
      <figcaption>
        <strong>{title}</strong>
        <span>{summary(samples)}</span>
      </figcaption>
      <div ref={box} className="chart-box" aria-hidden="true" />
    </figure>
  )
}

function summary(samples: readonly Sample[]): string {
  const [median, most] = [quantile(samples, 0.5), quantile(samples, 0.95)]
  if (median === undefined || most === undefined) return 'nothing measured yet'
  return `${counted(samples.length, 'sample')}, median ${duration(median)}, 95 % in ${duration(most)}`
}

function optionsFor(box: HTMLElement, shape: ChartProps['shape']): uPlot.Options {
  const style = getComputedStyle(box)
  const [ink, line] = [style.color, style.borderTopColor]
  const accent = style.outlineColor
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } }
  return {
    width: box.clientWidth,
    height: HEIGHT_PX,
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_plot, _min, max) => [0, Math.max(10, (max || 0) * 1.1)] } },
    axes: [
      { ...axis, grid: { show: false }, space: 90 },
      { ...axis, size: 62, values: (_plot, ticks) => ticks.map((ms) => duration(ms)) },
    ],
    series: [
      {},
      {
        stroke: accent,
        width: 1.5,
        ...(shape === 'points' && { paths: () => null, points: { show: true, size: 7, fill: accent } }),
        ...(shape === 'line' && { points: { show: false } }),
      },
    ],
  }
}
