import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { TimerWheel } from '../src/timing/timer-wheel.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('runs a task never early, and one tick late at most', () => {
  for (const delay of [0, 1, 99, 100, 101, 5_000, 51_200, 51_300, 1_800_000]) {
    const wheel = new TimerWheel(100)
    wheel.schedule(100_000_000, () => {})
    vi.advanceTimersByTime(37)
    const begun = performance.now()
    let ranAt = 0
    wheel.schedule(delay, () => (ranAt = performance.now()))
    vi.advanceTimersByTime(delay + 300)
    expect(ranAt - begun).toBeGreaterThanOrEqual(delay)
    expect(ranAt - begun).toBeLessThanOrEqual(delay + 200)
    wheel.close()
  }
})

test('takes a task back', () => {
  const wheel = new TimerWheel()
  const task = vi.fn()
  const cancel = wheel.schedule(1_000, task)
  cancel()
  cancel()
  vi.advanceTimersByTime(5_000)
  expect(task).not.toHaveBeenCalled()
  expect(wheel.size).toBe(0)
})

test('turns only while something waits', () => {
  const wheel = new TimerWheel()
  expect(vi.getTimerCount()).toBe(0)
  wheel.schedule(500, () => {})
  expect(vi.getTimerCount()).toBe(1)
  vi.advanceTimersByTime(1_000)
  expect(vi.getTimerCount()).toBe(0)
})

test('runs a task that schedules itself again once an interval', () => {
  const wheel = new TimerWheel()
  let runs = 0
  const again = (): void => {
    runs++
    wheel.schedule(51_200, again)
  }
  wheel.schedule(0, again)
  vi.advanceTimersByTime(51_200 * 5)
  expect(runs).toBe(5)
  wheel.close()
})

test('a task that follows the last one of a blocked event loop does not run early', () => {
  const wheel = new TimerWheel()
  let blockedMs = 0
  const now = performance.now.bind(performance)
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + blockedMs)
  let ranAt = 0
  wheel.schedule(100, () => wheel.schedule(1_000, () => (ranAt = performance.now())))
  blockedMs = 3_000
  vi.advanceTimersByTime(100)
  const begun = performance.now()
  vi.advanceTimersByTime(1_300)
  expect(ranAt - begun).toBeGreaterThanOrEqual(1_000)
  clock.mockRestore()
  wheel.close()
})
