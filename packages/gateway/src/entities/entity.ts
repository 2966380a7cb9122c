import { randomUUID } from 'node:crypto'
import type { JsonSchema, RemoteCaller } from '@turnpike/agents/host'
import { type Limits, GatewayError } from '@turnpike/protocol'
import type { EntityNews } from '@turnpike/protocol/wire'
import type { TimerWheel } from '../timing/timer-wheel.ts'

/** The connection of an entity, as a wire gives it. */
export interface EntityPeer {
  /** What was sent and not yet taken. */
  readonly bufferedBytes: number
  readonly send: <Name extends keyof EntityNews>(name: Name, payload: EntityNews[Name]) => void
  /** Tells why, then closes. */
  readonly close: (error: GatewayError) => void
}

/** A tool that an entity has registered, looked through. */
export interface EntityTool {
  readonly name: string
  readonly description: string
  readonly parameters: JsonSchema
  readonly needsApproval: boolean
}

export interface EntityOptions {
  readonly id: string
  readonly peer: EntityPeer
  readonly limits: Limits
  readonly wheel: Pick<TimerWheel, 'schedule'>
  /** It has been silent for too long. */
  readonly onSilent: (entity: Entity) => void
}

type CallOutcome = { readonly result: unknown } | { readonly error: GatewayError }

/** One entity for as long as one connection of it lasts: its tools, and the calls that it works on. */
export class Entity {
  readonly id: string
  readonly peer: EntityPeer
  tools: ReadonlyMap<string, EntityTool> = new Map()
  readonly #options: EntityOptions
  readonly #calls = new Map<string, (outcome: CallOutcome) => void>()
  #stopSilence: () => void = () => {}
  #isGone = false

  constructor(options: EntityOptions) {
    this.#options = options
    this.id = options.id
    this.peer = options.peer
    this.heard()
  }

  /** How many calls it works on. */
  get callCount(): number {
    return this.#calls.size
  }

  /** It gave a sign of life. */
  heard(): void {
    const { wheel, limits, onSilent } = this.#options
    this.#stopSilence()
    if (this.#isGone || limits.entitySilenceMs === 0) return
    this.#stopSilence = wheel.schedule(limits.entitySilenceMs, () => onSilent(this))
  }

  /**
   * Has a call made, and settles as the entity answers it.
   *
   * Who calls may end it before that: the entity is told, and what it still says of it is nobody's.
   *
   * @throws GatewayError `tool-failed` | `tool-timeout` | `entity-gone`; the reason of the caller's signal
   */
  async call(tool: string, args: unknown, caller: RemoteCaller): Promise<unknown> {
    const { signal, toolCallId, runId, threadId, user } = caller
    signal.throwIfAborted()
    this.#assertFree()
    const callId = randomUUID()
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const onAbort = (): void => this.#giveUp(callId, signal.reason)
    const stopDeadline = this.#startDeadline(callId)
    signal.addEventListener('abort', onAbort, { once: true })
    this.#calls.set(callId, (outcome) => {
      stopDeadline()
      signal.removeEventListener('abort', onAbort)
      this.#calls.delete(callId)
      if ('error' in outcome) reject(outcome.error)
      else resolve(outcome.result)
    })
    this.peer.send('tool.call', { callId, tool, args, toolCallId, runId, threadId, user })
    return promise
  }

  /** Takes what the entity says of a call; tells whether somebody waited for it. */
  settle(callId: string, outcome: CallOutcome): boolean {
    const settle = this.#calls.get(callId)
    settle?.(outcome)
    return settle !== undefined
  }

  /** It is not connected any more: what it works on has no answer. */
  leave(): void {
    this.#isGone = true
    this.#stopSilence()
    const error = new GatewayError('entity-gone', `${quoted(this.id)} went away before it answered.`)
    for (const settle of this.#calls.values()) settle({ error })
  }

  #assertFree(): void {
    const { entityCalls, highWaterBytes } = this.#options.limits
    if (this.#calls.size >= entityCalls) {
      throw new GatewayError('tool-failed', `${quoted(this.id)} works on ${entityCalls} calls already.`)
    }
    if (this.peer.bufferedBytes < highWaterBytes) return
    throw new GatewayError('tool-failed', `${quoted(this.id)} does not take what it is sent.`)
  }

  #startDeadline(callId: string): () => void {
    const { wheel, limits } = this.#options
    const message = `${quoted(this.id)} did not answer within ${limits.entityCallMs} ms.`
    return wheel.schedule(limits.entityCallMs, () =>
      this.#giveUp(callId, new GatewayError('tool-timeout', message)),
    )
  }

  /** Ends a call that is not answered yet: one that is has no deadline and listens to no signal. */
  #giveUp(callId: string, reason: unknown): void {
    const error =
      reason instanceof GatewayError ? reason : new GatewayError('cancelled', 'Nobody waits for it.')
    this.settle(callId, { error })
    this.peer.send('tool.cancel', { callId })
  }
}

function quoted(id: string): string {
  return JSON.stringify(id)
}
