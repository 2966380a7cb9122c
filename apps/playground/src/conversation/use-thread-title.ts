import { useEffect } from 'react'
import { useApprovals } from '@turnpike/client/react'
import { type Message, textOf } from '@turnpike/protocol'

const MOST_CHARS = 60

/** Names the tab after the thread's first message; a tab that waits for its reader says so. */
export function useThreadTitle(messages: readonly Message[]): void {
  const { pending } = useApprovals()
  const [first] = messages
  useEffect(() => {
    const name = first ? textOf(first).slice(0, MOST_CHARS) : ''
    const titled = name === '' ? 'Turnpike' : `${name} · Turnpike`
    document.title = pending.length > 0 ? `Approval needed · ${titled}` : titled
    return () => {
      document.title = 'Turnpike'
    }
  }, [first, pending.length])
}
