import type { JSONValue } from '@ai-sdk/provider'
import { GatewayError } from '@turnpike/protocol'
import { untilAborted } from './abortable.ts'
import { type RunContext, inRun } from './context.ts'
import { checkArguments } from './parameters.ts'
import { ToolProgress } from './tool-progress.ts'
import { toJsonValue } from './tool-result.ts'
import type { ToolContext, ToolDef } from './tool.ts'

const MAX_MESSAGE_CHARS = 4_096
/** What Node's timers take; a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** How a tool itself may say that it failed; everything else that it throws is `tool-failed`. */
const TOLD_AS_IS: ReadonlySet<string> = new Set(['tool-failed', 'tool-timeout', 'entity-gone'])

/** A call as the model made it; `args` is parsed JSON, absent where the model sent something else. */
export interface ToolCall {
  readonly toolCallId: string
  readonly tool: string
  readonly args?: unknown
}

/** A call that can be made: its tool exists and takes its arguments. */
export interface CheckedCall {
  readonly call: ToolCall
  readonly tool: ToolDef
  /** What the tool's schema made of the arguments. */
  readonly args: unknown
}

export interface ToolCallerOptions {
  /** The tools by the names that the model calls them by; one that has gone away is thrown as a {@link GatewayError}. */
  readonly tools: { readonly get: (name: string) => ToolDef | undefined }
  readonly context: RunContext
  /** Ends every call. */
  readonly signal: AbortSignal
  readonly timeoutMs: number
}

/** Makes the calls of one run. Each failure is a {@link GatewayError} whose message the model and clients may see. */
export class ToolCaller {
  readonly #options: ToolCallerOptions

  constructor(options: ToolCallerOptions) {
    this.#options = options
  }

  /** @throws GatewayError `unknown-tool` | `entity-gone` | `invalid-arguments` | `cancelled` */
  async check(call: ToolCall): Promise<CheckedCall> {
    const tool = this.#options.tools.get(call.tool)
    if (!tool) throw new GatewayError('unknown-tool', `There is no tool ${JSON.stringify(call.tool)}.`)
    if (!('args' in call)) throw new GatewayError('invalid-arguments', 'The arguments are not valid JSON.')
    const checked = await this.#guard(
      (signal) => untilAborted(checkArguments(tool.parameters, call.args), signal),
      tool.timeoutMs ?? this.#options.timeoutMs,
    )
    if ('args' in checked) return { call, tool, args: checked.args }
    const problems = shorten(checked.problems)
    throw new GatewayError('invalid-arguments', `The arguments do not fit the tool:\n${problems}`)
  }

  /** @throws GatewayError `tool-failed` where the tool cannot tell, `cancelled` */
  async needsApproval({ call, tool, args }: CheckedCall): Promise<boolean> {
    const { needsApproval = false } = tool
    if (typeof needsApproval === 'boolean') return needsApproval
    return this.#guard(async (signal) => {
      const context = this.#contextOf(call, signal)
      return untilAborted(
        inRun(context, async () => needsApproval(args, context)),
        signal,
      )
    }, tool.timeoutMs ?? this.#options.timeoutMs)
  }

  /** @throws GatewayError `tool-failed` | `tool-timeout` | `entity-gone` | `cancelled` */
  async execute({ call, tool, args }: CheckedCall): Promise<JSONValue> {
    const { context } = this.#options
    const progress = new ToolProgress({ id: call.toolCallId, name: call.tool }, (event) =>
      context.emit(event),
    )
    try {
      const result = await this.#guard(async (signal) => {
        const toolContext = this.#contextOf(call, signal)
        const work = inRun(toolContext, async () =>
          resultOf(await tool.execute(args, toolContext), progress, signal),
        )
        return toJsonValue(await untilAborted(work, signal))
      }, tool.timeoutMs ?? this.#options.timeoutMs)
      progress.end('done')
      return result
    } catch (error) {
      const isCancelled = error instanceof GatewayError && error.code === 'cancelled'
      progress.end(isCancelled ? 'cancelled' : 'failed')
      throw error
    }
  }

  #contextOf({ toolCallId }: ToolCall, signal: AbortSignal): ToolContext {
    return { ...this.#options.context, toolCallId, signal }
  }

  /** Runs foreign code: it ends with the run or its time, and what it throws becomes an error that may be shown. */
  async #guard<Value>(work: (signal: AbortSignal) => Promise<Value>, timeoutMs = Infinity): Promise<Value> {
    if (this.#options.signal.aborted) throw cancelled(this.#options.signal.reason)
    const timeout = new AbortController()
    const signal = AbortSignal.any([this.#options.signal, timeout.signal])
    const timer = Number.isFinite(timeoutMs)
      ? setTimeout(
          () => timeout.abort(new GatewayError('tool-timeout', tooLong(timeoutMs))),
          Math.min(timeoutMs, MAX_TIMER_MS),
        )
      : undefined
    try {
      return await work(signal)
    } catch (cause) {
      if (this.#options.signal.aborted) throw cancelled(cause)
      if (timeout.signal.aborted) throw timeout.signal.reason
      if (cause instanceof GatewayError && TOLD_AS_IS.has(cause.code)) throw cause
      throw new GatewayError('tool-failed', messageOf(cause), { cause })
    } finally {
      clearTimeout(timer)
    }
  }
}

/** What a call that the end of its run cut off ends with. */
export function cancelled(cause?: unknown): GatewayError {
  return new GatewayError('cancelled', 'The call was cancelled.', { cause })
}

/** The result of a tool; where it is a generator, the last thing it said. */
async function resultOf(returned: unknown, progress: ToolProgress, signal: AbortSignal): Promise<unknown> {
  if (!isAsyncIterable(returned)) return returned
  const updates = returned[Symbol.asyncIterator]()
  let last: unknown
  for (;;) {
    const next = await updates.next()
    if (next.done) return next.value === undefined ? last : next.value
    if (signal.aborted) return updates.return?.()
    last = next.value
    progress.report(last)
  }
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

function tooLong(timeoutMs: number): string {
  return `The tool took longer than ${timeoutMs} ms.`
}

function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : error
  return typeof message === 'string' && message !== '' ? shorten(message) : 'The tool failed.'
}

function shorten(text: string): string {
  return text.length > MAX_MESSAGE_CHARS ? `${text.slice(0, MAX_MESSAGE_CHARS - 1)}…` : text
}
