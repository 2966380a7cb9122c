import { type Clock, systemClock } from './clock.ts'

/** Time after which `getToken` is held to have failed. */
const DEADLINE_MS = 20_000

/** Where tokens come from: one for good, or as many as are asked for. */
export interface TokenOptions {
  readonly token?: string | undefined
  readonly getToken?: (() => string | undefined | Promise<string | undefined>) | undefined
}

/** Hands out the token in use, and asks for another one once that is refused. */
export class Tokens {
  readonly #options: TokenOptions
  readonly #clock: Clock
  #current: string | undefined
  #asked: Promise<string | undefined> | undefined
  #refusals = 0

  constructor(options: TokenOptions & { readonly clock?: Clock }) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#current = options.token
  }

  /** The token in use. Those who ask at the same time share one call of `getToken`. */
  get(): Promise<string | undefined> | string | undefined {
    const { getToken } = this.#options
    if (this.#current !== undefined || !getToken) return this.#current
    this.#asked ??= this.#inTime(getToken)
      .then((token) => (this.#current = token))
      .finally(() => (this.#asked = undefined))
    return this.#asked
  }

  /** The token in use did. That nobody asked for one says nothing of the next one. */
  accepted(): void {
    if (this.#current !== undefined) this.#refusals = 0
  }

  /** That token did not do. Tells whether another one may: once, until one is accepted. */
  refused(token: string | undefined): boolean {
    // Somebody else was refused with it before, and has seen to another one.
    if (this.#current !== token) return true
    this.#refusals++
    if (!this.#options.getToken) return false
    this.#current = undefined
    return this.#refusals === 1
  }

  #inTime(getToken: NonNullable<TokenOptions['getToken']>): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const stop = this.#clock.after(DEADLINE_MS, () => reject(new Error('"getToken" gave nothing in time.')))
      void Promise.resolve().then(getToken).then(resolve, reject).finally(stop)
    })
  }
}
