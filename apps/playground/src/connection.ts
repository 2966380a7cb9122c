import { backoffMs } from './backoff.ts'
import { type Ended, Channel, ChannelLost } from './channel.ts'
import type { Inbound } from './inbound.ts'

/** How things stand with the server. */
export type Status =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  /** By the user's wish. */
  | { readonly kind: 'cut' }
  /** `until` is when the next attempt begins. */
  | { readonly kind: 'reconnecting'; readonly until: number }
  /** The server does not want to be asked again. */
  | { readonly kind: 'refused'; readonly reason: string }

export interface ConnectionOptions {
  readonly url: string
  /** Does what a new channel needs before the connection counts as live; rejects where another one has to be tried. */
  readonly prepare: (channel: Channel) => Promise<void>
  readonly onInbound: (inbound: Inbound) => void
  readonly onStatus: (status: Status) => void
}

/** Keeps a channel to the server open, until it is cut. */
export class Connection {
  readonly #options: ConnectionOptions
  #status: Status = { kind: 'connecting' }
  #channel: Channel | undefined
  #failures = 0
  #retry: number | undefined

  constructor(options: ConnectionOptions) {
    this.#options = options
  }

  get status(): Status {
    return this.#status
  }

  connect(): void {
    clearTimeout(this.#retry)
    this.#channel?.close()
    this.#become({ kind: 'connecting' })
    const channel = new Channel(this.#options.url, {
      onOpen: () => void this.#prepare(channel),
      onInbound: this.#options.onInbound,
      onEnd: (ended) => this.#tryAgain(ended),
    })
    this.#channel = channel
  }

  /** Closes the channel; it stays closed until {@link connect}. */
  cut(): void {
    clearTimeout(this.#retry)
    this.#channel?.close()
    this.#channel = undefined
    this.#failures = 0
    this.#become({ kind: 'cut' })
  }

  /** Makes a pending attempt now: there is news of the network, or somebody is looking. */
  hurry(): void {
    if (this.#status.kind === 'reconnecting') this.connect()
  }

  async #prepare(channel: Channel): Promise<void> {
    try {
      await this.#options.prepare(channel)
    } catch (error) {
      if (error instanceof ChannelLost || channel !== this.#channel) return
      console.warn('The connection could not be prepared.', error)
      channel.close()
      return this.#tryAgain({ code: 0 })
    }
    if (channel !== this.#channel || this.#status.kind !== 'connecting') return
    this.#failures = 0
    this.#become({ kind: 'live' })
  }

  #tryAgain({ code, goodbye }: Ended): void {
    if (code >= 4400 && code < 4500) {
      return this.#become({ kind: 'refused', reason: goodbye?.code ?? `close code ${code}` })
    }
    const delayMs = (goodbye?.retryAfterMs ?? 0) + backoffMs(this.#failures++, Math.random())
    this.#become({ kind: 'reconnecting', until: Date.now() + delayMs })
    this.#retry = window.setTimeout(() => this.connect(), delayMs)
  }

  #become(status: Status): void {
    this.#status = status
    this.#options.onStatus(status)
  }
}
