import { useEffect, useState } from 'react'
import { type Resumed } from '@turnpike/client/react'

/** How long a note on a resume stays. */
const SHOWN_MS = 12_000

/** The time from the new connection to the last replayed event on the page; undefined where there is nothing to tell. */
export function useResumeTime(resumed: Resumed | undefined): number | undefined {
  const [tookMs, setTook] = useState<number>()
  const [mountedAt] = useState(Date.now)
  const { at, replayed } = resumed ?? {}
  useEffect(() => {
    // What was over before this was looked at is no news.
    if (at === undefined || at < mountedAt) return
    setTook(Date.now() - at)
    const timer = setTimeout(() => setTook(undefined), SHOWN_MS)
    return () => clearTimeout(timer)
  }, [at, replayed, mountedAt])
  return tookMs
}
