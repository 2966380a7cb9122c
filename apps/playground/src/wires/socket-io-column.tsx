import type { ReactElement } from 'react'
import { ORIGIN } from '@turnpike/protocol'
import { network } from '../network/network.ts'
import { settings } from '../settings/settings.ts'
import { type OpenWire, useWire } from './use-wire.ts'
import { WireColumn } from './wire-column.tsx'
import type { WireColumnProps } from './wire-lines.ts'

/** The packets of Socket.IO, without its client: what that does is in three of them. */
export function SocketIoColumn({ run }: WireColumnProps): ReactElement {
  const lines = useWire(run, open)
  return <WireColumn name="Socket.IO" request="/streaming, namespace /" unit="packet" lines={lines} />
}

const OPENED = '0'
const PING = '2'
const PONG = '3'
const CONNECT = '40'

const open: OpenWire = ({ threadId }, { take, fail, signal }) => {
  const url = new URL('/streaming/?EIO=4&transport=websocket', location.href)
  url.protocol = url.protocol.replace('http', 'ws')
  const socket = new network.WebSocket(url.href)
  const { token, reasoning } = settings.get()
  socket.addEventListener('message', ({ data }) => {
    const packet = String(data)
    if (packet.startsWith(OPENED)) {
      const auth = { ...(token !== '' && { token }), threadId, lastEventId: ORIGIN, reasoning }
      socket.send(CONNECT + JSON.stringify(auth))
    } else if (packet === PING) socket.send(PONG)
    else if (!signal.aborted) take(packet)
  })
  socket.addEventListener('close', ({ code }) => fail(`Closed with ${code}.`))
  signal.addEventListener('abort', () => socket.close())
}
