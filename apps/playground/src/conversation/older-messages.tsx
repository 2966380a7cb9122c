import { type ReactElement, useState } from 'react'

export interface OlderMessagesProps {
  readonly hasMore: boolean
  readonly onLoad: () => Promise<void>
}

/** Asks for a page of older messages, where there are some. */
export function OlderMessages({ hasMore, onLoad }: OlderMessagesProps): ReactElement | null {
  const [isLoading, setLoading] = useState(false)
  if (!hasMore) return null
  const load = (): void => {
    setLoading(true)
    onLoad().then(
      () => setLoading(false),
      // The conversation shows what is wrong.
      () => setLoading(false),
    )
  }
  return (
    <button className="button older" type="button" data-testid="older" disabled={isLoading} onClick={load}>
      {isLoading ? 'Loading …' : 'Older messages'}
    </button>
  )
}
