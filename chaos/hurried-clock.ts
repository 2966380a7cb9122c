import type { Clock } from '@turnpike/client'
import type { Random } from '@turnpike/testkit'

/** A clock for clients that goes `factor` times as fast: they notice in seconds what would take half a minute. */
export function hurriedClock(factor: number, random: Random): Clock {
  const begin = Date.now()
  return {
    now: () => begin + (Date.now() - begin) * factor,
    after(delayMs, act) {
      const timer = setTimeout(act, delayMs / factor)
      return () => clearTimeout(timer)
    },
    random: () => random.next(),
  }
}
