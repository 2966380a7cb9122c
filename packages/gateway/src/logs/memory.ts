import { type EventId, type Limits, LIMITS, ORIGIN, seqOf } from '@turnpike/protocol'
import type { ThreadKey, ThreadRef } from '../stores/thread-ref.ts'
import type { EventLog, Follow } from './event-log.ts'
import type { Numbering } from '../stores/store.ts'
import {
  type EventDraft,
  type OpenMessage,
  type Snapshot,
  type StartAt,
  ThreadWindow,
} from './thread-window.ts'
import { Ticker } from '../timing/ticker.ts'

const SWEEP_MS = 5_000

export interface MemoryLogOptions {
  /** `replayWindowMs`, `logBytes` and `seqBlock` matter here. */
  readonly limits?: Partial<Limits>
  /** Where the numbers of events go on after a restart; without it every thread begins at 1. */
  readonly numbering?: Numbering
  /** The clock; for tests. @default Date.now */
  readonly now?: () => number
}

interface Entry {
  readonly thread: ThreadRef
  readonly window: ThreadWindow
  /** Numbers up to this one are reserved in the store. */
  reserved: number
  isReserving: boolean
  /** What the store is told of a thread, one after another. */
  told: Promise<void>
}

/**
 * A log that lives in this process: for one node, gone with it.
 *
 * Numbers are reserved in blocks before they are used, so that the next process goes on above whatever a client may
 * have seen of this one. A run's `start` waits for its block; later blocks are reserved while half of one is left. A
 * thread that has come to rest gives back what it did not use: who has its last event misses nothing by a restart.
 */
export class MemoryLog implements EventLog {
  readonly #limits: Limits
  readonly #numbering: Numbering | undefined
  readonly #now: () => number
  readonly #ticker = new Ticker()
  readonly #entries = new Map<ThreadKey, Entry>()
  /** Without a store to ask: where threads go on whose window nobody needs at the moment. */
  readonly #heads = new Map<ThreadKey, EventId>()
  readonly #loading = new Map<ThreadKey, Promise<Entry>>()
  readonly #sweeper: NodeJS.Timeout

  constructor(options: MemoryLogOptions = {}) {
    this.#limits = { ...LIMITS, ...options.limits }
    this.#numbering = options.numbering
    this.#now = options.now ?? Date.now
    this.#sweeper = setInterval(() => void this.#sweep(), SWEEP_MS)
    this.#sweeper.unref()
  }

  append(thread: ThreadRef, draft: EventDraft): number | Promise<number> {
    const entry = this.#known(thread)
    if (!entry) return this.#load(thread).then(() => this.append(thread, draft))
    const left = entry.reserved - entry.window.headSeq
    if (left * 2 < this.#limits.seqBlock) {
      const reserved = this.#reserve(entry)
      // Tried again with the next event. Ids hold the time as well, so even a number given twice is told apart.
      reserved.catch(() => {})
      if (draft.type === 'start' && left <= 0) {
        return reserved.then(() => entry.window.append(draft, this.#now()))
      }
    }
    return entry.window.append(draft, this.#now())
  }

  async follow(thread: ThreadRef, start: StartAt, wake: () => void): Promise<Follow> {
    const { window } = this.#known(thread) ?? (await this.#load(thread))
    window.trim(this.#now())
    const placement = window.place(start)
    const close = window.onNews(wake)
    if ('position' in placement) return { window, position: placement.position, close }
    const snapshot = window.snapshot()
    return { window, position: snapshot.head, snapshot, ...placement, close }
  }

  async snapshot(thread: ThreadRef): Promise<Snapshot> {
    const { window } = this.#known(thread) ?? (await this.#load(thread))
    return window.snapshot()
  }

  /** Lets go of everything; numbers that were not used are given back. */
  async close(): Promise<void> {
    clearInterval(this.#sweeper)
    // What cannot be settled is begun above, next time.
    for (const entry of this.#entries.values()) await this.#settle(entry).catch(() => {})
  }

  #known(thread: ThreadRef): Entry | undefined {
    const entry = this.#entries.get(thread.key)
    if (entry) return entry
    if (this.#numbering) return undefined
    return this.#open(thread, { head: this.#heads.get(thread.key) ?? ORIGIN }, Infinity)
  }

  #open(thread: ThreadRef, from: { head: EventId; open?: readonly OpenMessage[] }, reserved: number): Entry {
    const { key, id } = thread
    const window = new ThreadWindow(id, from, { limits: this.#limits, ticker: this.#ticker })
    const entry: Entry = { thread, window, reserved, isReserving: false, told: Promise.resolve() }
    this.#entries.set(key, entry)
    this.#heads.delete(key)
    return entry
  }

  /** Readers of a thread that come at once wait for the same answer: there is one window. */
  #load(thread: ThreadRef): Promise<Entry> {
    const { key } = thread
    const loading = this.#loading.get(key) ?? this.#loadOnce(thread).finally(() => this.#loading.delete(key))
    this.#loading.set(key, loading)
    return loading
  }

  async #loadOnce(thread: ThreadRef): Promise<Entry> {
    const from = await this.#numbering?.resume(thread)
    if (!from) throw new Error('There is no numbering to load from.')
    return this.#open(thread, from, seqOf(from.head))
  }

  #reserve(entry: Entry): Promise<void> {
    if (entry.isReserving || !this.#numbering) return entry.told
    entry.isReserving = true
    const { thread } = entry
    const upTo = entry.window.headSeq + this.#limits.seqBlock
    return this.#tell(entry, async (numbering) => {
      await numbering.reserve(thread, upTo).finally(() => (entry.isReserving = false))
      entry.reserved = upTo
    })
  }

  /** Gives back the numbers of a thread that rests. */
  #settle(entry: Entry): Promise<void> {
    return this.#tell(entry, async (numbering) => {
      const { head, headSeq } = entry.window
      if (entry.reserved === headSeq || entry.isReserving) return
      // At once: what is appended from here on has to reserve anew.
      entry.reserved = headSeq
      await numbering.settle(entry.thread, head)
    })
  }

  /** Waits for what was told before, also where that failed. */
  #tell(entry: Entry, what: (numbering: Numbering) => Promise<void>): Promise<void> {
    const numbering = this.#numbering
    if (!numbering) return Promise.resolve()
    const told = entry.told.then(
      () => what(numbering),
      () => what(numbering),
    )
    entry.told = told
    told.catch(() => {})
    return told
  }

  async #sweep(): Promise<void> {
    const now = this.#now()
    // Of what is there now: one that is loaded meanwhile is about to be used.
    for (const [key, entry] of [...this.#entries]) {
      const { window } = entry
      window.trim(now)
      if (!window.isIdle) continue
      // The store could not be told: the window stays, so that it is tried again.
      const isSettled = await this.#settle(entry).then(
        () => true,
        () => false,
      )
      if (!isSettled || !window.isIdle || entry.isReserving) continue
      this.#entries.delete(key)
      if (!this.#numbering && window.head !== ORIGIN) this.#heads.set(key, window.head)
    }
  }
}
