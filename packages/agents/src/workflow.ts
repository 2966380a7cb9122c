import { GatewayError } from '@turnpike/protocol'
import type { RunContext } from './context.ts'
import { FlowRun, textOfValue } from './flow-run.ts'
import { type FlowOf, stepNames } from './flow.ts'
import { LocalRun, type LocalRunOptions, type LocalStream, type Prompt } from './local-run.ts'
import { defaultRegistry } from './registry.ts'
import type { LocalResult } from './run-record.ts'
import { RunGroup } from './run-group.ts'
import { checkRunnableName } from './runnable-name.ts'
import type { AgentYield, RunInput, RunOutcome, Runnable, RunnableInfo } from './runnable.ts'

export interface WorkflowOptions<Output> {
  /** Unique among the workflows of its registry; 1 to 256 characters. */
  readonly name: string
  readonly description?: string
  /** What is done, one step after the other; the first one gets the user's text. */
  readonly steps: FlowOf<string, Output>
  /**
   * Whose text is part of the answer: every agent's, or only those agents' that come last, and what others say is told
   * as reasoning.
   *
   * @default 'all'
   */
  readonly answer?: 'all' | 'last'
  /** Whether the process-wide registry learns of it. @default true */
  readonly register?: boolean
}

/**
 * Steps in an order that is written down: agents, teams, other workflows and functions, each with the typed result of
 * the one before it.
 *
 * What agents say streams as it comes, with their names. What the last step comes to is the answer, as text or JSON,
 * where it was not said already. How far each step is, is told as `run-update`; one that fails, fails the run, and is
 * named. What needs approval is waited for in this process.
 *
 * @example
 * const publish = new Workflow({
 *   name: 'publish',
 *   steps: flow()
 *     .step('draft', writer)
 *     .when('shorten', (draft) => draft.length > 2_000, editor)
 *     .parallel('translate', { de: german, fr: french })
 *     .step('join', ({ de, fr }, { results }) => [results.draft, de, fr].join('\n\n')),
 * })
 */
export class Workflow<Output = unknown> implements Runnable<Output> {
  readonly name: string
  readonly info: RunnableInfo
  readonly #options: WorkflowOptions<Output>

  /** @throws GatewayError `invalid-payload` where its name is none, or it has no steps */
  constructor(options: WorkflowOptions<Output>) {
    const { description, steps, register = true } = options
    this.name = checkRunnableName(options.name, 'workflow')
    this.#options = options
    if (steps.nodes.length === 0) throw new GatewayError('invalid-payload', 'A workflow needs steps.')
    this.info = {
      name: this.name,
      kind: 'workflow',
      ...(description !== undefined && { description }),
      model: null,
      provider: null,
      tools: [],
      steps: stepNames(steps),
    }
    if (register) defaultRegistry.add(this)
  }

  async *run(input: RunInput, context: RunContext): AsyncGenerator<AgentYield, RunOutcome<Output>> {
    const group = new RunGroup(context, input)
    const { steps, answer = 'all' } = this.#options
    const run = new FlowRun({ group, input, answer })
    let isDone = false
    try {
      group.signal.throwIfAborted()
      const { value, wasSaid } = yield* run.run(steps.nodes)
      const delta = wasSaid ? '' : textOfValue(value)
      if (delta !== '')
        yield group.speech.tell(group.nextTurn(), { type: 'text-delta', delta, channel: 'answer' })
      isDone = true
      // Its steps say that it is one.
      return { finishReason: 'stop', usage: group.usage, output: value as Output }
    } catch (error) {
      if (context.signal.aborted) return {}
      throw error
    } finally {
      if (!isDone) group.end()
      group.flush()
      run.close()
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
}
