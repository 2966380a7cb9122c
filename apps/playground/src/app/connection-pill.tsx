import type { ReactElement } from 'react'
import { type ConnectionState } from '@turnpike/client'
import { useConnection } from '@turnpike/client/react'
import { network } from '../network/network.ts'
import { useOnline } from '../network/use-online.ts'
import { useCountdown } from '../network/use-countdown.ts'
import { useStore } from './use-store.ts'

const WIRES: Readonly<Record<string, string>> = { websocket: 'WebSocket', sse: 'SSE' }

/** Where the connection stands. */
export function ConnectionPill(): ReactElement {
  const connection = useConnection()
  const isCut = useStore(network.isCut)
  const isOnline = useOnline()
  const seconds = useCountdown(connection)
  const { state, text, detail } = said(connection, { isCut, isOnline, seconds })
  return (
    <p className="status" data-testid="status" data-state={state} title={`${text} ${detail}`.trim()}>
      <span className="dot" aria-hidden="true" />
      {text}
      {detail !== '' && <span className="status-detail"> {detail}</span>}
    </p>
  )
}

interface Circumstances {
  readonly isCut: boolean
  readonly isOnline: boolean
  readonly seconds: number | undefined
}

interface Said {
  readonly state: string
  readonly text: string
  readonly detail: string
}

function said(connection: ConnectionState, { isCut, isOnline, seconds }: Circumstances): Said {
  const wait = seconds === undefined ? '' : `${seconds} s`
  if (isCut) return { state: 'cut', text: 'Cut', detail: wait }
  if (!isOnline) return { state: 'reconnecting', text: 'Offline', detail: '' }
  switch (connection.status) {
    case 'idle':
      return { state: 'idle', text: 'Ready', detail: '' }
    case 'connecting':
      return { state: 'connecting', text: 'Connecting', detail: '' }
    case 'open':
      return { state: 'live', text: 'Live', detail: WIRES[connection.wire] ?? connection.wire }
    case 'reconnecting':
      return {
        state: 'reconnecting',
        text: 'Reconnecting',
        detail: wait,
      }
    case 'closed':
      return { state: 'refused', text: 'Closed', detail: connection.error?.code ?? '' }
    default:
      return connection satisfies never
  }
}
