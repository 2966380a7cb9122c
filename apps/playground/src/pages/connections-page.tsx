import { type ReactElement } from 'react'
import { api } from '../network/api.ts'
import { ConnectionRows } from './connection-rows.tsx'
import { Page } from './page.tsx'
import { useConnections } from './use-connections.ts'

/** Who is connected to the gateway, as far as the reader may see it. */
export function ConnectionsPage(): ReactElement {
  const { connections, problem, reload } = useConnections()
  const close = (id: string): void => {
    // Where that fails, the next look shows that it is still there.
    api(`/connections/${encodeURIComponent(id)}/close`, { method: 'POST' }).then(reload, reload)
  }
  return (
    <Page
      title="Connections"
      lead="Every live connection is a cursor into the log. Close one: its client comes back and goes on where it stood."
    >
      {problem !== undefined && (
        <p className="notice" role="status" data-testid="connections-problem">
          {problem.code === 'unknown-route' ? (
            'This gateway does not list its connections.'
          ) : (
            <>
              <code>{problem.code}</code> {problem.message}
            </>
          )}
        </p>
      )}
      {connections && <ConnectionRows connections={connections} onClose={close} />}
    </Page>
  )
}
