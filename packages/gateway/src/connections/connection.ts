import { type Answer, GatewayError } from '@turnpike/protocol'
import {
  type DuplexDialect,
  type Frame,
  type Request,
  type RequestId,
  decodeCommand,
} from '@turnpike/protocol/wire'
import { ANONYMOUS } from '../stores/thread-ref.ts'
import type { Admission, Presented } from '../access/admission.ts'
import { scheduleAt } from '../timing/expiry.ts'
import { FramePace } from '../timing/frame-pace.ts'
import type { Admitted } from '../access/identity.ts'
import { type Attachment, type Incoming, bytesOf } from '../links/link.ts'
import type { Logger } from '../telemetry/logger.ts'
import { type Outcome, Session, type SessionOptions } from './session.ts'
import type { TimerWheel } from '../timing/timer-wheel.ts'

/** What came of a request: what to answer, and what goes on once that is written. */
export interface Handled {
  readonly answer: unknown
  readonly begin?: (() => void) | undefined
}

/** Carries out the requests of a vocabulary, for somebody who is admitted. What it throws is answered. */
export type Commands = (request: Request, session: Session) => Promise<Handled>

/** Carries out the commands of the protocol. @throws GatewayError `unknown-command` | `invalid-payload` | as they do */
export async function canonicalCommands(request: Request, session: Session): Promise<Outcome> {
  const command = decodeCommand(request.command, request.payload)
  // A connection handles it itself.
  if (command.name === 'auth') throw new GatewayError('forbidden', 'Who this connection is of, is settled.')
  return session.execute(command)
}

export interface ConnectionOptions extends Omit<
  SessionOptions,
  'dialect' | 'dismiss' | 'onFailure' | 'onClose'
> {
  readonly dialect: DuplexDialect
  readonly wheel: TimerWheel
  readonly logger: Logger
  readonly admission: Admission
  /** The credential that came with the request, if one did. */
  readonly presented?: Presented | undefined
  /** Who it is, where the wire has settled that. */
  readonly admitted?: Admitted | undefined
  /** @default {@link canonicalCommands} */
  readonly commands?: Commands | undefined
  /** What it shares with others of the same client. @default one of its own */
  readonly pace?: FramePace | undefined
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
  readonly #pace: FramePace
  readonly #stopDeadline: () => void
  readonly #leaveWaiting: () => void
  #stopExpiry: () => void = () => {}
  #session: Session | undefined
  #admitted: Admitted | undefined
  #inbox: Incoming[] = []
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
    this.#pace = options.pace ?? new FramePace(limits)
    this.#stopDeadline = wheel.schedule(limits.earlyMs, () =>
      this.goodbye(new GatewayError('auth-timeout', 'The connection was not authenticated in time.')),
    )
    this.#leaveWaiting = admission.connections.enter()
    const admitted = options.admitted ?? (admission.isRequired ? undefined : { principal: ANONYMOUS })
    if (admitted) this.#admitOrLeave(admitted)
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
    const read = (): Request => this.#options.dialect.decode(text)
    this.request({ bytes: Buffer.byteLength(text), read, answer: undefined })
  }

  request(incoming: Incoming): void {
    if (this.#closed) return
    const { frameUnitBytes, frameBurst, frameBytes } = this.#options.limits
    const units = Math.min(1 + Math.floor(incoming.bytes / frameUnitBytes), frameBurst)
    if (!this.#pace.frames.take(units)) return this.#refuse(units, incoming)
    this.#inbox.push(incoming)
    this.#inboxBytes += incoming.bytes
    if (this.#isFull()) {
      if (!this.#session) return this.goodbye(tooMuch())
      // A wire that cannot stop reading is left when it has brought this much more.
      if (this.#isFull({ frames: frameBurst, bytes: 4 * frameBytes })) return this.goodbye(tooFast())
      this.#options.link.pause(true)
    }
    void this.#work()
  }

  malformed(reason: string): void {
    if (this.#closed) return
    if (this.#pace.frames.take()) this.#fail(undefined, null, new GatewayError('invalid-frame', reason))
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

  #isFull(more = { frames: 0, bytes: 0 }): boolean {
    const { earlyFrames, earlyBytes } = this.#options.limits
    return this.#inbox.length > earlyFrames + more.frames || this.#inboxBytes > earlyBytes + more.bytes
  }

  /** Handles what waits, while it may and while the client reads its answers. */
  async #work(): Promise<void> {
    const { link, limits } = this.#options
    if (this.#working || this.#deciding) return
    this.#working = true
    for (;;) {
      if (this.#closed || link.bufferedBytes >= limits.answerBytes) break
      const incoming = this.#inbox.shift()
      if (incoming === undefined) break
      this.#inboxBytes -= incoming.bytes
      await this.#handle(incoming)
    }
    this.#working = false
    if (this.#inbox.length === 0 && !this.#closed) link.pause(false)
  }

  async #handle(incoming: Incoming): Promise<void> {
    let id: RequestId = null
    let begin: Handled['begin']
    try {
      const request = incoming.read()
      id = request.id
      if (request.command === 'auth') {
        await this.#authenticate(tokenOf(request))
        this.#answer(incoming, id, { ok: true })
      } else if (this.#session) {
        const { commands = canonicalCommands } = this.#options
        const handled: Handled = await commands(request, this.#session)
        this.#answer(incoming, id, handled.answer)
        begin = handled.begin
      } else {
        throw new GatewayError('unauthorized', 'The first message has to be "auth" with a token.')
      }
    } catch (error) {
      const goodbye = this.#session ? undefined : closing(error)
      // To who waits for no answer, the goodbye says the same.
      if (goodbye !== error || id !== null || incoming.answer) this.#fail(incoming, id, error)
      if (goodbye) this.goodbye(goodbye)
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

  /** Without a verdict to wait for there is nobody yet whom a refusal could be thrown at. */
  #admitOrLeave(admitted: Admitted): void {
    try {
      this.#admit(admitted)
    } catch (error) {
      // What comes until then is not asked for a credential.
      this.#deciding = true
      queueMicrotask(() => this.goodbye(this.#reported(error)))
    }
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
  #refuse(units: number, incoming?: Incoming): void {
    const { framesPerSecond, frameBurst } = this.#options.limits
    const retryAfterMs = Math.ceil((units * 1000) / framesPerSecond)
    const message = `At most ${framesPerSecond} frames a second, ${frameBurst} at once.`
    const error = new GatewayError('rate-limited', message, { retryAfterMs })
    if (!this.#pace.refusals.take(units)) return this.goodbye(error)
    this.#fail(incoming, incoming ? idOf(incoming) : null, error)
  }

  #fail(incoming: Incoming | undefined, id: RequestId, error: unknown): void {
    this.#answer(incoming, id, { ok: false, error: this.#reported(error).toJSON() })
  }

  /** Where the wire does not take the answer itself, only what the protocol knows as one can be said. */
  #answer(incoming: Incoming | undefined, id: RequestId, answer: unknown): void {
    if (this.#closed) return
    if (incoming?.answer) incoming.answer(answer)
    else if (isAnswer(answer)) this.#say(this.#options.dialect.answer(id, answer))
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

function idOf(incoming: Incoming): RequestId {
  try {
    return incoming.read().id
  } catch {
    return null
  }
}

function isAnswer(told: unknown): told is Answer {
  return typeof told === 'object' && told !== null && 'ok' in told
}

function tokenOf({ command, payload }: Request): string {
  const decoded = decodeCommand(command, payload)
  return decoded.name === 'auth' ? decoded.payload.token : ''
}

function tooFast(): GatewayError {
  return new GatewayError('rate-limited', 'More came than can be kept.', { retryAfterMs: 1_000 })
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
