import type { ReactElement } from 'react'
import { ORIGIN } from '@turnpike/protocol'
import { network } from '../network/network.ts'
import { settings } from '../settings/settings.ts'
import { type OpenWire, useWire } from './use-wire.ts'
import { WireColumn } from './wire-column.tsx'
import type { WireColumnProps } from './wire-lines.ts'

/** The frames of the native WebSocket. */
export function WebSocketColumn({ run }: WireColumnProps): ReactElement {
  const lines = useWire(run, open)
  return <WireColumn name="WebSocket" request="/stream, subprotocol turnpike.v1" unit="frame" lines={lines} />
}

const open: OpenWire = ({ threadId }, { take, fail, signal }) => {
  const url = new URL('/stream', location.href)
  url.protocol = url.protocol.replace('http', 'ws')
  const socket = new network.WebSocket(url.href, 'turnpike.v1')
  const { token } = settings.get()
  socket.addEventListener('open', () => {
    if (token !== '') socket.send(JSON.stringify({ id: 1, command: 'auth', payload: { token } }))
    const payload = { threadId, lastEventId: ORIGIN, reasoning: settings.get().reasoning }
    socket.send(JSON.stringify({ id: 2, command: 'thread.subscribe', payload }))
  })
  socket.addEventListener('message', ({ data }) => {
    if (!signal.aborted) take(String(data))
  })
  socket.addEventListener('close', ({ code }) => fail(`Closed with ${code}.`))
  signal.addEventListener('abort', () => socket.close(1000))
}
