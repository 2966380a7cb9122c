import type {
  LanguageModelV4CallOptions,
  LanguageModelV4FunctionTool,
  SharedV4ProviderOptions,
} from '@ai-sdk/provider'
import { GatewayError } from '@turnpike/protocol'
import { setMaxListeners } from 'node:events'
import type { $ZodType } from 'zod/v4/core'
import type { RunContext } from './context.ts'
import { checkDirectCall, runDirectCall } from './direct-call.ts'
import { LocalRun, type LocalRunOptions, type LocalStream, type Prompt } from './local-run.ts'
import { untilAborted } from './abortable.ts'
import { type Model, checkModel, modelFor } from './model.ts'
import { OpenCalls } from './open-calls.ts'
import { promptOf } from './prompt.ts'
import { defaultRegistry } from './registry.ts'
import type { LocalResult } from './run-record.ts'
import { CallResults, type RunState } from './run-state.ts'
import type { AgentYield, DirectCall, RunInput, RunOutcome, Runnable, RunnableInfo } from './runnable.ts'
import { RunTools, functionOf } from './run-tools.ts'
import { StructuredOutput } from './structured-output.ts'
import { ToolBatch } from './tool-batch.ts'
import { type ToolCall, ToolCaller, type ToolCallerOptions } from './tool-call.ts'
import { ToolLoop } from './tool-loop.ts'
import { parseToolPattern } from './tool-pattern.ts'
import { type ToolDef, checkToolName } from './tool.ts'

const DEFAULTS = { maxSteps: 20, toolTimeoutMs: 60_000, toolConcurrency: 8 } as const

interface AgentSettings<Output> {
  /** Unique in its registry; 1 to 256 characters. */
  readonly name: string
  readonly description?: string
  /** What the model is told before everything else. */
  readonly instructions?: string
  /**
   * Tools of its own; and, by name, those that entities bring while they are connected to its gateway: `shop.status`,
   * or `shop.*` for all that the entity `shop` has. The model sees `shop_status`.
   */
  readonly tools?: readonly (ToolDef | string)[]
  /** Whether the process-wide registry learns of it. @default true */
  readonly register?: boolean
  /** Calls of the model in one run; where the last one still wants tools, the run ends with `tool-calls`. @default 20 */
  readonly maxSteps?: number
  readonly temperature?: number
  readonly maxOutputTokens?: number
  /**
   * The answer is JSON of this shape. It is checked before it is told, so it comes in one piece; a model that gets it
   * wrong is asked once more.
   */
  readonly output?: $ZodType<Output>
  /** Time one call of a tool may take, where the tool itself says nothing. @default 60_000 */
  readonly toolTimeoutMs?: number
  /** Calls of tools that run side by side. @default 8 */
  readonly toolConcurrency?: number
  readonly reasoning?: NonNullable<LanguageModelV4CallOptions['reasoning']>
  readonly providerOptions?: SharedV4ProviderOptions
}

/** `llm` is another word for `model`. */
export type AgentOptions<Output = unknown> = AgentSettings<Output> &
  ({ readonly model: Model; readonly llm?: never } | { readonly llm: Model; readonly model?: never })

/**
 * A model with instructions and tools: it calls the model, makes the calls that it wants, and again, until it answers.
 *
 * Served by a gateway, or called directly: {@link Agent.generate}, {@link Agent.stream}, {@link Agent.executeTool}.
 */
export class Agent<Output = unknown> implements Runnable<Output> {
  readonly name: string
  readonly info: RunnableInfo
  readonly #options: AgentOptions<Output>
  readonly #model: Model
  readonly #tools: ReadonlyMap<string, ToolDef>
  readonly #patterns: readonly string[]
  readonly #output: StructuredOutput | undefined
  readonly #functions: readonly LanguageModelV4FunctionTool[]
  readonly #settings: Omit<LanguageModelV4CallOptions, 'prompt' | 'tools'>

  /** @throws GatewayError `invalid-payload` where the name, the model or a tool's name is none */
  constructor(options: AgentOptions<Output>) {
    const { name, description, tools = [], output, register = true } = options
    if (typeof name !== 'string' || name === '' || name.length > 256) {
      throw new GatewayError('invalid-payload', 'An agent needs a name of 1 to 256 characters.')
    }
    const own = tools.filter((tool) => typeof tool !== 'string')
    for (const tool of own) checkToolName(tool.name)
    this.name = name
    this.#options = options
    this.#model = checkModel(options.model ?? options.llm)
    this.#tools = new Map(own.map((tool) => [tool.name, tool]))
    this.#patterns = tools.filter((tool) => typeof tool === 'string')
    this.#patterns.forEach(parseToolPattern)
    this.#output = output && new StructuredOutput(output)
    this.#functions = this.tools.map(functionOf)
    this.#settings = this.#callSettings()
    this.info = {
      name,
      kind: 'agent',
      ...(description !== undefined && { description }),
      model: this.#model.modelId ?? null,
      provider: this.#model.provider ?? null,
      tools: [...this.#tools.keys(), ...this.#patterns],
      hasStructuredOutput: output !== undefined,
    }
    if (register) defaultRegistry.add(this)
  }

  /** The tools of its own. */
  get tools(): readonly ToolDef[] {
    return [...this.#tools.values()]
  }

  async *run(input: RunInput, context: RunContext): AsyncGenerator<AgentYield, RunOutcome<Output>> {
    const end = new AbortController()
    const signal = AbortSignal.any([context.signal, end.signal])
    // Every tool and every approval listens.
    setMaxListeners(0, signal)
    const resumed = input.resume && CallResults.unpark(input.resume.state)
    const state = resumed?.state ?? this.#begin(input)
    const openCalls = new OpenCalls(state.prompt)
    let isDone = false
    try {
      signal.throwIfAborted()
      const calls = resumed?.results.calls ?? []
      const loop = await this.#loop(state, { context, signal, openCalls, calls })
      const decisions = input.resume?.decisions ?? []
      const outcome = resumed ? yield* loop.resume(resumed.results, decisions) : yield* loop.run()
      isDone = true
      // Its schema says that it is one.
      return outcome as RunOutcome<Output>
    } catch (error) {
      if (context.signal.aborted) return {}
      throw error
    } finally {
      if (!isDone) end.abort(new DOMException('The run has ended.', 'AbortError'))
      const error = { code: 'cancelled', message: 'The call was cancelled.' }
      for (const call of openCalls.list()) context.emit({ type: 'tool-call-error', ...call, error })
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

  /**
   * Calls one of its tools directly.
   *
   * @returns The tool's result, as JSON.
   * @throws GatewayError `unknown-tool` | `invalid-arguments` | `approval-required` | `tool-failed` | `tool-timeout` |
   *   `cancelled`
   */
  async executeTool(
    name: string,
    args: unknown,
    options: LocalRunOptions & { readonly approved?: boolean } = {},
  ): Promise<unknown> {
    const { context } = new LocalRun(options)
    const caller = this.#caller(context, { signal: context.signal, tools: this.#tools })
    const call = { toolCallId: context.runId, tool: name, args }
    return caller.execute(options.approved ? await caller.check(call) : await checkDirectCall(caller, call))
  }

  /** The same as a run, for a gateway. Tools of entities go by `shop.status`, too, as well as by what models call them. */
  callTool({ tool, args }: DirectCall, context: RunContext): AsyncGenerator<AgentYield, RunOutcome> {
    const { signal } = context
    const names: Record<string, string> = {}
    const tools = this.#runTools(context, names)
    const call = { tool: Object.hasOwn(names, tool) ? (names[tool] ?? tool) : tool, args }
    return runDirectCall(this.#caller(context, { signal, tools }), call, context)
  }

  #begin({ history, message, settings }: RunInput): RunState {
    const { instructions } = this.#options
    const prompt = promptOf({ history, message, ...(instructions !== undefined && { instructions }) })
    const usage = { inputTokens: 0, outputTokens: 0 }
    return { prompt, step: 0, usage, hasCorrected: false, settings, toolNames: {} }
  }

  async #loop(
    state: RunState,
    run: { context: RunContext; signal: AbortSignal; openCalls: OpenCalls; calls: readonly ToolCall[] },
  ): Promise<ToolLoop> {
    const { context, signal, openCalls, calls } = run
    const { maxSteps = DEFAULTS.maxSteps, toolConcurrency = DEFAULTS.toolConcurrency } = this.#options
    const { principal, apiKey, approvals } = context
    const request = { principal, ...(apiKey !== undefined && { apiKey }) }
    // What was approved is not made by a tool that took over the name of one of the agent's own.
    const reserved = calls.map(({ tool }) => tool)
    const tools = this.#runTools(context, state.toolNames, reserved)
    const caller = this.#caller(context, { signal, tools })
    return new ToolLoop(
      {
        model: await untilAborted(modelFor(this.#model, request), signal),
        settings: { ...this.#settings, ...callSettings(state) },
        tools: () => tools.refresh(),
        maxSteps,
        ...(this.#output && { output: this.#output }),
        batch: new ToolBatch({ caller, approvals, signal, concurrency: toolConcurrency }),
        openCalls,
        signal,
      },
      state,
    )
  }

  #runTools(
    { remoteTools }: RunContext,
    names: Record<string, string>,
    reserved: readonly string[] = [],
  ): RunTools {
    const [own, functions, patterns] = [this.#tools, this.#functions, this.#patterns]
    return new RunTools({ own, functions, patterns, remote: remoteTools, names, reserved })
  }

  #caller(context: RunContext, given: Pick<ToolCallerOptions, 'signal' | 'tools'>): ToolCaller {
    const timeoutMs = this.#options.toolTimeoutMs ?? DEFAULTS.toolTimeoutMs
    return new ToolCaller({ ...given, context, timeoutMs })
  }

  #callSettings(): Omit<LanguageModelV4CallOptions, 'prompt' | 'tools'> {
    const { temperature, maxOutputTokens, reasoning, providerOptions } = this.#options
    return {
      ...(temperature !== undefined && { temperature }),
      ...(maxOutputTokens !== undefined && { maxOutputTokens }),
      ...(reasoning !== undefined && { reasoning }),
      ...(providerOptions !== undefined && { providerOptions }),
      ...(this.#output && { responseFormat: this.#output.responseFormat }),
    }
  }
}

/** What the run asks of its model, in the words of the AI SDK. */
function callSettings({
  settings: { temperature, maxTokens } = {},
}: RunState): Pick<LanguageModelV4CallOptions, 'temperature' | 'maxOutputTokens'> {
  return {
    ...(temperature !== undefined && { temperature }),
    ...(maxTokens !== undefined && { maxOutputTokens: maxTokens }),
  }
}
