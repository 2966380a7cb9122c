import { type AgentEvent, GatewayError } from '@turnpike/protocol'
import type { RunGroup } from './run-group.ts'
import type { AgentYield } from './runnable.ts'
import type { TextDelta } from './speech.ts'
import { type RunUsage, addUsage } from './usage.ts'

type ToolEvent = Extract<AgentEvent, { toolCallId: string }>

export interface MemberEventsOptions {
  readonly group: RunGroup
  readonly name: string
  readonly turn: number
  readonly tells: 'answer' | 'reasoning' | 'nothing'
  readonly isLeader?: boolean
  /** Once it has aborted, what the member says is not told any more. */
  readonly signal: AbortSignal
}

/** Makes what one member reports the events of the run that it is a part of, and keeps what it comes to. */
export class MemberEvents {
  readonly #options: MemberEventsOptions
  /**
   * Follows the ids of its tool calls. The first turn has none, so that a run of one member has the ids as they are: of a
   * team within a team, that of the member in it tells its calls apart, since no two turns of a run have one number.
   */
  readonly #suffix: string
  readonly #calls = new Set<string>()
  /** The tools of those calls that have not ended. */
  readonly #open = new Map<string, string>()
  #isClosed = false
  /** The run's numbers of its steps. */
  readonly #steps = new Map<number, number>()
  #text: string
  #usage: RunUsage

  constructor(options: MemberEventsOptions, parked?: { readonly text: string; readonly usage: RunUsage }) {
    this.#options = options
    this.#suffix = options.turn === 0 ? '' : `-m${options.turn}`
    this.#text = parked?.text ?? ''
    this.#usage = parked?.usage ?? { inputTokens: 0, outputTokens: 0 }
  }

  /** All that it has answered. */
  get text(): string {
    return this.#text
  }

  /** What its steps have used. */
  get usage(): RunUsage {
    return this.#usage
  }

  /** The event to be told of it, if any. */
  of(value: AgentYield): AgentEvent | undefined {
    if (typeof value === 'string') return this.#say({ type: 'text-delta', delta: value, channel: 'answer' })
    if (typeof value !== 'object' || value === null) {
      throw new GatewayError('invalid-agent-event', 'The agent reported something that is no event.')
    }
    switch (value.type) {
      case 'text-delta':
        return this.#say(value)
      case 'tool-call-start':
      case 'tool-call-args':
      case 'tool-call-result':
      case 'tool-call-error':
        if (this.#isClosed) return undefined
        this.#note(value)
        return { ...value, toolCallId: this.outerId(value.toolCallId), ...this.#speaker(value.agent) }
      case 'step-start': {
        const step = this.#options.group.nextStep()
        this.#steps.set(value.step, step)
        return { ...value, step }
      }
      case 'step-finish':
        this.#usage = addUsage(this.#usage, value.usage)
        return { ...value, step: this.#steps.get(value.step) ?? value.step }
      case 'run-update': {
        const { background } = value
        // The progress of a tool has the id of its call.
        if (!this.#calls.has(background.id)) return value
        return { ...value, background: { ...background, id: this.outerId(background.id) } }
      }
      case 'artifact-created':
      case 'artifact-updated':
      case 'memory-write':
      case 'memory-recall-result':
        return value
      default:
        // Nothing we know: for the gateway to refuse.
        return value satisfies never
    }
  }

  /** It was cut off: its calls end with it, and what still comes of them is nobody's. */
  close(): AgentEvent[] {
    const error = { code: 'cancelled', message: 'The call was cancelled.' }
    const ends = [...this.#open].flatMap(
      ([toolCallId, tool]) => this.of({ type: 'tool-call-error', toolCallId, tool, error }) ?? [],
    )
    this.#isClosed = true
    return ends
  }

  #note({ type, toolCallId, tool }: ToolEvent): void {
    this.#calls.add(toolCallId)
    if (type === 'tool-call-start') this.#open.set(toolCallId, tool)
    else if (type !== 'tool-call-args') this.#open.delete(toolCallId)
  }

  /** A call that was told of before the member was parked. */
  reopen(toolCallId: string): void {
    this.#calls.add(toolCallId)
  }

  outerId(toolCallId: string): string {
    // Foreign code: what is no id stays none.
    return typeof toolCallId === 'string' ? toolCallId + this.#suffix : toolCallId
  }

  innerId(toolCallId: string): string {
    return toolCallId.endsWith(this.#suffix)
      ? toolCallId.slice(0, toolCallId.length - this.#suffix.length)
      : toolCallId
  }

  #say({ delta, channel, agent }: TextDelta): TextDelta | undefined {
    const { group, turn, tells, isLeader, signal } = this.#options
    if (delta === '' || signal.aborted) return undefined
    if (channel === 'answer') this.#text += delta
    if (channel === 'answer' && tells === 'nothing') return undefined
    const told: TextDelta = {
      type: 'text-delta',
      delta,
      channel: tells === 'answer' ? channel : 'reasoning',
      ...this.#speaker(agent),
    }
    return isLeader ? group.speech.tell(turn, told) : group.speech.say(turn, told)
  }

  /** Who said it: of a team within a team, the member that did. */
  #speaker(agent: string | undefined): { agent?: string } {
    const speaker = agent ?? (this.#options.isLeader ? undefined : this.#options.name)
    return speaker === undefined ? {} : { agent: speaker }
  }
}
