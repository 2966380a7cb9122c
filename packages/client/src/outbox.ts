import { type Answers, type CommandName, type PayloadOf, GatewayError } from '@turnpike/protocol'
import type { Link } from './wire.ts'

interface Entry {
  readonly send: (link: Link) => void
  readonly fail: (error: unknown) => void
}

/**
 * Commands that wait for their answer, over as many links as it takes.
 *
 * What goes through here may be said twice: to stop a run again, or to decide an approval again, changes nothing.
 */
export class Outbox {
  readonly #entries = new Set<Entry>()
  readonly #onTrouble: (error: GatewayError) => void
  #link: Link | undefined

  constructor({ onTrouble }: { onTrouble: (error: GatewayError) => void }) {
    this.#onTrouble = onTrouble
  }

  get size(): number {
    return this.#entries.size
  }

  /** @throws GatewayError where the server refuses, or the client is closed meanwhile */
  request<Name extends CommandName>(command: Name, payload: PayloadOf<Name>): Promise<Answers[Name]> {
    return new Promise((resolve, reject) => {
      const done = (act: () => void): void => {
        this.#entries.delete(entry)
        act()
      }
      const entry: Entry = {
        fail: (error) => done(() => reject(error)),
        send: (link) =>
          link.request(command, payload, (outcome) => {
            if (!this.#entries.has(entry)) return
            if ('answer' in outcome) return done(() => resolve(outcome.answer))
            const { error } = outcome
            if (!(error instanceof GatewayError)) return
            if (error.row.retry === 'reconnect') this.#onTrouble(error)
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
  }

  fail(error: Error): void {
    this.#link = undefined
    for (const entry of [...this.#entries]) entry.fail(error)
  }
}
