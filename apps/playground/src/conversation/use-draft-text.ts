import { useCallback, useState } from 'react'

const drafts = new Map<string | undefined, string>()

/** The text that is being written in a thread. It is still there when its writer comes back from another one. */
export function useDraftText(threadId: string | undefined): readonly [string, (text: string) => void] {
  const [place, setPlace] = useState(threadId)
  const [text, setText] = useState(() => drafts.get(threadId) ?? '')
  if (place !== threadId) {
    setPlace(threadId)
    setText(drafts.get(threadId) ?? '')
  }
  const change = useCallback(
    (next: string) => {
      drafts.set(threadId, next)
      setText(next)
    },
    [threadId],
  )
  return [text, change]
}
