import { type ThreadEvent, isTerminal } from '@turnpike/protocol'

/** What the events of a run tell, and its message does not. */
export interface RunFacts {
  readonly runId: string
  readonly agent: string
  readonly startedAt: number | undefined
  readonly endedAt: number | undefined
  /** Steps that were begun. */
  readonly steps: number
  readonly outputTokens: number
  readonly finishReason: string | undefined
  readonly error: { readonly code: string; readonly message: string } | undefined
}

/** The runs of a thread, as far as their events were seen here. */
export type Runs = ReadonlyMap<string, RunFacts>

/** Adds what an event tells; gives back the same runs where that is nothing. */
export function foldRun(runs: Runs, event: ThreadEvent): Runs {
  const change = changeBy(event, runs.get(event.runId))
  if (!change) return runs
  const before = runs.get(event.runId) ?? unknownRun(event.runId)
  return new Map(runs).set(event.runId, { ...before, ...change })
}

function changeBy(event: ThreadEvent, before: RunFacts | undefined): Partial<RunFacts> | undefined {
  if (event.type === 'start') return { agent: event.agent, startedAt: event.ts }
  if (event.type === 'step-start') return { steps: Math.max(before?.steps ?? 0, event.step + 1) }
  if (event.type === 'step-finish') {
    return { outputTokens: (before?.outputTokens ?? 0) + event.usage.outputTokens }
  }
  if (!isTerminal(event)) return undefined
  const end = { agent: event.agent, endedAt: event.ts }
  if (event.type === 'error') return { ...end, error: event.error }
  const { finishReason, steps, usage } = event
  return { ...end, finishReason, steps, outputTokens: usage.outputTokens }
}

function unknownRun(runId: string): RunFacts {
  return {
    runId,
    agent: '',
    startedAt: undefined,
    endedAt: undefined,
    steps: 0,
    outputTokens: 0,
    finishReason: undefined,
    error: undefined,
  }
}
