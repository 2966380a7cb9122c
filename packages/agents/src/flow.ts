import { GatewayError } from '@turnpike/protocol'
import type { Agent } from './agent.ts'
import type { RunContext } from './context.ts'
import type { RunInput, Runnable } from './runnable.ts'

/** What a function of a workflow knows of its run. `signal` aborts, too, where a step beside it has failed. */
export interface StepContext<Results = unknown> extends RunContext {
  /** The name of the step; one within another is `outer/inner`. */
  readonly step: string
  /** What the whole run was asked. */
  readonly input: RunInput
  /** What the steps before this one have come to, by name. */
  readonly results: Results
  /** Tells how far the step is, 0 to 1. */
  readonly progress: (progress: number, message?: string) => void
}

type StepFunction<Input, Results> = (input: Input, context: StepContext<Results>) => unknown

declare const io: unique symbol

/** Steps in their order, as a workflow or a step of one takes them: what goes in and what comes out. */
export interface FlowOf<Input, Output> {
  readonly nodes: readonly FlowNode[]
  readonly [io]?: (input: Input) => Output
}

/**
 * What a step may be: an agent, a team or another workflow, which gets its input as text (JSON, where it is none); a
 * function; or steps of its own.
 */
export type Step<Input, Results = unknown> = Runnable | FlowOf<Input, unknown> | StepFunction<Input, Results>

/** What a step comes to: an agent without an `output` to its text. */
export type ResultOf<Made> = Made extends (input: never, context: never) => infer Result
  ? Awaited<Result>
  : Made extends { readonly [io]?: (input: never) => infer Output }
    ? Output
    : Made extends Agent<infer Output>
      ? unknown extends Output
        ? string
        : Output
      : Made extends Runnable<infer Output>
        ? Output
        : never

export interface StepOptions {
  /** How often it is tried again where it fails; what it has said by then stays said. @default 0 */
  readonly retries?: number
}

/** A step as it is kept, its types forgotten. */
export type AnyStep = Runnable | FlowOf<never, unknown> | ((input: never, context: never) => unknown)

type Decide = (input: never, context: never) => unknown

/** One place in a flow. */
export type FlowNode = { readonly name: string } & (
  | { readonly type: 'step'; readonly step: AnyStep; readonly retries: number }
  | { readonly type: 'when'; readonly test: Decide; readonly step: AnyStep }
  | { readonly type: 'branch'; readonly pick: Decide; readonly cases: ReadonlyMap<string, AnyStep> }
  | { readonly type: 'parallel'; readonly steps: ReadonlyMap<string, AnyStep>; readonly retries: number }
)

type Named<Name extends string, Result> = { readonly [Key in Name]: Result }
type Results<Steps> = { readonly [Key in keyof Steps]: ResultOf<Steps[Key]> }

/** Begins the steps of a workflow, or of a step that has steps of its own. */
export function flow<Input = string>(): Flow<Input, Input, Record<never, never>> {
  return new Flow([])
}

/** Steps in their order, each typed by what the one before it comes to. It never changes: each call gives a longer one. */
export class Flow<Input, Output, Known> implements FlowOf<Input, Output> {
  declare readonly [io]?: (input: Input) => Output
  readonly nodes: readonly FlowNode[]

  constructor(nodes: readonly FlowNode[]) {
    this.nodes = nodes
  }

  /** A step, which gets what the one before it came to; the first one the user's text. */
  step<Name extends string, Made extends Step<Output, Known>>(
    name: Name,
    step: Made,
    { retries = 0 }: StepOptions = {},
  ): Flow<Input, ResultOf<Made>, Known & Named<Name, ResultOf<Made>>> {
    return new Flow(this.#with({ name, type: 'step', step, retries }))
  }

  /** A step that is made only where `test` says so; else its input goes on as it is. */
  when<Name extends string, Made extends Step<Output, Known>>(
    name: Name,
    test: (input: Output, context: StepContext<Known>) => boolean | Promise<boolean>,
    step: Made,
  ): Flow<Input, Output | ResultOf<Made>, Known & Partial<Named<Name, ResultOf<Made>>>> {
    return new Flow(this.#with({ name, type: 'when', test, step }))
  }

  /** One of several steps: that whose name `pick` gives. */
  branch<Name extends string, Cases extends Readonly<Record<string, Step<Output, Known>>>>(
    name: Name,
    pick: (input: Output, context: StepContext<Known>) => Case<Cases> | Promise<Case<Cases>>,
    cases: Cases,
  ): Flow<Input, ResultOf<Cases[keyof Cases]>, Known & Named<Name, ResultOf<Cases[keyof Cases]>>> {
    return new Flow(this.#with({ name, type: 'branch', pick, cases: new Map(Object.entries(cases)) }))
  }

  /** Steps side by side, all with the same input; what they come to is an object of their names. */
  parallel<Name extends string, Steps extends Readonly<Record<string, Step<Output, Known>>>>(
    name: Name,
    steps: Steps,
    { retries = 0 }: StepOptions = {},
  ): Flow<Input, Results<Steps>, Known & Named<Name, Results<Steps>>> {
    return new Flow(this.#with({ name, type: 'parallel', steps: new Map(Object.entries(steps)), retries }))
  }

  /** @throws GatewayError `invalid-payload` */
  #with(node: FlowNode): readonly FlowNode[] {
    const { name } = node
    if (typeof name !== 'string' || name === '' || this.nodes.some((other) => other.name === name)) {
      throw new GatewayError(
        'invalid-payload',
        `A step needs a name of its own, got ${JSON.stringify(name)}.`,
      )
    }
    return [...this.nodes, node]
  }
}

type Case<Cases> = NoInfer<keyof Cases & string>

/** Tells whether a step has steps of its own. */
export function isFlow(step: AnyStep): step is FlowOf<never, unknown> {
  return step instanceof Flow
}

/** The names of all steps that can be made, in their order; one within another is `outer/inner`. */
export function stepNames({ nodes }: FlowOf<never, unknown>, prefix = ''): string[] {
  const namesOf = (name: string, step: AnyStep): string[] =>
    isFlow(step) ? stepNames(step, `${name}/`) : [name]
  return nodes.flatMap((node) => {
    const name = prefix + node.name
    if (node.type === 'step' || node.type === 'when') return namesOf(name, node.step)
    const inner = node.type === 'branch' ? node.cases : node.steps
    return [...inner].flatMap(([key, step]) => namesOf(`${name}/${key}`, step))
  })
}
