import type { AgentEvent } from '@turnpike/protocol'
import { setMaxListeners } from 'node:events'
import * as z from 'zod/mini'
import type { RunContext } from './context.ts'
import { LastWords, Speech } from './speech.ts'
import { RunUsage, addUsage } from './usage.ts'

/** What all parts of a run count together; JSON, for runs that are parked. */
export const GroupProgress = z.object({
  /** The numbers that come next. */
  step: z.int(),
  turn: z.int(),
  /** What those have used that have ended. */
  usage: RunUsage,
  last: LastWords,
})
type GroupProgress = z.infer<typeof GroupProgress>

const NOTHING: GroupProgress = {
  step: 0,
  turn: 0,
  usage: { inputTokens: 0, outputTokens: 0 },
  last: {},
}

/** One run that is made of several: what they share. */
export class RunGroup {
  readonly context: RunContext
  /** Aborts with the run, and when {@link RunGroup.end} is called. */
  readonly signal: AbortSignal
  readonly speech: Speech
  readonly #end = new AbortController()
  #step: number
  #turn: number
  #usage: RunUsage

  constructor(context: RunContext, progress = NOTHING) {
    this.context = context
    this.signal = AbortSignal.any([context.signal, this.#end.signal])
    // Every member and all that it waits for listens.
    setMaxListeners(0, this.signal)
    this.speech = new Speech(progress.last)
    this.#step = progress.step
    this.#turn = progress.turn
    this.#usage = progress.usage
  }

  get progress(): GroupProgress {
    return { step: this.#step, turn: this.#turn, usage: this.#usage, last: this.speech.last }
  }

  /** What those have used that have ended. */
  get usage(): RunUsage {
    return this.#usage
  }

  /** The number of the next step: all steps of a run are counted in one row. */
  nextStep(): number {
    return this.#step++
  }

  /** The number of the next turn: one part of the run, from its beginning to its end. */
  nextTurn(): number {
    return this.#turn++
  }

  addUsage(usage: RunUsage): void {
    this.#usage = addUsage(this.#usage, usage)
  }

  tell(events: readonly AgentEvent[]): void {
    for (const event of events) this.context.emit(event)
  }

  /** Stops what still goes on. */
  end(): void {
    this.#end.abort(new DOMException('The run has ended.', 'AbortError'))
  }
}
