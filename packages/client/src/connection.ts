import type { GatewayError } from '@turnpike/protocol'
import type { Clock } from './clock.ts'
import { TICK_MS, shouldProbe } from './liveness.ts'
import { errorOf, isAboutToken, nextStep } from './reconnect.ts'
import type { Surroundings } from './surroundings.ts'
import type { Tokens } from './tokens.ts'
import { type WireHealth, UNTRIED, afterFailure, afterSuccess } from './wire-choice.ts'
import type { Inbound, Link, LinkEnd, Wire } from './wire.ts'

/** A connection that lasted so long was a good one: the next attempts begin from anew. */
const STABLE_MS = 5_000

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

/** Keeps one link open, over whichever wire gets through. */
export class Connection {
  readonly #options: ConnectionOptions
  #state: ConnectionState = { status: 'idle' }
  #link: Link | undefined
  /** Another link on trial, over the preferred wire, while the fallback serves. */
  #trial: Link | undefined
  #health: WireHealth = UNTRIED
  /** Whoever comes back with an older number has been overtaken. */
  #epoch = 0
  #attempt = 0
  #openedAt = 0
  #tickedAt = 0
  #notBefore = 0
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
    void this.#ended({ reached: true, ...(error && { error }) }, undefined)
  }

  /** Ends it for good. */
  close(error?: GatewayError): void {
    if (this.#state.status === 'closed') return
    this.#epoch++
    this.#stopAll()
    this.#stopWatching()
    this.#link?.close()
    this.#link = undefined
    this.#become({ status: 'closed', ...(error && { error }) })
    this.#options.onLost({ reached: true })
  }

  async #connect(): Promise<void> {
    const { url, tokens, clock, wires } = this.#options
    this.#stopAll()
    const epoch = ++this.#epoch
    this.#become({ status: 'connecting' })
    const [preferred, fallback] = wires
    const wire = fallback && clock.now() < this.#health.blockedUntil ? fallback : preferred
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
    const link: Link = wire.open(
      { url, token, ticket, clock },
      {
        onOpen: () => isCurrent() && this.#opened(link, wire),
        onFrame: (frame) => isCurrent() && this.#options.onFrame(frame),
        onEnd: (end) => {
          if (isCurrent()) void this.#ended(end, { wire, token, ticket })
        },
      },
    )
    // While it opens it has to be closed with the rest, too.
    this.#link = link
  }

  #opened(link: Link, wire: Wire): void {
    const { tokens, clock, wires } = this.#options
    tokens.accepted()
    this.#link = link
    this.#openedAt = this.#tickedAt = clock.now()
    this.#become({ status: 'open', wire: wire.name })
    if (wire === wires[0]) this.#health = afterSuccess()
    else this.#planTrial()
    this.#tick()
    this.#options.onLink(link)
  }

  async #ended(
    end: LinkEnd,
    by: { wire: Wire; token: string | undefined; ticket: string | undefined } | undefined,
  ): Promise<void> {
    const { clock, wires, look, onLost } = this.#options
    const epoch = ++this.#epoch
    this.#stopAll()
    this.#link = undefined
    this.#ticket = end.ticket
    const wasOpen = this.#state.status === 'open'
    if (wasOpen) {
      if (clock.now() - this.#openedAt >= STABLE_MS) this.#attempt = 0
      this.#become({ status: 'connecting' })
      onLost(end)
    }
    let said = end
    if (!end.reached && by?.wire === wires[0]) {
      const { works, error } = await look()
      if (epoch !== this.#epoch) return
      said = { ...end, ...(error && { error }) }
      const [, fallback] = wires
      if (fallback) {
        this.#health = afterFailure(this.#health, { httpWorks: works, now: clock.now() })
        if (clock.now() < this.#health.blockedUntil) return void this.#connect()
      }
    }
    this.#next(said, by)
  }

  #next(end: LinkEnd, by: { token: string | undefined; ticket: string | undefined } | undefined): void {
    const { tokens, clock } = this.#options
    // A ticket that has run out says nothing of the token.
    if (by?.ticket !== undefined && isAboutToken(end.error)) return void this.#connect()
    const mayRenew = isAboutToken(errorOf(end)) && tokens.refused(by?.token)
    const decided = nextStep({ end, attempt: this.#attempt++, random: clock.random(), mayRenew })
    if (decided.step === 'give-up') return this.close(decided.error)
    if (decided.step === 'renew-token') return void this.#connect()
    this.#notBefore = clock.now() + decided.leastMs
    this.#wait(decided.delayMs)
  }

  #wait(delayMs: number): void {
    const { clock, surroundings } = this.#options
    this.#stopTimer()
    const offline = !surroundings.isOnline()
    this.#become({ status: 'reconnecting', attempt: this.#attempt, delayMs, offline })
    if (offline) return
    this.#stopTimer = clock.after(delayMs, () => {
      // An attempt without a network would only count as a failure.
      if (surroundings.isOnline()) void this.#connect()
      else this.#wait(0)
    })
  }

  /** The network is back, or somebody looks: no reason to wait, but for what the server asked. */
  #hear(news: 'online' | 'visible'): void {
    const { clock, surroundings } = this.#options
    if (this.#state.status === 'open') return this.#link?.probe()
    if (this.#state.status !== 'reconnecting') return
    if (news === 'visible' && !surroundings.isOnline()) return
    const leastMs = this.#notBefore - clock.now()
    if (leastMs > 0) this.#wait(leastMs)
    else void this.#connect()
  }

  #tick(): void {
    const { clock } = this.#options
    this.#stopTicking = clock.after(TICK_MS, () => {
      const link = this.#link
      if (!link) return
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
    const delayMs = Math.max(0, this.#health.blockedUntil - clock.now())
    this.#stopTrial = clock.after(delayMs, () => void this.#try())
  }

  async #try(): Promise<void> {
    const { url, tokens, clock, wires, onFrame, onLost } = this.#options
    const epoch = this.#epoch
    const isCurrent = (): boolean => epoch === this.#epoch
    const token = await Promise.resolve(tokens.get()).catch(() => undefined)
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
          this.#opened(trial, wires[0])
        },
        onFrame: (frame) => isCurrent() && inUse && onFrame(frame),
        onEnd: (end) => {
          if (!isCurrent()) return
          if (inUse) return void this.#ended(end, by)
          this.#trial = undefined
          this.#health = afterFailure(this.#health, { httpWorks: true, now: clock.now() })
          this.#planTrial()
        },
      },
    )
    this.#trial = trial
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
