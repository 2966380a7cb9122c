import type { GatewayError } from '@turnpike/protocol'
import type { Client } from '../client.ts'
import type { ThreadPageOptions, ThreadSummary } from '../threads.ts'
import { asGatewayError } from './as-gateway-error.ts'
import { Listeners } from './listeners.ts'

/** Which threads to list. */
export interface ThreadQuery {
  /** Only those with all of these words in the title or a message. */
  readonly search?: string
  /** Threads a page. @default 50 */
  readonly limit?: number
}

export interface ThreadListState {
  /** The latest first. While a search is on its way, those of the one before. */
  readonly threads: readonly ThreadSummary[]
  readonly error: GatewayError | undefined
  readonly isLoading: boolean
  readonly hasMore: boolean
}

const INITIAL: ThreadListState = { threads: [], error: undefined, isLoading: true, hasMore: false }

/** Beginnings and ends of runs often come together, and are one question. */
const REFRESH_MS = 250

/** The threads of a user, page by page. */
export class ThreadList {
  readonly #client: Client
  readonly #listeners = new Listeners()
  #state = INITIAL
  #query: ThreadQuery = {}
  #before: string | undefined
  #asked: AbortController | undefined
  #refreshing: ReturnType<typeof setTimeout> | undefined

  constructor(client: Client) {
    this.#client = client
  }

  readonly getState = (): ThreadListState => this.#state

  readonly getInitial = (): ThreadListState => INITIAL

  readonly onChange = (listener: () => void): (() => void) => this.#listeners.add(listener)

  /** Lists something else; returns what calls it off. What is called off within one turn is never asked for. */
  show(query: ThreadQuery): () => void {
    this.#query = query
    let isWanted = true
    queueMicrotask(() => {
      if (isWanted) void this.reload()
    })
    return () => {
      isWanted = false
      clearTimeout(this.#refreshing)
      this.#refreshing = undefined
      this.#asked?.abort()
      this.#asked = undefined
    }
  }

  /** Asks for the first page again. */
  readonly reload = (): Promise<void> => this.#load('first')

  /** Brings what is new to the front, a moment later; the pages that are loaded stay. */
  readonly refreshSoon = (): void => {
    this.#refreshing ??= setTimeout(() => {
      this.#refreshing = undefined
      if (this.#asked) this.refreshSoon()
      else void this.#load('news')
    }, REFRESH_MS)
  }

  /** Asks for the next page, unless something is on its way. */
  readonly loadMore = async (): Promise<void> => {
    if (this.#before !== undefined && !this.#asked) await this.#load('next')
  }

  async #load(which: 'first' | 'next' | 'news'): Promise<void> {
    const { search, limit } = this.#query
    const before = which === 'next' ? this.#before : undefined
    const asked = new AbortController()
    this.#asked?.abort()
    this.#asked = asked
    // What nobody asked for is not waited for.
    if (which !== 'news') this.#become({ ...this.#state, isLoading: true })
    const words = search?.trim()
    const page: ThreadPageOptions = {
      signal: asked.signal,
      ...(limit !== undefined && { limit }),
      ...(before !== undefined && { before }),
      ...(words && { search: words }),
    }
    try {
      const { threads, before: next } = await this.#client.threads.list(page)
      if (this.#asked !== asked) return
      this.#asked = undefined
      const known = this.#state.threads
      // More pages than this one are loaded, and it reaches to where they go on.
      const goesOn = which === 'news' && next !== undefined && known.length > threads.length
      const isBridged = goesOn && known.some(({ id }) => id === threads.at(-1)?.id)
      if (!isBridged) this.#before = next
      this.#become({
        threads: which === 'next' ? merged(known, threads) : merged(threads, isBridged ? known : []),
        error: undefined,
        isLoading: false,
        hasMore: this.#before !== undefined,
      })
    } catch (error) {
      if (this.#asked !== asked) return
      this.#asked = undefined
      this.#become({ ...this.#state, error: asGatewayError(error), isLoading: false })
    }
  }

  #become(state: ThreadListState): void {
    this.#state = state
    this.#listeners.tell()
  }
}

/** A thread that went to the front meanwhile comes once. */
function merged(known: readonly ThreadSummary[], next: readonly ThreadSummary[]): readonly ThreadSummary[] {
  const ids = new Set(known.map(({ id }) => id))
  return [...known, ...next.filter(({ id }) => !ids.has(id))]
}
