import type { Message } from '@turnpike/protocol'
import type { MessagePage } from '../threads.ts'

const LATEST = 200
const PAGE = 50

type ReadPage = (page: { readonly limit: number; readonly before?: number }) => Promise<MessagePage>

/** The messages before those that came with a thread's history, as far as somebody asked for them. */
export class OlderMessages {
  /** Replaced, never changed. */
  messages: readonly Message[] = []
  hasMore = false
  readonly #read: ReadPage
  #before: number | undefined
  #loading: Promise<void> | undefined
  #epoch = 0

  constructor(read: ReadPage) {
    this.#read = read
  }

  /** The thread has a new history. What of `shown`, the thread as it was known, is before it stays where the two meet. */
  rebase(history: readonly Message[], { shown, more }: { shown: readonly Message[]; more: boolean }): void {
    const first = history[0]?.id
    const at = more ? shown.findIndex(({ id }) => id === first) : -1
    this.#epoch++
    this.#loading = undefined
    const before = shown.slice(0, Math.max(0, at))
    // One that was open has gone on since, unseen: it is read again, and what is before it too.
    const open = before.findLastIndex(({ status }) => status === 'open')
    this.messages = before.slice(open + 1)
    if (open < 0 && this.messages.length > 0) return
    // From the latest page on, so that nothing between is left out.
    this.#before = undefined
    this.hasMore = more
  }

  /** Loads one more page in front of what is shown; calls at the same time share it. */
  load(shown: readonly Message[]): Promise<void> {
    if (!this.hasMore) return Promise.resolve()
    if (this.#loading) return this.#loading
    const own = this.#load(new Set(shown.map(({ id }) => id))).finally(() => {
      if (this.#loading === own) this.#loading = undefined
    })
    this.#loading = own
    return own
  }

  async #load(known: ReadonlySet<string>): Promise<void> {
    const epoch = this.#epoch
    for (;;) {
      const before = this.#before
      const page = await this.#read(before === undefined ? { limit: LATEST } : { limit: PAGE, before })
      if (epoch !== this.#epoch) return
      const at = page.messages.findIndex(({ id }) => known.has(id))
      const older = at < 0 ? page.messages : page.messages.slice(0, at)
      this.#before = page.before
      this.hasMore = page.before !== undefined
      this.messages = [...older, ...this.messages]
      // The first page is the latest one, which is mostly known.
      if (older.length > 0 || !this.hasMore) return
    }
  }
}
