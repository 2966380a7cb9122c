import type { ReactElement } from 'react'
import type { useThreads } from '@turnpike/client/react'
import { timeOrDay } from '../app/clock-time.ts'
import { type Route, threadAddress } from '../app/route.ts'

export interface ThreadLinksProps {
  readonly list: ReturnType<typeof useThreads>
  readonly search: string
  readonly route: Route
  readonly onChoose: () => void
}

/** Threads to go to, the latest first. */
export function ThreadLinks({ list, search, route, onChoose }: ThreadLinksProps): ReactElement {
  const { threads, error, isLoading, hasMore, loadMore } = list
  const current = route.page === 'conversation' ? route.threadId : undefined
  return (
    <nav className="thread-links" aria-label="Threads" data-testid="threads">
      <ul>
        {threads.map(({ id, title, updatedAt }) => (
          <li key={id}>
            <a
              href={threadAddress(id)}
              aria-current={id === current ? 'page' : undefined}
              title={title}
              onClick={onChoose}
            >
              <span className="thread-title">{title || 'Untitled'}</span>
              <time dateTime={new Date(updatedAt).toISOString()}>{timeOrDay(updatedAt)}</time>
            </a>
          </li>
        ))}
      </ul>
      {error && (
        <p className="empty">
          <code>{error.code}</code> {error.message}
        </p>
      )}
      {!error && threads.length === 0 && !isLoading && (
        <p className="empty">{search.trim() === '' ? 'No threads yet.' : 'No thread has these words.'}</p>
      )}
      {hasMore && (
        <button className="link" type="button" disabled={isLoading} onClick={() => void loadMore()}>
          More threads
        </button>
      )}
    </nav>
  )
}
