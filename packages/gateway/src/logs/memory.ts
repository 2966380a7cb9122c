import { type EventId, type Limits, LIMITS, ORIGIN } from '@turnpike/protocol'
import type { ThreadKey, ThreadRef } from '../access.ts'
import type { EventLog, Follow } from '../event-log.ts'
import { type EventDraft, type Snapshot, type StartAt, ThreadWindow } from '../thread-window.ts'
import { Ticker } from '../ticker.ts'

const SWEEP_MS = 5_000

export interface MemoryLogOptions {
  /** `replayWindowMs` and `logBytes` matter here. */
  readonly limits?: Partial<Limits>
  /** The clock; for tests. @default Date.now */
  readonly now?: () => number
}

/** A log that lives in this process: for one node, gone with it. */
export class MemoryLog implements EventLog {
  readonly #limits: Limits
  readonly #now: () => number
  readonly #ticker = new Ticker()
  readonly #windows = new Map<ThreadKey, ThreadWindow>()
  /** The head of threads whose window is empty: kept for the thread's life, so numbering goes on. */
  readonly #heads = new Map<ThreadKey, EventId>()
  readonly #sweeper: NodeJS.Timeout

  constructor(options: MemoryLogOptions = {}) {
    this.#limits = { ...LIMITS, ...options.limits }
    this.#now = options.now ?? Date.now
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS)
    this.#sweeper.unref()
  }

  append(thread: ThreadRef, draft: EventDraft): number {
    return this.#window(thread).append(draft, this.#now())
  }

  follow(thread: ThreadRef, start: StartAt, wake: () => void): Promise<Follow> {
    const window = this.#window(thread)
    window.trim(this.#now())
    const placement = window.place(start)
    const close = window.onNews(wake)
    if ('position' in placement) return Promise.resolve({ window, position: placement.position, close })
    const snapshot = window.snapshot()
    return Promise.resolve({ window, position: snapshot.head, snapshot, ...placement, close })
  }

  snapshot(thread: ThreadRef): Promise<Snapshot> {
    return Promise.resolve(this.#window(thread).snapshot())
  }

  close(): Promise<void> {
    clearInterval(this.#sweeper)
    return Promise.resolve()
  }

  #window(thread: ThreadRef): ThreadWindow {
    let window = this.#windows.get(thread.key)
    if (!window) {
      const head = this.#heads.get(thread.key) ?? ORIGIN
      window = new ThreadWindow(thread.id, head, { limits: this.#limits, ticker: this.#ticker })
      this.#windows.set(thread.key, window)
      this.#heads.delete(thread.key)
    }
    return window
  }

  #sweep(): void {
    const now = this.#now()
    for (const [key, window] of this.#windows) {
      window.trim(now)
      if (!window.isIdle) continue
      this.#windows.delete(key)
      if (window.head !== ORIGIN) this.#heads.set(key, window.head)
    }
  }
}
