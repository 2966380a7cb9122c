import type { JSONValue } from '@ai-sdk/provider'
import { GatewayError } from '@turnpike/protocol'
import type { Approvals } from './approvals.ts'
import { untilAborted } from './abortable.ts'
import type { CheckedCall, ToolCall, ToolCaller } from './tool-call.ts'

/** What became of a call: its result, how it failed, or who decides on it. */
export type SettledCall = { readonly call: ToolCall } & (
  | { readonly type: 'done'; readonly result: JSONValue }
  | { readonly type: 'failed'; readonly error: GatewayError }
  | { readonly type: 'waiting'; readonly approvalId: string }
)

export interface ToolBatchOptions {
  readonly caller: ToolCaller
  readonly approvals: Approvals
  readonly signal: AbortSignal
  /** Calls that run at once; asking for approval is not one. */
  readonly concurrency: number
}

/** Settles calls side by side, each as soon as it can be. */
export class ToolBatch {
  readonly #options: ToolBatchOptions
  readonly #queue: (() => void)[] = []
  #free: number

  constructor(options: ToolBatchOptions) {
    this.#options = options
    this.#free = Math.max(1, options.concurrency)
  }

  /** Makes a call, or asks for approval where its tool needs one. */
  settle(call: ToolCall): Promise<SettledCall> {
    const { caller, approvals, signal } = this.#options
    return attempt(call, async () => {
      const checked = await caller.check(call)
      if (!(await caller.needsApproval(checked))) return this.#execute(checked)
      const { toolCallId, tool, args } = call
      const approvalId = await untilAborted(approvals.open({ toolCallId, tool, args }), signal)
      return { call, type: 'waiting', approvalId }
    })
  }

  /** Makes a call that somebody approved. */
  settleApproved(call: ToolCall): Promise<SettledCall> {
    return attempt(call, async () => this.#execute(await this.#options.caller.check(call)))
  }

  async #execute(checked: CheckedCall): Promise<SettledCall> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#queue.push(resolve))
    else this.#free--
    try {
      return { call: checked.call, type: 'done', result: await this.#options.caller.execute(checked) }
    } finally {
      const next = this.#queue.shift()
      if (next) next()
      else this.#free++
    }
  }
}

/** What fails for another reason than the call, such as that approval cannot be asked for, fails the run. */
async function attempt(call: ToolCall, work: () => Promise<SettledCall>): Promise<SettledCall> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof GatewayError && CALL_ERRORS.has(error.code)) return { call, type: 'failed', error }
    throw error
  }
}

const CALL_ERRORS: ReadonlySet<string> = new Set([
  'unknown-tool',
  'invalid-arguments',
  'tool-failed',
  'tool-timeout',
  'entity-gone',
  'cancelled',
])

/** The values of promises in the order in which they settle. */
export async function* asSettled<Value>(work: readonly Promise<Value>[]): AsyncGenerator<Value> {
  const settled: Promise<Value>[] = []
  let wake = Promise.withResolvers<void>()
  for (const promise of work) {
    const note = (): void => {
      settled.push(promise)
      wake.resolve()
    }
    promise.then(note, note)
  }
  for (let count = 0; count < work.length; count++) {
    while (settled.length <= count) {
      await wake.promise
      wake = Promise.withResolvers<void>()
    }
    const next = settled[count]
    if (next) yield await next
  }
}
