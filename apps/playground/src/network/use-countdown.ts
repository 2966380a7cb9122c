import { useEffect, useState } from 'react'
import { type ConnectionState } from '@turnpike/client'

const TICK_MS = 200

/** Seconds to the next attempt to connect; undefined where none is planned. */
export function useCountdown(state: ConnectionState): number | undefined {
  const [seconds, setSeconds] = useState<number>()
  useEffect(() => {
    if (state.status !== 'reconnecting' || state.offline) return setSeconds(undefined)
    const until = performance.now() + state.delayMs
    const tick = (): void => setSeconds(Math.max(0, Math.ceil((until - performance.now()) / 1_000)))
    tick()
    const timer = setInterval(tick, TICK_MS)
    return () => clearInterval(timer)
  }, [state])
  return seconds
}
