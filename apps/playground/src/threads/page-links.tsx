import type { ReactElement } from 'react'
import { Icon } from '../app/icon.tsx'
import type { Route } from '../app/route.ts'

const PAGES = [
  { page: 'connections', name: 'Connections' },
  { page: 'wires', name: 'Wires' },
  { page: 'settings', name: 'Settings' },
] as const

export interface PageLinksProps {
  readonly route: Route
  readonly onChoose: () => void
}

/** The way to the pages that are no conversation. */
export function PageLinks({ route, onChoose }: PageLinksProps): ReactElement {
  return (
    <nav className="page-links" aria-label="Pages">
      {PAGES.map(({ page, name }) => (
        <a
          key={page}
          href={`#/${page}`}
          aria-current={route.page === page ? 'page' : undefined}
          onClick={onChoose}
        >
          <Icon name={page} />
          {name}
        </a>
      ))}
    </nav>
  )
}
