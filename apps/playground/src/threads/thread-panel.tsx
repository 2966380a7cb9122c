import { type ReactElement, useEffect, useState } from 'react'
import { useThreads } from '@turnpike/client/react'
import { Brand } from '../app/brand.tsx'
import { Icon } from '../app/icon.tsx'
import { NEW_THREAD, type Route } from '../app/route.ts'
import { PageLinks } from './page-links.tsx'
import { ThreadLinks } from './thread-links.tsx'
import { useSettled } from './use-settled.ts'

const SEARCH_MS = 200
const PAGE = 40

export interface ThreadPanelProps {
  readonly route: Route
  /** Another value says that the list is out of date. */
  readonly activity: number
  /** The reader has chosen where to go. */
  readonly onChoose: () => void
}

/** The reader's threads, and the way to the other pages. */
export function ThreadPanel({ route, activity, onChoose }: ThreadPanelProps): ReactElement {
  const [words, setWords] = useState('')
  const search = useSettled(words, SEARCH_MS)
  const list = useThreads({ search, limit: PAGE })
  const { reload } = list
  useEffect(() => {
    if (activity > 0) void reload()
  }, [activity, reload])
  useEffect(() => {
    // Another tab or device may have been used meanwhile.
    const onFocus = (): void => void reload()
    window.addEventListener('focus', onFocus)
    return () => window.removeEventListener('focus', onFocus)
  }, [reload])
  return (
    <div className="threads">
      <Brand />
      <a className="button new-thread" data-testid="new-thread" href={NEW_THREAD} onClick={onChoose}>
        <Icon name="plus" />
        New thread
      </a>
      <label className="search">
        <Icon name="search" />
        <input
          type="search"
          value={words}
          placeholder="Search"
          aria-label="Search threads"
          data-testid="search"
          onChange={({ target }) => setWords(target.value)}
        />
      </label>
      <ThreadLinks list={list} search={search} route={route} onChoose={onChoose} />
      <PageLinks route={route} onChoose={onChoose} />
    </div>
  )
}
