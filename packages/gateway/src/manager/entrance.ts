import { GatewayError } from '@turnpike/protocol'
import { parseJson } from '@turnpike/protocol/wire'
import type { Admitted } from '../access/identity.ts'
import type { TimerWheel } from '../timing/timer-wheel.ts'
import type { Guard } from './guard.ts'
import type { EarlyLimits } from './manager-config.ts'
import type { Presented } from './websocket-auth.ts'
import type { WebSocketMessage } from './websocket-handler.ts'

export interface EntranceOptions {
  readonly guard: Guard
  /** The credential that came with the request, if one did. */
  readonly presented: Presented | undefined
  /** They are in already, and may say who they are with their first message. */
  readonly isOptional: boolean
  readonly limits: EarlyLimits
  readonly wheel: TimerWheel
  readonly onAdmitted: (admitted: Admitted) => void
  readonly onRefused: (error: unknown) => void
}

/**
 * What stands between a peer and its handler until it is settled who it is.
 *
 * What comes meanwhile is kept, in order; bounded in messages, bytes and time, and no traffic makes the time longer.
 */
export class Entrance {
  readonly #options: EntranceOptions
  readonly #stopDeadline: () => void
  #early: WebSocketMessage[] = []
  #keptBytes = 0
  #readBytes = 0
  #isDeciding = false
  #isDone = false

  constructor(options: EntranceOptions) {
    const { presented, isOptional, limits, wheel } = options
    this.#options = options
    // A verdict has a time of its own.
    this.#stopDeadline =
      isOptional || presented !== undefined
        ? () => {}
        : wheel.schedule(limits.earlyMs, () =>
            this.#refuse(new GatewayError('auth-timeout', 'The connection was not authenticated in time.')),
          )
    if (presented !== undefined) this.#decide(presented)
  }

  /** Takes a message; false where it is not for the entrance but for the handler. */
  receive(message: WebSocketMessage, bytes: number): boolean {
    if (this.#isDone) return false
    if (this.#isDeciding) {
      this.#keep(message, bytes)
      return true
    }
    const first = authIn(message)
    if (first) {
      this.#decide(this.#options.guard.presentedAs(first.token))
    } else {
      if (this.#options.isOptional) return !(this.#isDone = true)
      const expected = 'The first message has to be { "type": "auth", "token": … }.'
      this.#refuse(new GatewayError('unauthorized', expected))
    }
    return true
  }

  /** What the wire has read, be it whole messages or not. */
  bytesRead(count: number): void {
    if (this.#isDone || this.#options.isOptional) return
    this.#readBytes += count
    if (this.#readBytes > this.#options.limits.earlyBytes) this.#refuse(tooMuch())
  }

  /** The messages that waited; from now on there are none. */
  release(): readonly WebSocketMessage[] {
    const early = this.#early
    this.end()
    return early
  }

  end(): void {
    this.#isDone = true
    this.#early = []
    this.#stopDeadline()
  }

  #keep(message: WebSocketMessage, bytes: number): void {
    const { limits } = this.#options
    this.#early.push(message)
    this.#keptBytes += bytes
    if (this.#early.length > limits.earlyFrames || this.#keptBytes > limits.earlyBytes)
      this.#refuse(tooMuch())
  }

  #decide(presented: Presented): void {
    const { guard, onAdmitted } = this.#options
    this.#isDeciding = true
    this.#stopDeadline()
    guard.admit(presented).then(
      (admitted) => {
        if (!this.#isDone) onAdmitted(admitted)
      },
      (error: unknown) => this.#refuse(error),
    )
  }

  #refuse(error: unknown): void {
    if (this.#isDone) return
    this.end()
    this.#options.onRefused(error)
  }
}

function authIn({ type, data }: WebSocketMessage): { readonly token: unknown } | undefined {
  if (type !== 'text' || typeof data !== 'string') return undefined
  try {
    const message = parseJson(data)
    if (typeof message !== 'object' || message === null || !('type' in message)) return undefined
    if (message.type !== 'auth') return undefined
    return { token: 'token' in message ? message.token : undefined }
  } catch (error) {
    if (error instanceof GatewayError) return undefined
    throw error
  }
}

function tooMuch(): GatewayError {
  return new GatewayError('early-overflow', 'Too much before authentication.')
}
