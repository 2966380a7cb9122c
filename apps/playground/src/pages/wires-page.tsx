import type { ReactElement } from 'react'
import { useState } from 'react'
import { useAgents, useClient } from '@turnpike/client/react'
import { FigureCharts } from '../figures/figure-charts.tsx'
import { addSamples } from '../figures/figures.ts'
import { WIRES } from '../wires/wires.ts'
import { Page } from './page.tsx'

const PROMPT = 'Tell me a long story'

/** One run as every wire tells it, and what this page has measured. */
export default function WiresPage(): ReactElement {
  const { threads, runs } = useClient()
  const { agents } = useAgents()
  const [agent, setAgent] = useState('')
  const [run, setRun] = useState<{ threadId: string; runId: string; startedAt: number }>()
  const [isRunning, setRunning] = useState(false)
  const [problem, setProblem] = useState<string>()
  const start = async (): Promise<void> => {
    setRunning(true)
    setProblem(undefined)
    try {
      const sentAt = Date.now()
      let hasWord = false
      const stream = await threads.stream({ message: PROMPT, ...(agent !== '' && { agent }) })
      setRun({ threadId: stream.threadId, runId: stream.runId, startedAt: sentAt })
      for await (const event of stream) {
        const at = Date.now()
        addSamples('delivery', [{ at, ms: at - event.ts }])
        if (event.type !== 'text-delta' || hasWord) continue
        hasWord = true
        addSamples('firstWord', [{ at, ms: at - sentAt }])
      }
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error))
    }
    setRunning(false)
  }
  return (
    <Page
      title="Wires"
      lead="One run, told over every wire at the same time, as its bytes come. What differs is the wire; the events are the same."
    >
      <div className="wire-tools">
        <select
          className="field"
          aria-label="Agent"
          value={agent}
          onChange={({ target }) => setAgent(target.value)}
        >
          {agents.map(({ name }, index) => (
            <option key={name} value={index === 0 ? '' : name}>
              {name}
            </option>
          ))}
        </select>
        <button
          className="button"
          data-primary="true"
          type="button"
          data-testid="start-wires"
          disabled={isRunning}
          onClick={() => void start()}
        >
          {isRunning ? 'Running …' : 'Start a run'}
        </button>
        {isRunning && run && (
          <button
            className="button"
            type="button"
            onClick={() => void runs.cancel(run.runId).catch(() => {})}
          >
            Stop
          </button>
        )}
        {problem !== undefined && <span className="wire-problem">{problem}</span>}
      </div>
      <div className="wire-columns">
        {WIRES.map(({ name, Column }) => (
          <Column key={`${name} ${run?.runId ?? ''}`} run={run} />
        ))}
      </div>
      <FigureCharts />
    </Page>
  )
}
