import type { ReactElement } from 'react'
import { bytes, counted, duration } from '../app/quantities.ts'
import type { ConnectionInfo } from './use-connections.ts'

export interface ConnectionRowsProps {
  readonly connections: readonly ConnectionInfo[]
  readonly onClose: (id: string) => void
}

/** Connections, one a row. */
export function ConnectionRows({ connections, onClose }: ConnectionRowsProps): ReactElement {
  if (connections.length === 0) {
    return <p className="empty">Nobody is connected. This page opens a connection when it needs one.</p>
  }
  return (
    <ul className="rows" data-testid="connections">
      {connections.map((connection) => {
        const { id, user, wire, threads, lagEvents, bufferedBytes, since, own } = connection
        return (
          <li key={id} className="row" data-own={own || undefined}>
            <div className="row-main">
              <strong>{user}</strong>
              <span className="tag">{wire}</span>
              <span className="row-note" title={id}>
                {id.slice(0, 8)}
              </span>
            </div>
            <dl className="row-figures">
              <div>
                <dt>Follows</dt>
                <dd title={threads.join('\n')}>{counted(threads.length, 'thread')}</dd>
              </div>
              <div>
                <dt>Lags</dt>
                <dd>{counted(lagEvents, 'event')}</dd>
              </div>
              <div>
                <dt>Not taken</dt>
                <dd>{bytes(bufferedBytes)}</dd>
              </div>
              <div>
                <dt>Open for</dt>
                <dd>{duration(Date.now() - since)}</dd>
              </div>
            </dl>
            <button
              className="button"
              type="button"
              data-testid="close-connection"
              aria-label={`Close connection ${id.slice(0, 8)} of ${user}`}
              onClick={() => onClose(id)}
            >
              Close
            </button>
          </li>
        )
      })}
    </ul>
  )
}
