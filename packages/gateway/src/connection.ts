import { GatewayError } from '@turnpike/protocol'
import { type DuplexDialect, type Frame, type RequestId, decodeCommand } from '@turnpike/protocol/wire'
import { ANONYMOUS } from './thread-ref.ts'
import type { Admission, Presented } from './admission.ts'
import { scheduleAt } from './expiry.ts'
import type { Admitted } from './identity.ts'
import { type Attachment, bytesOf } from './link.ts'
import type { Logger } from './logger.ts'
import { type Outcome, Session, type SessionOptions } from './session.ts'
import type { TimerWheel } from './timer-wheel.ts'
import { TokenBucket } from './token-bucket.ts'

export interface ConnectionOptions extends Omit<
  SessionOptions,
  'dialect' | 'dismiss' | 'onFailure' | 'onClose'
> {
  readonly dialect: DuplexDialect
  readonly wheel: TimerWheel
  readonly logger: Logger
  readonly admission: Admission
  /** The credential that came with the request, if one did. */
  readonly presented: Presented | undefined
  readonly onClose: () => void
}

/**
 * One live link on which a client speaks: admission, then frames, in order, one at a time.
 *
 * Frames that come before the client is admitted wait in the same inbox as those that come faster than they are
 * handled. Before admission the inbox is bounded in frames, bytes and time; after it, a full inbox stops the reading.
 */
export class Connection implements Attachment {
  readonly #options: ConnectionOptions
  readonly #bucket: TokenBucket
  /** How much of going too fast is answered before the connection is closed. */
  readonly #patience: TokenBucket
  readonly #stopDeadline: () => void
  readonly #leaveWaiting: () => void
  #stopExpiry: () => void = () => {}
  #session: Session | undefined
  #admitted: Admitted | undefined
  #inbox: string[] = []
  #inboxBytes = 0
  /** What the wire has read before admission, frames or not. */
  #earlyBytes = 0
  #working = false
  /** A verdict on the credential that came with the request is still out. */
  #deciding = false
  #closed = false

  constructor(options: ConnectionOptions) {
    this.#options = options
    const { admission, presented, limits, wheel } = options
    this.#bucket = new TokenBucket(limits.framesPerSecond, limits.frameBurst)
    this.#patience = new TokenBucket(limits.framesPerSecond, limits.refusedFrames)
    this.#stopDeadline = wheel.schedule(limits.earlyMs, () =>
      this.goodbye(new GatewayError('auth-timeout', 'The connection was not authenticated in time.')),
    )
    this.#leaveWaiting = admission.connections.enter()
    if (!admission.isRequired) this.#admit({ principal: ANONYMOUS })
    else if (presented !== undefined) this.#decide(presented)
  }

  /** Who it is, once that is settled. */
  get admitted(): Admitted | undefined {
    return this.#admitted
  }

  get isAdmitted(): boolean {
    return this.#session !== undefined
  }

  bytesRead(count: number): void {
    this.#earlyBytes += count
    if (!this.isAdmitted && this.#earlyBytes > this.#options.limits.earlyBytes) this.goodbye(tooMuch())
  }

  receive(text: string): void {
    if (this.#closed) return
    const bytes = Buffer.byteLength(text)
    const { frameUnitBytes, frameBurst } = this.#options.limits
    const units = Math.min(1 + Math.floor(bytes / frameUnitBytes), frameBurst)
    if (!this.#bucket.take(units)) return this.#refuse(units, text)
    this.#inbox.push(text)
    this.#inboxBytes += bytes
    if (this.#isFull()) {
      if (!this.#session) return this.goodbye(tooMuch())
      this.#options.link.pause(true)
    }
    void this.#work()
  }

  malformed(reason: string): void {
    if (this.#closed) return
    if (this.#bucket.take()) this.#fail(null, new GatewayError('invalid-frame', reason))
    else this.#refuse(1)
  }

  drained(): void {
    if (this.#closed) return
    this.#session?.pump()
    void this.#work()
  }

  closed(): void {
    // Only now is the memory free that it took while it was waiting.
    this.#leaveWaiting()
    this.#end()
  }

  /**
   * Gives the client what is left to give, tells it why, then closes.
   *
   * @param ticket - What to come back with.
   */
  goodbye(error: GatewayError, ticket?: string): void {
    if (this.#closed) return
    this.#session?.pump()
    const { link, dialect } = this.#options
    this.#say(dialect.goodbye(error.toJSON(), ticket))
    this.#end()
    link.close(error.row.close ?? 4500, error.code)
  }

  #end(): void {
    if (this.#closed) return
    this.#closed = true
    this.#inbox = []
    this.#stopDeadline()
    this.#stopExpiry()
    this.#session?.close()
    this.#options.onClose()
  }

  #isFull(): boolean {
    const { earlyFrames, earlyBytes } = this.#options.limits
    return this.#inbox.length > earlyFrames || this.#inboxBytes > earlyBytes
  }

  /** Handles what waits, while it may and while the client reads its answers. */
  async #work(): Promise<void> {
    const { link, limits } = this.#options
    if (this.#working || this.#deciding) return
    this.#working = true
    for (;;) {
      if (this.#closed || link.bufferedBytes >= limits.answerBytes) break
      const text = this.#inbox.shift()
      if (text === undefined) break
      this.#inboxBytes -= Buffer.byteLength(text)
      await this.#handle(text)
    }
    this.#working = false
    if (this.#inbox.length === 0 && !this.#closed) link.pause(false)
  }

  async #handle(text: string): Promise<void> {
    let id: RequestId = null
    let begin: Outcome['begin']
    try {
      const request = this.#options.dialect.decode(text)
      id = request.id
      const command = decodeCommand(request.command, request.payload)
      if (command.name === 'auth') {
        await this.#authenticate(command.payload.token)
        this.#say(this.#options.dialect.answer(id, { ok: true }))
      } else if (this.#session) {
        const outcome = await this.#session.execute(command)
        this.#say(this.#options.dialect.answer(id, outcome.answer))
        begin = outcome.begin
      } else {
        throw new GatewayError('unauthorized', 'The first message has to be "auth" with a token.')
      }
    } catch (error) {
      this.#fail(id, error)
      if (!this.#session) this.goodbye(closing(error))
    }
    begin?.()
  }

  async #authenticate(presented: Presented): Promise<void> {
    const admitted = await this.#options.admission.admit(presented)
    if (this.#closed) return
    if (!this.#session) return this.#admit(admitted)
    this.#session.renew(admitted.principal)
    this.#expireWith(admitted)
  }

  #decide(presented: Presented): void {
    this.#deciding = true
    this.#authenticate(presented).then(
      () => {
        this.#deciding = false
        void this.#work()
      },
      (error: unknown) => this.goodbye(this.#reported(error)),
    )
  }

  #admit(admitted: Admitted): void {
    const { log, store, runs, approvals, access, users, sessions, limits, metrics, link, dialect } =
      this.#options
    const parts = { log, store, runs, approvals, access, users, sessions, limits, metrics, link, dialect }
    const onFailure = (error: unknown): void => this.goodbye(this.#reported(error))
    this.#session = new Session(admitted.principal, { ...parts, onFailure, dismiss: onFailure })
    this.#stopDeadline()
    this.#leaveWaiting()
    this.#expireWith(admitted)
  }

  /** The connection lasts as long as the credential; a newer one makes it last longer, or less long. */
  #expireWith(admitted: Admitted): void {
    this.#admitted = admitted
    this.#stopExpiry()
    const { expiresAt } = admitted
    if (expiresAt === undefined) return
    const expired = new GatewayError('token-expired', 'The token has expired. Come back with a newer one.')
    this.#stopExpiry = scheduleAt(this.#options.wheel, expiresAt, () => this.goodbye(expired))
  }

  /** Too fast: the frame is not handled. A peer that goes on regardless is closed. */
  #refuse(units: number, text?: string): void {
    const { framesPerSecond, frameBurst } = this.#options.limits
    const retryAfterMs = Math.ceil((units * 1000) / framesPerSecond)
    const message = `At most ${framesPerSecond} frames a second, ${frameBurst} at once.`
    const error = new GatewayError('rate-limited', message, { retryAfterMs })
    if (!this.#patience.take(units)) return this.goodbye(error)
    this.#fail(text === undefined ? null : this.#idOf(text), error)
  }

  #idOf(text: string): RequestId {
    try {
      return this.#options.dialect.decode(text).id
    } catch {
      return null
    }
  }

  #fail(id: RequestId, error: unknown): void {
    this.#say(this.#options.dialect.answer(id, { ok: false, error: this.#reported(error).toJSON() }))
  }

  #reported(error: unknown): GatewayError {
    if (error instanceof GatewayError) return error
    this.#options.logger.error({ error }, 'a command failed')
    return internal(error)
  }

  #say(frames: readonly Frame[]): void {
    const { link, metrics } = this.#options
    if (this.#closed) return
    const bytes = bytesOf(link.framing, frames)
    link.write(bytes)
    metrics.wire(link.framing.name).wrote(frames.length, bytes.length)
  }
}

function tooMuch(): GatewayError {
  return new GatewayError('early-overflow', 'Too much before authentication.')
}

function internal(cause: unknown): GatewayError {
  return new GatewayError('internal', 'Something went wrong on the server.', { cause })
}

/** Who is not admitted is told why, if that closes a connection; else that it is not admitted. */
function closing(error: unknown): GatewayError {
  if (error instanceof GatewayError && error.row.close !== undefined) return error
  return new GatewayError('unauthorized', 'Not authenticated.')
}
