import type { GatewayError } from '@turnpike/protocol'
import { backoffMs } from './backoff.ts'
import type { Clock } from './clock.ts'
import { TICK_MS, shouldProbe } from './liveness.ts'
import { errorOf, isAboutToken, nextStep } from './reconnect.ts'
import type { News, Surroundings } from './surroundings.ts'
import type { Tokens } from './tokens.ts'
import { type WireHealth, UNTRIED, afterFailure, afterSuccess } from './wire-choice.ts'
import type { Inbound, Link, LinkEnd, Wire } from './wire.ts'

/** An attempt that is older than this when the network comes back was begun without one. */
const DOOMED_MS = 2_000

/** Where the connection stands. It never gives up by itself: `closed` is what was asked for, or the server's last word. */
export type ConnectionState =
  /** Nothing has needed it yet. */
  | { readonly status: 'idle' }
  | { readonly status: 'connecting' }
  /** `wire` is the one in use: `websocket` or `sse`. */
  | { readonly status: 'open'; readonly wire: string }
  /** `delayMs` from the change to the next attempt; without an end while `offline`. */
  | {
      readonly status: 'reconnecting'
      readonly attempt: number
      readonly delayMs: number
      readonly offline: boolean
    }
  | { readonly status: 'closed'; readonly error?: GatewayError }

export interface ConnectionOptions {
  readonly url: string
  /** The preferred one, and one to fall back to. */
  readonly wires: readonly [preferred: Wire, fallback?: Wire]
  readonly tokens: Tokens
  readonly clock: Clock
  readonly surroundings: Surroundings
  /** What HTTP says where a wire cannot be opened. */
  readonly look: () => Promise<{ readonly works: boolean; readonly error?: GatewayError }>
  readonly onState: (state: ConnectionState) => void
  /** A link is open; the one before is gone. */
  readonly onLink: (link: Link) => void
  readonly onFrame: (frame: Inbound) => void
  /** The link is gone. */
  readonly onLost: (end: LinkEnd) => void
}

/** Over which wire a link was opened, and with what. */
interface OpenedBy {
  readonly wire: Wire
  readonly token: string | undefined
  readonly ticket: string | undefined
}

/** Keeps one link open, over whichever wire gets through. */
export class Connection {
  readonly #options: ConnectionOptions
  #state: ConnectionState = { status: 'idle' }
  #link: Link | undefined
  /** How the link in use was opened. */
  #by: OpenedBy | undefined
  /** Another link on trial, over the preferred wire, while the fallback serves. */
  #trial: Link | undefined
  #health: WireHealth = UNTRIED
  /** Whoever comes back with an older number has been overtaken. */
  #epoch = 0
  #attempt = 0
  /** Another token was asked for since the connection was last stable. */
  #hasRenewed = false
  #connectingSince = 0
  #tickedAt = 0
  /** The server asked not to be tried for so long, up to then. Both, since clocks are set back. */
  #leastMs = 0
  #notBefore = 0
  /** How long the preferred wire is blocked from when it failed. */
  #blockMs = 0
  #ticket: string | undefined
  #stopTimer: () => void = () => {}
  #stopTicking: () => void = () => {}
  #stopTrial: () => void = () => {}
  #stopWatching: () => void = () => {}

  constructor(options: ConnectionOptions) {
    this.#options = options
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** Connects, if nothing has needed a connection before. */
  start(): void {
    if (this.#state.status !== 'idle') return
    this.#stopWatching = this.#options.surroundings.watch((news) => this.#hear(news))
    if (this.#options.surroundings.isOnline()) void this.#connect()
    else this.#wait(0)
  }

  /** Gives up the link, which does not do what it should, or was told to, and connects again. */
  restart(error?: GatewayError): void {
    if (this.#state.status !== 'open') return
    this.#link?.close()
    void this.#ended({ reached: true, ...(error && { error }) }, this.#by)
  }

  /** Ends it for good. */
  close(error?: GatewayError): void {
    if (this.#state.status === 'closed') return
    this.#drop()
    this.#stopWatching()
    this.#become({ status: 'closed', ...(error && { error }) })
    this.#options.onLost({ reached: true })
  }

  /** Lets go of the link, or of the attempt at one, and of all that was planned. */
  #drop(): void {
    this.#epoch++
    this.#stopAll()
    this.#link?.close()
    this.#link = undefined
  }

  async #connect(): Promise<void> {
    const { url, tokens, clock, wires } = this.#options
    this.#drop()
    const epoch = this.#epoch
    this.#leastMs = 0
    this.#connectingSince = clock.now()
    this.#become({ status: 'connecting' })
    if (epoch !== this.#epoch) return
    const [preferred, fallback] = wires
    const wire = fallback && this.#blockedMs() > 0 ? fallback : preferred
    const ticket = this.#ticket
    this.#ticket = undefined
    let token: string | undefined
    try {
      token = ticket === undefined ? await tokens.get() : undefined
    } catch {
      // Nobody could say who this is: mostly because there is no network.
      if (epoch === this.#epoch) void this.#ended({ reached: true }, undefined)
      return
    }
    if (epoch !== this.#epoch) return
    const isCurrent = (): boolean => epoch === this.#epoch
    const by = { wire, token, ticket }
    try {
      const link: Link = wire.open(
        { url, token, ticket, clock },
        {
          onOpen: () => isCurrent() && this.#opened(link, by),
          onFrame: (frame) => isCurrent() && this.#options.onFrame(frame),
          onEnd: (end) => {
            if (isCurrent()) void this.#ended(end, by)
          },
        },
      )
      // While it opens it has to be closed with the rest, too.
      this.#link = link
    } catch {
      // Such as a page of https, which may not use what is not encrypted.
      if (isCurrent()) void this.#ended({ reached: false }, by)
    }
  }

  #opened(link: Link, by: OpenedBy): void {
    const { wire, token } = by
    this.#by = by
    const { tokens, clock, wires } = this.#options
    // Without a token a wire may open before the server has decided.
    if (token !== undefined) tokens.accepted()
    this.#link = link
    this.#tickedAt = clock.now()
    const epoch = this.#epoch
    this.#become({ status: 'open', wire: wire.name })
    // A listener may have closed it.
    if (epoch !== this.#epoch) return
    if (wire === wires[0]) this.#health = afterSuccess()
    else this.#planTrial()
    this.#tick()
    this.#options.onLink(link)
  }

  async #ended(end: LinkEnd, by: OpenedBy | undefined): Promise<void> {
    const { wires, look, onLost } = this.#options
    const epoch = ++this.#epoch
    this.#stopAll()
    this.#link = undefined
    this.#ticket = end.ticket
    const wasOpen = this.#state.status === 'open'
    if (wasOpen) {
      this.#become({ status: 'connecting' })
      if (epoch === this.#epoch) onLost(end)
      // A listener may have closed it.
      if (epoch !== this.#epoch) return
    }
    let said = end
    if (!end.reached && by?.wire === wires[0]) {
      const { works, error } = await look()
      if (epoch !== this.#epoch) return
      if (error && isMisled(error)) return this.close(error)
      said = { ...end, ...(error && { error }) }
      const [, fallback] = wires
      if (fallback) {
        this.#failed(works)
        if (this.#blockedMs() > 0) return void this.#connect()
      }
    }
    this.#next(said, by)
  }

  #next(end: LinkEnd, by: OpenedBy | undefined): void {
    const { tokens, clock } = this.#options
    // A ticket that has run out says nothing of the token.
    if (by?.ticket !== undefined && isAboutToken(end.error)) return void this.#connect()
    const mayRenew = isAboutToken(errorOf(end)) && tokens.refused(by?.token)
    const attempt = this.#attempt++
    const random = clock.random()
    const decided = nextStep({ end, attempt, random, mayRenew })
    if (decided.step === 'give-up') return this.close(decided.error)
    if (decided.step === 'renew-token') {
      // One that is let in and thrown out again would else ask for tokens without a pause.
      if (this.#hasRenewed) return this.#wait(backoffMs(attempt, random))
      this.#hasRenewed = true
      return void this.#connect()
    }
    this.#leastMs = decided.leastMs
    this.#notBefore = clock.now() + decided.leastMs
    this.#wait(decided.delayMs)
  }

  #wait(delayMs: number): void {
    const { clock, surroundings } = this.#options
    this.#stopTimer()
    const offline = !surroundings.isOnline()
    this.#become({ status: 'reconnecting', attempt: this.#attempt, delayMs, offline })
    // A listener may have closed it.
    if (offline || this.#state.status !== 'reconnecting') return
    this.#stopTimer = clock.after(delayMs, () => {
      // An attempt without a network would only count as a failure.
      if (surroundings.isOnline()) void this.#connect()
      else this.#wait(0)
    })
  }

  /** The network is back, or somebody looks: no reason to wait, but for what the server asked. */
  #hear(news: News): void {
    const { clock, surroundings } = this.#options
    const { status } = this.#state
    if (status === 'open') return this.#link?.probe()
    if (status === 'closed') return
    if (news === 'offline') return this.#goOffline()
    if (news === 'visible' && !surroundings.isOnline()) return
    const now = clock.now()
    if (status === 'connecting') {
      const isFresh = now >= this.#connectingSince && now - this.#connectingSince < DOOMED_MS
      return isFresh ? undefined : void this.#connect()
    }
    const leastMs = Math.min(this.#leastMs, this.#notBefore - now)
    if (leastMs > 0) this.#wait(leastMs)
    else void this.#connect()
  }

  /** An attempt would only fail, and late; one that is planned waits for the network. */
  #goOffline(): void {
    if (this.#options.surroundings.isOnline()) return
    this.#drop()
    this.#wait(0)
  }

  #tick(): void {
    const { clock } = this.#options
    this.#stopTicking = clock.after(TICK_MS, () => {
      const link = this.#link
      if (!link) return
      // It lasted: the next attempts begin from anew.
      this.#attempt = 0
      this.#hasRenewed = false
      const now = clock.now()
      const probe = shouldProbe({ now, heardAt: link.heardAt, tickedAt: this.#tickedAt })
      this.#tickedAt = now
      this.#tick()
      if (probe) link.probe()
    })
  }

  /** The fallback serves. Later the preferred wire is tried beside it, and takes over if it opens. */
  #planTrial(): void {
    const { clock } = this.#options
    this.#stopTrial = clock.after(this.#blockedMs(), () => void this.#try())
  }

  #blockedMs(): number {
    return Math.max(0, Math.min(this.#blockMs, this.#health.blockedUntil - this.#options.clock.now()))
  }

  /** The preferred wire did not open. */
  #failed(httpWorks: boolean): void {
    const now = this.#options.clock.now()
    this.#health = afterFailure(this.#health, { httpWorks, now })
    this.#blockMs = this.#health.blockedUntil - now
  }

  async #try(): Promise<void> {
    const { url, tokens, clock, wires, onFrame, onLost } = this.#options
    const epoch = this.#epoch
    const isCurrent = (): boolean => epoch === this.#epoch
    const fail = (): void => {
      if (!isCurrent()) return
      this.#trial = undefined
      this.#failed(true)
      this.#planTrial()
    }
    try {
      const token = await tokens.get()
      if (!isCurrent()) return
      let inUse = false
      const by = { wire: wires[0], token, ticket: undefined }
      const trial: Link = wires[0].open(
        { url, token, ticket: undefined, clock },
        {
          onOpen: () => {
            if (!isCurrent()) return trial.close()
            inUse = true
            this.#trial = undefined
            this.#link?.close()
            onLost({ reached: true })
            this.#stopAll()
            this.#opened(trial, by)
          },
          onFrame: (frame) => isCurrent() && inUse && onFrame(frame),
          onEnd: (end) => {
            if (isCurrent() && inUse) void this.#ended(end, by)
            else fail()
          },
        },
      )
      this.#trial = trial
    } catch {
      fail()
    }
  }

  #stopAll(): void {
    this.#stopTimer()
    this.#stopTicking()
    this.#stopTrial()
    this.#trial?.close()
    this.#trial = undefined
  }

  #become(state: ConnectionState): void {
    this.#state = state
    this.#options.onState(state)
  }
}

/** Tells whether the address is the wrong one, or the page is: waiting makes neither right. */
function isMisled({ code }: GatewayError): boolean {
  return code === 'unknown-route' || code === 'origin-not-allowed'
}
