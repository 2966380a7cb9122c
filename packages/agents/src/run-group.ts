import type { AgentEvent, Message } from '@turnpike/protocol'
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

/** The group that a context belongs to: a symbol, for whoever copies the context to copy it, too. */
const GROUP: unique symbol = Symbol('group')

type GroupContext = RunContext & { readonly [GROUP]?: RunGroup }

export interface RunGroupOptions {
  /** What was said before: no call of it is numbered again. */
  readonly history: readonly Message[]
  /** Where a parked run is. */
  readonly progress?: GroupProgress | undefined
}

/** One run that is made of several: what they share. */
export class RunGroup {
  readonly context: RunContext
  /** Aborts with the run, and when {@link RunGroup.end} is called. */
  readonly signal: AbortSignal
  readonly speech: Speech
  readonly #end = new AbortController()
  /** That of the run which this one is a part of. */
  readonly #outer: RunGroup | undefined
  #step: number
  #turn: number
  #usage: RunUsage

  constructor(context: GroupContext, { history, progress }: RunGroupOptions) {
    const { step, turn, usage, last } = progress ?? { ...NOTHING, turn: turnAfter(history) }
    this.context = context
    this.#outer = context[GROUP]
    this.signal = AbortSignal.any([context.signal, this.#end.signal])
    // Every member and all that it waits for listens.
    setMaxListeners(0, this.signal)
    this.speech = new Speech(last)
    this.#step = step
    this.#turn = turn
    this.#usage = usage
  }

  /** What a part of the run gets: its groups number their turns with this one's. */
  contextOf<Context extends RunContext>(context: Context): Context & GroupContext {
    return { ...context, [GROUP]: this }
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

  /** The number of the next turn: one part of the run, from its beginning to its end. No two of a run have the same. */
  nextTurn(): number {
    return this.#outer ? this.#outer.nextTurn() : this.#turn++
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

  /** Tells what is still held back. */
  flush(): void {
    this.tell(this.speech.flush())
  }
}

/** What the turns of the runs before have made the ids of their calls end in. */
const TURNS_IN_ID = /-m(\d{1,9})(?=-m\d|$)/g

/** The first turn that no call of these messages is from. A model that counts its calls anew would repeat them else. */
function turnAfter(history: readonly Message[]): number {
  let next = 0
  for (const { parts } of history) {
    for (const part of parts) {
      if (part.type !== 'tool') continue
      for (const [, turn] of part.toolCallId.matchAll(TURNS_IN_ID)) next = Math.max(next, Number(turn) + 1)
    }
  }
  return next
}
