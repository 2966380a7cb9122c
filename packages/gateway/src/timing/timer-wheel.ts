const SLOTS = 512

interface Timer {
  rounds: number
  readonly task: () => void
}

/**
 * All pings and deadlines of a gateway on one interval.
 *
 * Two timers a connection are what an idle gateway spends most of its time on; a wheel costs one tick for all of
 * them. A task never runs early, and two ticks late at most. The interval runs only while something waits, and never
 * keeps the process alive.
 */
export class TimerWheel {
  readonly #tickMs: number
  readonly #slots: Set<Timer>[] = Array.from({ length: SLOTS }, () => new Set())
  #position = 0
  #size = 0
  #interval: NodeJS.Timeout | undefined
  #lastTick = 0

  constructor(tickMs = 100) {
    this.#tickMs = tickMs
  }

  /** How many tasks wait. */
  get size(): number {
    return this.#size
  }

  /** Runs `task` once, `delayMs` from now; returns what takes it back. */
  schedule(delayMs: number, task: () => void): () => void {
    const ticks = Math.ceil(delayMs / this.#tickMs) + 1 + this.#behind()
    const slot = this.#slots[(this.#position + ticks) % SLOTS]
    const timer: Timer = { rounds: Math.floor((ticks - 1) / SLOTS), task }
    slot?.add(timer)
    this.#size++
    this.#start()
    return () => {
      if (slot?.delete(timer)) this.#forget()
    }
  }

  /** Drops every task. */
  close(): void {
    for (const slot of this.#slots) slot.clear()
    this.#size = 0
    this.#stop()
  }

  #start(): void {
    if (this.#interval) return
    this.#lastTick = performance.now()
    this.#interval = setInterval(() => this.#catchUp(), this.#tickMs)
    this.#interval.unref()
  }

  #stop(): void {
    clearInterval(this.#interval)
    this.#interval = undefined
  }

  /** A busy event loop runs intervals late; the wheel then turns as often as time has passed. */
  #catchUp(): void {
    const interval = this.#interval
    // Where the last task has gone and a new one has come, the wheel began anew, and is behind no more.
    for (let due = Math.max(1, this.#behind()); due > 0 && this.#interval === interval; due--) {
      this.#lastTick += this.#tickMs
      this.#turn()
    }
  }

  /** How many turns the wheel is behind the clock: a delay counts from now, not from where the wheel is. */
  #behind(): number {
    if (!this.#interval) return 0
    return Math.max(0, Math.floor((performance.now() - this.#lastTick) / this.#tickMs))
  }

  #turn(): void {
    this.#position = (this.#position + 1) % SLOTS
    const slot = this.#slots[this.#position]
    // A copy: a task may schedule into the slot that is being read.
    for (const timer of [...(slot ?? [])]) {
      if (timer.rounds-- > 0) continue
      if (!slot?.delete(timer)) continue
      this.#forget()
      timer.task()
    }
  }

  #forget(): void {
    if (--this.#size === 0) this.#stop()
  }
}
