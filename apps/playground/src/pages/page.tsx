import { type ReactElement, type ReactNode, useEffect, useRef } from 'react'

export interface PageProps {
  readonly title: string
  readonly lead: string
  readonly children: ReactNode
}

/** A page that is no conversation. */
export function Page({ title, lead, children }: PageProps): ReactElement {
  const main = useRef<HTMLElement>(null)
  // Who came by a link goes on reading here.
  useEffect(() => main.current?.focus({ preventScroll: true }), [])
  return (
    <main ref={main} className="page" aria-labelledby="page-title" tabIndex={0}>
      <div className="page-column">
        <h2 id="page-title">{title}</h2>
        <p className="lead">{lead}</p>
        {children}
      </div>
    </main>
  )
}
