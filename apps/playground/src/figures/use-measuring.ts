import { useCallback, useEffect, useRef } from 'react'
import type { ThreadEvent } from '@turnpike/protocol'
import { addSamples } from './figures.ts'

/** What is older than that was replayed, and says nothing about delivery. */
const LIVE_MS = 3_000

/** Measures how events get to the screen; gives what has to be told that a message was sent. */
export function useMeasuring(events: readonly ThreadEvent[]): () => void {
  const lastId = useRef('')
  const sentAt = useRef<number>(undefined)
  useEffect(() => {
    const at = Date.now()
    const fresh = events.filter(({ id }) => id > lastId.current)
    lastId.current = events.at(-1)?.id ?? ''
    const isFirstWord = ({ type }: ThreadEvent): boolean => type === 'text-delta'
    if (sentAt.current !== undefined && fresh.some(isFirstWord)) {
      addSamples('firstWord', [{ at, ms: at - sentAt.current }])
      sentAt.current = undefined
    }
    const samples = fresh.map(({ ts }) => ({ at, ms: at - ts }))
    addSamples(
      'delivery',
      samples.filter(({ ms }) => Math.abs(ms) < LIVE_MS),
    )
  }, [events])
  return useCallback(() => {
    sentAt.current ??= Date.now()
  }, [])
}
