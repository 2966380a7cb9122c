import { type Client, type ClientOptions, createClient } from '../client.ts'

/** A client that lives as long as somebody holds it. */
export class OwnedClient {
  readonly client: Client
  #holders = 0
  #isClosed = false

  constructor(options: ClientOptions) {
    // On a server there is no page to be of, and nothing to connect to.
    const url = options.url ?? ('location' in globalThis ? undefined : 'http://localhost')
    this.client = createClient({ ...options, ...(url !== undefined && { url }) })
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Keeps it open; returns what lets go. Who lets go and holds it again within one turn has never let go. */
  hold(): () => void {
    this.#holders++
    return () => {
      this.#holders--
      queueMicrotask(() => {
        if (this.#holders > 0 || this.#isClosed) return
        this.#isClosed = true
        this.client.close()
      })
    }
  }
}
