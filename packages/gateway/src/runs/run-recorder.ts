import type { AgentYield } from '@turnpike/agents'
import { type AgentEvent, type Limits, GatewayError } from '@turnpike/protocol'
import { checkAgentEvent, splitText } from './agent-events.ts'
import type { EventDraft } from '../logs/thread-window.ts'

export interface RunRecorderOptions {
  readonly runId: string
  readonly limits: Limits
  readonly log: (draft: EventDraft) => void
}

/** What a run has told so far: what counts on when it goes on in another process. */
export interface Progress {
  readonly answer: string
  readonly steps: number
  readonly chars: number
  readonly events: number
  readonly inputTokens: number
  readonly outputTokens: number
}

interface Text {
  readonly delta: string
  readonly channel: 'answer' | 'reasoning'
  /** Whose it is, where that is not the run's own agent. */
  readonly agent?: string | undefined
}

const NOTHING: Progress = { answer: '', steps: 0, chars: 0, events: 0, inputTokens: 0, outputTokens: 0 }

/**
 * Takes what an agent reports into the log, and keeps count of what `finish` tells.
 *
 * It has three states. Open, it takes everything; stopped, only what closes things, such as the error of a tool, and no
 * more text; closed, nothing.
 */
export class RunRecorder {
  readonly #options: RunRecorderOptions
  #state: 'open' | 'stopped' | 'closed' = 'open'
  #channel = ''
  #answer: string
  #steps: number
  #chars: number
  #events: number
  #inputTokens: number
  #outputTokens: number

  constructor(options: RunRecorderOptions, progress = NOTHING) {
    this.#options = options
    this.#answer = progress.answer
    this.#steps = progress.steps
    this.#chars = progress.chars
    this.#events = progress.events
    this.#inputTokens = progress.inputTokens
    this.#outputTokens = progress.outputTokens
  }

  get progress(): Progress {
    return {
      answer: this.#answer,
      steps: this.#steps,
      chars: this.#chars,
      events: this.#events,
      ...this.usage,
    }
  }

  /** All text of the answer so far. */
  get answer(): string {
    return this.#answer
  }

  get steps(): number {
    return this.#steps
  }

  get usage(): { inputTokens: number; outputTokens: number } {
    return { inputTokens: this.#inputTokens, outputTokens: this.#outputTokens }
  }

  stop(): void {
    if (this.#state === 'open') this.#state = 'stopped'
  }

  close(): void {
    this.#state = 'closed'
  }

  /** @throws GatewayError `invalid-agent-event` | `event-too-large` | `output-too-large` */
  take(value: AgentYield): void {
    if (this.#state === 'closed') return
    if (typeof value === 'string') return this.#takeText(value, 'answer')
    if (isText(value, this.#options.limits)) return this.#takeText(value.delta, value.channel, value.agent)
    const event = checkAgentEvent(value, this.#options.limits)
    if (event.type === 'text-delta') return this.#takeText(event.delta, event.channel, event.agent)
    if (event.type === 'tool-call-args' && event.args === undefined) {
      if (this.#state === 'stopped') return
      this.#weigh(event.delta.length)
    } else {
      this.#weigh(JSON.stringify(event).length)
      this.#countEvent()
    }
    this.#count(event)
    this.#options.log({ ...event, runId: this.#options.runId })
  }

  #takeText(text: string, channel: Text['channel'], agent?: string): void {
    if (this.#state === 'stopped' || text === '') return
    const { answerChars, deltaChars } = this.#options.limits
    if (channel !== this.#channel) this.#countEvent()
    this.#channel = channel
    this.#weigh(text.length)
    if (channel === 'answer') {
      if (this.#answer.length + text.length > answerChars)
        throw tooLarge(`an answer of ${answerChars} characters`)
      this.#answer += text
    }
    if (text.length <= deltaChars) this.#logText(text, channel, agent)
    else for (const delta of splitText(text, deltaChars)) this.#logText(delta, channel, agent)
  }

  #logText(delta: string, channel: Text['channel'], agent?: string): void {
    const { log, runId } = this.#options
    if (agent === undefined) log({ type: 'text-delta', runId, delta, channel })
    else log({ type: 'text-delta', runId, delta, channel, agent })
  }

  #weigh(chars: number): void {
    const { outputChars } = this.#options.limits
    this.#chars += chars
    if (this.#chars > outputChars) throw tooLarge(`${outputChars} characters of output`)
  }

  /** Each may become a part of its message, and a message of too many parts is slow to fold. */
  #countEvent(): void {
    const { runEvents } = this.#options.limits
    if (++this.#events > runEvents) throw tooLarge(`${runEvents} events beside text`)
  }

  #count(event: AgentEvent): void {
    this.#channel = event.type
    if (event.type === 'step-start') this.#steps++
    if (event.type !== 'step-finish') return
    this.#inputTokens += event.usage.inputTokens
    this.#outputTokens += event.usage.outputTokens
  }
}

/**
 * Whether it is text that needs no checking beyond this: what members of a team say comes as events, each delta of it.
 */
function isText(value: AgentEvent, { deltaChars, idChars }: Limits): value is AgentEvent & Text {
  if (typeof value !== 'object' || value?.type !== 'text-delta') return false
  const { delta, channel, agent } = value
  return (
    typeof delta === 'string' &&
    delta.length <= deltaChars &&
    (channel === 'answer' || channel === 'reasoning') &&
    (agent === undefined || (typeof agent === 'string' && agent.length <= idChars))
  )
}

function tooLarge(what: string): GatewayError {
  return new GatewayError('output-too-large', `The run exceeds ${what}.`)
}
