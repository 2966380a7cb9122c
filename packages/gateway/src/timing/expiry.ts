import type { TimerWheel } from './timer-wheel.ts'

/** The wheel counts while the process runs; a machine that slept has to look at the clock again. */
const LOOK_MS = 60_000

/** Runs `task` once a time of the clock is reached; returns what takes it back. */
export function scheduleAt(wheel: TimerWheel, timeMs: number, task: () => void): () => void {
  const leftMs = Math.max(0, timeMs - Date.now())
  let stop = wheel.schedule(Math.min(leftMs, LOOK_MS), () => {
    if (Date.now() >= timeMs) task()
    else stop = scheduleAt(wheel, timeMs, task)
  })
  return () => stop()
}
