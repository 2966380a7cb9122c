import { type AgentEvent, GatewayError } from '@turnpike/protocol'
import { setMaxListeners } from 'node:events'
import { untilAborted } from './abortable.ts'
import { inRun } from './context.ts'
import { failureOf } from './failure.ts'
import { type AnyStep, type FlowNode, type StepContext, isFlow } from './flow.ts'
import { MemberRun } from './member-run.ts'
import type { RunGroup } from './run-group.ts'
import type { RunInput, Runnable } from './runnable.ts'
import { sideBySide } from './side-by-side.ts'
import { StepProgress } from './step-progress.ts'

/** A step of a workflow has failed: the run fails with the code of what it failed with. */
export class StepError extends GatewayError {
  /** The step's name; one within another is `outer/inner`. */
  readonly step: string

  constructor(step: string, cause: unknown) {
    const { code, message, retryAfterMs } = failureOf(`The step ${JSON.stringify(step)}`, cause)
    super(code, message, { cause, ...(retryAfterMs !== undefined && { retryAfterMs }) })
    this.step = step
  }
}

/** What a step came to, and whether all of it was told as a part of the answer. */
export interface StepValue {
  readonly value: unknown
  readonly wasSaid: boolean
}

/** Where in a workflow something happens. */
interface Place {
  /** Stands before the names of steps. */
  readonly prefix: string
  readonly signal: AbortSignal
  readonly results: Readonly<Record<string, unknown>>
  /** Whether what comes out is what the workflow comes to. */
  readonly isLast: boolean
}

/** A step to be made. */
interface Task {
  readonly name: string
  readonly step: AnyStep
  readonly input: StepValue
  readonly place: Place
  readonly retries?: number
}

type Made = AsyncGenerator<AgentEvent, StepValue>

export interface FlowRunOptions {
  readonly group: RunGroup
  readonly input: RunInput
  /** Which agents' text is part of the answer. */
  readonly answer: 'all' | 'last'
}

/** One run of the steps of a workflow. */
export class FlowRun {
  readonly #options: FlowRunOptions
  readonly #open = new Set<StepProgress>()

  constructor(options: FlowRunOptions) {
    this.#options = options
  }

  /** @throws StepError where a step fails; the signal's reason */
  run(nodes: readonly FlowNode[]): Made {
    const { group, input } = this.#options
    const first = { value: input.text, wasSaid: false }
    return this.#sequence(nodes, first, { prefix: '', signal: group.signal, results: {}, isLast: true })
  }

  /** Tells of what was left undone that it was. */
  close(): void {
    for (const progress of this.#open) progress.end('cancelled')
  }

  async *#sequence(nodes: readonly FlowNode[], first: StepValue, place: Place): Made {
    let current = first
    let { results } = place
    for (const node of nodes) {
      place.signal.throwIfAborted()
      const isLast = place.isLast && node === nodes.at(-1)
      const next = yield* this.#node(node, current, { ...place, results, isLast })
      if (!next) continue
      current = next
      results = { ...results, [node.name]: next.value }
    }
    return current
  }

  /** Nothing where nothing was to be done. */
  async *#node(
    node: FlowNode,
    input: StepValue,
    place: Place,
  ): AsyncGenerator<AgentEvent, StepValue | undefined> {
    const at = { name: place.prefix + node.name, input, place }
    switch (node.type) {
      case 'step':
        return yield* this.#make({ ...at, step: node.step, retries: node.retries })
      case 'when': {
        const isWanted = await this.#decide({ ...at, step: node.test })
        return isWanted === true ? yield* this.#make({ ...at, step: node.step }) : undefined
      }
      case 'branch': {
        const key = await this.#decide({ ...at, step: node.pick })
        const step = typeof key === 'string' ? node.cases.get(key) : undefined
        if (step) return yield* this.#make({ ...at, name: `${at.name}/${String(key)}`, step })
        const problem = new GatewayError('agent-failed', `There is no case ${JSON.stringify(key)}.`)
        throw new StepError(at.name, problem)
      }
      case 'parallel':
        return yield* this.#parallel(node, at)
      default:
        return node satisfies never
    }
  }

  /** The first that fails stops the others. */
  async *#parallel(
    { steps, retries }: Extract<FlowNode, { type: 'parallel' }>,
    { name, input, place }: Omit<Task, 'step'>,
  ): Made {
    const { context } = this.#options.group
    const end = new AbortController()
    const signal = AbortSignal.any([place.signal, end.signal])
    // Every step and all that it waits for listens.
    setMaxListeners(0, signal)
    const tasks = [...steps].map(([key, step]) => ({
      key,
      task: { name: `${name}/${key}`, step, input, retries },
    }))
    const made = yield* sideBySide(
      tasks.map(({ task }) => this.#make({ ...task, place: { ...place, signal } })),
      {
        stop: () => end.abort(new DOMException('A step beside this one has failed.', 'AbortError')),
        tell: (event) => context.emit(event),
      },
    )
    const values = tasks.map(({ key }, index) => [key, made[index]?.value] as const)
    return { value: Object.fromEntries(values), wasSaid: made.every(({ wasSaid }) => wasSaid) }
  }

  /** Makes a step, as often as it may be tried. */
  async *#make(task: Task): Made {
    const { name, step, place, retries = 0 } = task
    const { context } = this.#options.group
    // Steps within a step tell of themselves.
    const progress = isFlow(step) ? undefined : new StepProgress(name, (event) => context.emit(event))
    if (progress) this.#open.add(progress)
    try {
      for (let attempt = 0; ; attempt++) {
        try {
          const made = yield* this.#attempt(task, progress)
          progress?.end('done')
          return made
        } catch (error) {
          if (place.signal.aborted) throw error
          const failure = error instanceof StepError ? error : new StepError(name, error)
          if (attempt >= retries) {
            progress?.end('failed', failure.message)
            throw failure
          }
          progress?.update(0, failure.message)
        }
      }
    } finally {
      progress?.end('cancelled')
      if (progress) this.#open.delete(progress)
    }
  }

  async *#attempt(task: Task, progress: StepProgress | undefined): Made {
    const { name, step, input, place } = task
    if (isFlow(step))
      return yield* this.#sequence(step.nodes, input, { ...place, prefix: `${name}/`, results: {} })
    if (typeof step !== 'function') return yield* this.#ask(step, task)
    const value = await this.#call(task, progress)
    return { value, wasSaid: input.wasSaid && Object.is(value, input.value) }
  }

  async *#ask(agent: Runnable, { input: { value }, place }: Task): Made {
    const { group, input } = this.#options
    const tells = this.#tells(place)
    const part = new MemberRun({ group, agent, tells, canPark: false, signal: place.signal })
    const end = yield* part.run(askedFor(value, input))
    place.signal.throwIfAborted()
    if (end.type === 'parked') throw new TypeError('It waits for approvals by itself.')
    const { text, output = text } = end.answer
    // An output that comes without a text is nobody's words yet.
    return { value: output, wasSaid: tells === 'answer' && (text !== '' || output === '') }
  }

  async #decide(task: Task): Promise<unknown> {
    try {
      return await this.#call(task)
    } catch (error) {
      if (task.place.signal.aborted) throw error
      throw new StepError(task.name, error)
    }
  }

  /** Calls a function of the workflow; it ends with its signal, whether it listens or not. */
  async #call({ name, step, input, place }: Task, progress?: StepProgress): Promise<unknown> {
    const { group } = this.#options
    const { signal, results } = place
    const turn = group.nextTurn()
    const context: StepContext = group.contextOf({
      ...group.context,
      signal,
      step: name,
      input: this.#options.input,
      results,
      progress: (value, message) => progress?.update(value, message),
      emit: (event) => this.#emit(event, { turn, place }),
    })
    // Its types were checked where it became a step.
    const call = step as (value: unknown, context: StepContext) => unknown
    try {
      const work = inRun(context, async () => call(input.value, context))
      return await untilAborted(work, signal)
    } finally {
      group.tell(group.speech.end(turn))
    }
  }

  #emit(event: AgentEvent, { turn, place }: { turn: number; place: Place }): void {
    const { group } = this.#options
    // Foreign code: what is no event goes on, for the gateway to refuse.
    if (event?.type !== 'text-delta' || typeof event.delta !== 'string') return group.context.emit(event)
    if (place.signal.aborted) return undefined
    const channel = this.#tells(place) === 'answer' ? event.channel : 'reasoning'
    const told = group.speech.say(turn, { ...event, channel })
    if (told) group.context.emit(told)
  }

  #tells({ isLast }: Place): 'answer' | 'reasoning' {
    return this.#options.answer === 'all' || isLast ? 'answer' : 'reasoning'
  }
}

/** What an agent is asked: the user's message where that is what the step gets, with its files; else a value as text. */
function askedFor(value: unknown, input: RunInput): RunInput {
  if (value === input.text) return input
  const text = textOfValue(value)
  const message = { ...input.message, parts: [{ type: 'text' as const, text }] }
  return { ...input, text, message }
}

/** A value as an answer has it: text as it is, nothing as nothing, anything else as JSON. */
export function textOfValue(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
}
