import { type Answers, type CommandName, type PayloadOf, GatewayError } from '@turnpike/protocol'
import { backoffMs } from './backoff.ts'
import { type Clock, systemClock } from './clock.ts'
import type { Link } from './wire.ts'

interface Entry {
  readonly send: (link: Link) => void
  readonly fail: (error: unknown) => void
  /** It waits until it may be said again. */
  stopRetry: () => void
  refusals: number
}

export interface OutboxOptions {
  readonly onTrouble: (error: GatewayError) => void
  /** @default the system's */
  readonly clock?: Clock
}

/**
 * Commands that wait for their answer, over as many links as it takes.
 *
 * What goes through here may be said twice: to stop a run again, or to decide an approval again, changes nothing.
 */
export class Outbox {
  readonly #entries = new Set<Entry>()
  readonly #onTrouble: (error: GatewayError) => void
  readonly #clock: Clock
  #link: Link | undefined

  constructor({ onTrouble, clock = systemClock }: OutboxOptions) {
    this.#onTrouble = onTrouble
    this.#clock = clock
  }

  get size(): number {
    return this.#entries.size
  }

  /** @throws GatewayError where the server refuses, or the client is closed meanwhile */
  request<Name extends CommandName>(command: Name, payload: PayloadOf<Name>): Promise<Answers[Name]> {
    return new Promise((resolve, reject) => {
      const done = (act: () => void): void => {
        this.#entries.delete(entry)
        entry.stopRetry()
        act()
      }
      const entry: Entry = {
        stopRetry() {},
        refusals: 0,
        fail: (error) => done(() => reject(error)),
        send: (link) =>
          link.request(command, payload, (outcome) => {
            if (!this.#entries.has(entry)) return
            if ('answer' in outcome) return done(() => resolve(bare(outcome.answer)))
            const { error } = outcome
            if (!(error instanceof GatewayError)) return
            if (error.row.retry === 'reconnect') this.#onTrouble(error)
            else if (error.code === 'rate-limited') this.#sayLater(entry, { link, error })
            else entry.fail(error)
          }),
      }
      this.#entries.add(entry)
      if (this.#link) entry.send(this.#link)
    })
  }

  attach(link: Link): void {
    this.#link = link
    for (const entry of [...this.#entries]) entry.send(link)
  }

  detach(): void {
    this.#link = undefined
    for (const { stopRetry } of this.#entries) stopRetry()
  }

  fail(error: Error): void {
    this.#link = undefined
    for (const entry of [...this.#entries]) entry.fail(error)
  }

  /** Over the same link: another one is told anyway. */
  #sayLater(entry: Entry, { link, error }: { link: Link; error: GatewayError }): void {
    if (this.#link !== link) return
    const { retryAfterMs = 0 } = error
    const delayMs = retryAfterMs + backoffMs(entry.refusals++, this.#clock.random())
    entry.stopRetry()
    entry.stopRetry = this.#clock.after(delayMs, () => entry.send(link))
  }
}

/** An answer without the frame that it came in. */
function bare<Answer extends object>(answer: Answer): Answer {
  const { id: _id, ok: _ok, ...rest } = answer as Answer & { id?: unknown; ok?: unknown }
  return rest as unknown as Answer
}
