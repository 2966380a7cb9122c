import type { RunnableInfo } from '@turnpike/agents'
import { isErrorCode } from '@turnpike/protocol'
import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { type OpenTelemetry, RunSpans } from './run-spans.ts'
import type { EventDraft } from '../logs/thread-window.ts'

/** Told of what a run has logged, but for text. */
export type RunObserver = (event: EventDraft) => void

export interface RunObserverOptions {
  readonly metrics: Metrics
  readonly telemetry: OpenTelemetry | undefined
  readonly logger: Logger
}

/** Counts how a run of an agent ends, and traces it where there is somebody to trace for. */
export function runObserver(
  agent: Pick<RunnableInfo, 'name' | 'model' | 'provider'>,
  { metrics, telemetry, logger }: RunObserverOptions,
): RunObserver {
  const onFailure = (error: unknown): void => logger.error({ error }, 'a run could not be traced')
  const spans = telemetry && new RunSpans({ telemetry, agent, onFailure })
  return (event) => {
    if (event.type === 'finish') metrics.runEnded(agent.name, event.finishReason)
    if (event.type === 'error') {
      const { code } = event.error
      metrics.runEnded(agent.name, isErrorCode(code) ? code : 'internal')
    }
    spans?.take(event)
  }
}
