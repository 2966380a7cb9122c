import type { ReactElement } from 'react'
import { useStore } from '../app/use-store.ts'
import { Chart } from './chart.tsx'
import { figures } from './figures.ts'

/** What this page has measured since it was opened. */
export function FigureCharts(): ReactElement {
  const { firstWord, delivery, reconnect } = useStore(figures)
  return (
    <section className="figures" aria-label="Figures of this page">
      <Chart title="Send to first word" samples={firstWord} shape="points" />
      <Chart title="Written to here, each event" samples={delivery} shape="line" />
      <Chart title="Without a connection" samples={reconnect} shape="points" />
      <p className="setting-note">
        Measured by this page since it was opened. “Written” is by the gateway’s clock: where that is another
        machine’s, only the differences mean something.
      </p>
    </section>
  )
}
