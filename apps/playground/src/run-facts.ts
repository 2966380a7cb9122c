import { type EventOf, type ThreadEvent } from '@turnpike/protocol'

export type Background = EventOf<'run-update'>['background']

/** What events tell of a run that is no part of a message. */
export interface RunFacts {
  /** Set where it ended otherwise than by saying all there was to say. */
  readonly ending?: { readonly failed: boolean; readonly text: string }
  readonly background: readonly Background[]
}

export type Runs = ReadonlyMap<string, RunFacts>

const ENDINGS: Partial<Record<EventOf<'finish'>['finishReason'], string>> = {
  cancelled: 'Stopped',
  interrupted: 'Interrupted by a restart of the server',
  length: 'Ended at the length limit',
  'content-filter': 'Ended by a content filter',
}

/** Folds an event into what is known of the runs. */
export function withFacts(runs: Runs, event: ThreadEvent): Runs {
  const facts = runs.get(event.runId) ?? { background: [] }
  if (event.type === 'error') {
    const text = `${event.error.message} (${event.error.code})`
    return new Map(runs).set(event.runId, { ...facts, ending: { failed: true, text } })
  }
  if (event.type === 'finish') {
    const text = ENDINGS[event.finishReason]
    return text ? new Map(runs).set(event.runId, { ...facts, ending: { failed: false, text } }) : runs
  }
  if (event.type === 'run-update') {
    return new Map(runs).set(event.runId, { ...facts, background: put(facts.background, event.background) })
  }
  return runs
}

function put(operations: readonly Background[], operation: Background): readonly Background[] {
  const index = operations.findIndex(({ id }) => id === operation.id)
  return index < 0 ? [...operations, operation] : operations.with(index, operation)
}
