import { GatewayError } from '@turnpike/protocol'
import type { RunContext } from './context.ts'
import { LocalRun, type LocalRunOptions, type LocalStream, type Prompt } from './local-run.ts'
import { type Model, checkModel } from './model.ts'
import { defaultRegistry } from './registry.ts'
import type { LocalResult } from './run-record.ts'
import { checkRunnableName } from './runnable-name.ts'
import type { AgentYield, RunInput, RunOutcome, Runnable, RunnableInfo } from './runnable.ts'
import { type Leadership, askTools, byLeader, byRoute } from './team-leader.ts'
import { inParallel, inSequence } from './team-modes.ts'
import { TeamRun } from './team-run.ts'

/**
 * How a team works together: `sequential`, one after the other; `parallel`, all at once; `route`, its model picks who
 * answers; `coordinate`, its model leads and asks members.
 */
export type TeamMode = 'sequential' | 'parallel' | 'route' | 'coordinate'

interface TeamSettings {
  /** Unique among the teams of its registry; 1 to 256 characters. */
  readonly name: string
  readonly description?: string
  /** The members: agents, teams or workflows, whose names tell them apart. */
  readonly agents: readonly Runnable[]
  /**
   * Whose text is the answer: everybody's, or only that of who speaks last, and what others say is told as reasoning.
   * In `parallel` and `route` everybody's is.
   *
   * @default 'all'
   */
  readonly answer?: 'all' | 'last'
  /** Whether the process-wide registry learns of it. @default true */
  readonly register?: boolean
}

/** The modes that decide something take a model, and what it is told beside who the members are. */
export type TeamOptions = TeamSettings & {
  /** @default 'sequential' */
  readonly mode?: TeamMode
  readonly model?: Model
  readonly instructions?: string
}

type Plan = (run: TeamRun) => AsyncGenerator<AgentYield, RunOutcome>

const MODES: readonly string[] = ['sequential', 'parallel', 'route', 'coordinate'] satisfies TeamMode[]

/**
 * Several agents that answer as one.
 *
 * What members say streams as it comes, each event with the name of who it is from. Only one speaks at a time: in
 * `parallel`, who speaks first goes on to its end, and what others say meanwhile is held back, while their calls of tools
 * are told at once. An empty line parts what two of them say.
 *
 * A member that fails fails the run, but not in `parallel`, where it is told of as a `run-update`, nor in `coordinate`,
 * where the leader is told. A member that needs approval parks the whole team; in `coordinate` it is waited for in this
 * process.
 *
 * @example
 * const team = new Team({ name: 'desk', agents: [researcher, writer] })
 * const { text } = await team.generate('Why is the sky blue?')
 */
export class Team implements Runnable {
  readonly name: string
  readonly info: RunnableInfo
  readonly #members: readonly Runnable[]
  readonly #mode: TeamMode
  readonly #run: Plan

  /** @throws GatewayError `invalid-payload` where it has no members, two of one name, or no model where it needs one */
  constructor(options: TeamOptions) {
    const { description, mode = 'sequential', register = true } = options
    this.name = checkRunnableName(options.name, 'team')
    this.#members = checkMembers(options.agents)
    if (!MODES.includes(mode)) throw invalid(`A team has one of the modes ${MODES.join(', ')}.`)
    this.#mode = mode
    this.#run = this.#plan(options)
    const { model } = options
    this.info = {
      name: this.name,
      kind: 'team',
      ...(description !== undefined && { description }),
      model: model?.modelId ?? null,
      provider: model?.provider ?? null,
      tools: mode === 'coordinate' ? askTools(this.#members) : [],
      mode,
      members: this.#members.map(({ name }) => name),
    }
    if (register) defaultRegistry.add(this)
  }

  /** The members, in their order. */
  get agents(): readonly Runnable[] {
    return this.#members
  }

  get mode(): TeamMode {
    return this.#mode
  }

  async *run(input: RunInput, context: RunContext): AsyncGenerator<AgentYield, RunOutcome> {
    const run = new TeamRun(input, context)
    let isDone = false
    try {
      run.group.signal.throwIfAborted()
      const outcome = yield* this.#run(run)
      isDone = true
      return outcome
    } catch (error) {
      if (context.signal.aborted) return {}
      throw error
    } finally {
      if (!isDone) run.group.end()
      run.group.flush()
    }
  }

  /**
   * Runs once, outside of any gateway, and resolves with the whole answer.
   *
   * @throws GatewayError as the run does
   */
  generate(prompt: Prompt, options: LocalRunOptions = {}): Promise<LocalResult> {
    return this.stream(prompt, options).result
  }

  /** Runs once, outside of any gateway. It runs whether or not somebody reads; to stop reading stops it. */
  stream(prompt: Prompt, options: LocalRunOptions = {}): LocalStream {
    return new LocalRun(options).start(prompt, (input, context) => this.run(input, context))
  }

  #plan({ answer = 'all', model, instructions }: TeamOptions): Plan {
    const plan = { members: this.#members, answer }
    if (this.#mode === 'sequential') return (run) => inSequence(run, plan)
    if (this.#mode === 'parallel') return (run) => inParallel(run, plan)
    if (!model) throw invalid(`A team of the mode "${this.#mode}" needs a model.`)
    const leadership: Leadership = { ...plan, name: this.name, model: checkModel(model), instructions }
    return this.#mode === 'route' ? (run) => byRoute(run, leadership) : (run) => byLeader(run, leadership)
  }
}

function checkMembers(agents: readonly Runnable[]): readonly Runnable[] {
  const names = new Set(agents.map(({ name }) => name))
  if (agents.length === 0) throw invalid('A team needs members.')
  if (names.size < agents.length) throw invalid('The members of a team need names that tell them apart.')
  return [...agents]
}

function invalid(message: string): GatewayError {
  return new GatewayError('invalid-payload', message)
}
